package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"housecall/internal/account"
	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/doctor"
	"housecall/internal/errs"
	"housecall/internal/httpd/ratelimit"
	"housecall/internal/postgres"
)

// reachTimeout is how long a command waits for PostgreSQL to answer.
const reachTimeout = 30 * time.Second

// Migrate brings the schema up to date once PostgreSQL answers. If it has to wait, it calls waiting once with the
// reason.
func Migrate(ctx context.Context, cfg config.Config, waiting func(error)) error {
	if err := waitReady(ctx, cfg, waiting); err != nil {
		return err
	}
	return postgres.Migrate(ctx, cfg.MigrationDSN())
}

// MigrationStatus lists the migrations; waiting is as in Migrate.
func MigrationStatus(ctx context.Context, cfg config.Config, waiting func(error)) ([]postgres.Migration, error) {
	if err := waitReady(ctx, cfg, waiting); err != nil {
		return nil, err
	}
	return postgres.MigrationStatus(ctx, cfg.MigrationDSN())
}

func waitReady(ctx context.Context, cfg config.Config, waiting func(error)) error {
	pool, err := postgres.Open(ctx, postgres.Options{DSN: cfg.MigrationDSN(), MaxConns: 1})
	if err != nil {
		return err
	}
	defer pool.Close()
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	return unreachable(pool.WaitReady(ctx, func(err error) { waiting(unreachable(err)) }))
}

// reach opens a pool of conns connections and makes sure that PostgreSQL answers.
func reach(ctx context.Context, cfg config.Config, conns int32) (*postgres.Pool, error) {
	pool, err := postgres.Open(ctx, postgres.Options{DSN: cfg.DatabaseURL.Reveal(), MaxConns: conns})
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, unreachable(err)
	}
	return pool, nil
}

// unreachable makes one sentence of the driver's error, which has a line for each address that it tried.
func unreachable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("PostgreSQL does not answer: %s", strings.Join(strings.Fields(err.Error()), " "))
}

// CreateAdmin makes an administrator, such as the first one.
func CreateAdmin(ctx context.Context, cfg config.Config, name, email, password string) (account.User, error) {
	pool, err := reach(ctx, cfg, 2)
	if err != nil {
		return account.User{}, err
	}
	defer pool.Close()
	accounts, err := newAccounts(cfg, pool, ratelimit.New(nil, zerolog.Nop()))
	if err != nil {
		return account.User{}, err
	}
	accounts.Connect(account.Ports{Profiles: profiles{}}) // an administrator has no profile, and making one sends no mail
	user, err := accounts.CreateAdmin(ctx, name, email, password)
	return user, sentence(err)
}

// NewUser is a user whom the operator makes.
type NewUser = account.NewUser

// EnsureUser makes a user who can sign in at once, with the profile that their role needs, unless there is a user with
// the address already; made tells which. The operator vouches for the address, so it counts as verified. Programs that
// run instances themselves make their first users with it.
func (a *App) EnsureUser(ctx context.Context, u NewUser) (user auth.Actor, made bool, err error) {
	found, err := a.accounts.FindByEmail(ctx, a.pool, u.Email)
	if errs.KindOf(err) == errs.NotFound && err != nil {
		made = true
		err = a.pool.InTx(ctx, func(tx *postgres.Tx) (err error) {
			found, err = a.accounts.CreateWithPassword(ctx, tx, u)
			return err
		})
	}
	if err != nil {
		return auth.Actor{}, false, err
	}
	return auth.Actor{ID: found.ID, UserID: found.PublicID, Name: found.Name, Role: found.Role}, made, nil
}

// Doctors is the instance's service of profiles and timetables, for programs that run instances themselves.
func (a *App) Doctors() *doctor.Service { return a.doctors }

// sentence turns an error into a sentence for the person at the terminal.
func sentence(err error) error {
	var e *errs.Error
	if !errors.As(err, &e) || e.Kind == errs.Internal {
		return err
	}
	text := e.Message
	for _, f := range e.Fields {
		text += " " + strings.TrimPrefix(f.Path, "body.") + ": " + f.Message + "."
	}
	return errors.New(text)
}

// ErrAuditBroken says that the audit trail was changed after it was written.
var ErrAuditBroken = errors.New("the audit trail is broken")

// VerifyAudit checks the audit trail's chain of seals.
func VerifyAudit(ctx context.Context, cfg config.Config) (audit.Report, error) {
	pool, err := reach(ctx, cfg, 1)
	if err != nil {
		return audit.Report{}, err
	}
	defer pool.Close()
	report, err := audit.Verify(ctx, pool)
	if err != nil {
		return report, fmt.Errorf("read the audit trail: %w", err)
	}
	return report, nil
}
