package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rs/zerolog"

	"housecall/internal/account"
	"housecall/internal/audit"
	"housecall/internal/config"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
)

// Migrate brings the schema up to date, once PostgreSQL answers.
func Migrate(ctx context.Context, cfg config.Config) error {
	if err := waitReady(ctx, cfg); err != nil {
		return err
	}
	return postgres.Migrate(ctx, cfg.MigrationDSN())
}

// MigrationStatus lists the steps of the schema.
func MigrationStatus(ctx context.Context, cfg config.Config) ([]postgres.Migration, error) {
	if err := waitReady(ctx, cfg); err != nil {
		return nil, err
	}
	return postgres.MigrationStatus(ctx, cfg.MigrationDSN())
}

func waitReady(ctx context.Context, cfg config.Config) error {
	pool, err := postgres.Open(ctx, postgres.Options{DSN: cfg.MigrationDSN(), MaxConns: 1})
	if err != nil {
		return err
	}
	defer pool.Close()
	return pool.WaitReady(ctx, func(error) {})
}

// CreateAdmin makes an administrator, the first one included.
func CreateAdmin(ctx context.Context, cfg config.Config, name, email, password string) (account.User, error) {
	pool, err := postgres.Open(ctx, postgres.Options{DSN: cfg.DatabaseURL.Reveal(), MaxConns: 2})
	if err != nil {
		return account.User{}, err
	}
	defer pool.Close()
	accounts, err := newAccounts(cfg, pool, httpd.NewLimiter(nil, zerolog.Nop()))
	if err != nil {
		return account.User{}, err
	}
	accounts.Connect(account.Ports{Profiles: profiles{}}) // an administrator has no profile
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
	pool, err := postgres.Open(ctx, postgres.Options{DSN: cfg.DatabaseURL.Reveal(), MaxConns: 1})
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
