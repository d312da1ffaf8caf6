// Package postgres gives access to PostgreSQL: a pool, transactions with one time and after-commit hooks, migrations,
// and the translation of the driver's errors into ours. Packages put their SQL into store.go and take a DB, which is
// either the pool or a transaction.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// DB is what a statement needs: a *Pool or a *Tx.
type DB interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

var (
	_ DB = (*Pool)(nil)
	_ DB = (*Tx)(nil)
)

// Options say how to reach PostgreSQL.
type Options struct {
	// DSN is a URL or a key/value string; with several hosts and target_session_attrs=read-write, it follows a
	// failover.
	DSN string
	// MaxConns limits the number of connections; 0 means pgx's default (4, or the number of cores if larger).
	MaxConns int32
	// ConnectTimeout limits one attempt to connect to one host; 0 means the DSN's connect_timeout, or 3 s.
	ConnectTimeout time.Duration
}

// errDSN gives no details: pgx's message would repeat the DSN, perhaps with the password.
var errDSN = errors.New("the database DSN is malformed")

// Pool is a pool of connections.
type Pool struct{ *pgxpool.Pool }

// Open makes a pool without waiting for PostgreSQL: the first statement connects. It fails only on a malformed DSN.
func Open(ctx context.Context, o Options) (*Pool, error) {
	cfg, err := pgxpool.ParseConfig(o.DSN)
	if err != nil {
		return nil, errDSN
	}
	if o.MaxConns > 0 {
		cfg.MaxConns = o.MaxConns
	}
	switch {
	case o.ConnectTimeout > 0:
		cfg.ConnConfig.ConnectTimeout = o.ConnectTimeout
	case cfg.ConnConfig.ConnectTimeout == 0:
		cfg.ConnConfig.ConnectTimeout = 3 * time.Second
	}
	cfg.ConnConfig.RuntimeParams["application_name"] = "housecall"
	// Times are stored with a zone; the session's zone only affects text output.
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	p, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open pool: %w", err)
	}
	return &Pool{p}, nil
}

// WaitReady returns once PostgreSQL answers, or with the last error when ctx ends. It calls tell once, before the
// first wait, so that an operator sees what the start is waiting for.
func (p *Pool) WaitReady(ctx context.Context, tell func(error)) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for told := false; ; {
		err := p.Ping(ctx)
		if err == nil {
			return nil
		}
		if !told {
			tell(Classify(err))
			told = true
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for PostgreSQL: %w", err)
		case <-tick.C:
		}
	}
}
