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
	"housecall/internal/config"
	"housecall/internal/errs"
	"housecall/internal/httpd/ratelimit"
	"housecall/internal/postgres"
)

// reachTimeout is how long a command waits for PostgreSQL to answer.
const reachTimeout = 30 * time.Second

// Migrate brings the schema up to date, once PostgreSQL answers; waiting is told, once, why it has to wait.
func Migrate(ctx context.Context, cfg config.Config, waiting func(error)) error {
	if err := waitReady(ctx, cfg, waiting); err != nil {
		return err
	}
	return postgres.Migrate(ctx, cfg.MigrationDSN())
}

// MigrationStatus lists the steps of the schema; waiting is as in Migrate.
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

// reach opens a pool of a few connections and makes sure that PostgreSQL answers.
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

// unreachable puts the driver's lines, one for each address that it tried, into a sentence.
func unreachable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("PostgreSQL does not answer: %s", strings.Join(strings.Fields(err.Error()), " "))
}

// CreateAdmin makes an administrator, the first one included.
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

// sentence words an error for the person at the terminal.
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

// ErrAuditBroken is an audit trail that was changed after it was written.
var ErrAuditBroken = errors.New("the audit trail is broken")

// VerifyAudit walks the audit trail's chain of seals.
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
