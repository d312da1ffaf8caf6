package pgtest

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"housecall/internal/postgres"
)

// Trips counts round trips to PostgreSQL and keeps their statements. A batch is one trip.
type Trips struct {
	mu         sync.Mutex // guards both below
	n          int
	statements []string
}

var (
	_ pgx.QueryTracer = (*Trips)(nil)
	_ pgx.BatchTracer = (*Trips)(nil)
)

// Counted opens a pool on a database that counts trips; it is closed when the test ends.
func Counted(t testing.TB, dsn string) (*postgres.Pool, *Trips) {
	t.Helper()
	trips := &Trips{}
	cfg, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	cfg.ConnConfig.Tracer = trips
	inner, err := pgxpool.NewWithConfig(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(inner.Close)
	return &postgres.Pool{Pool: inner}, trips
}

// TraceQueryStart implements pgx.QueryTracer.
func (c *Trips) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	c.statements = append(c.statements, d.SQL)
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (*Trips) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceBatchStart implements pgx.BatchTracer.
func (c *Trips) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return ctx
}

// TraceBatchQuery implements pgx.BatchTracer.
func (c *Trips) TraceBatchQuery(_ context.Context, _ *pgx.Conn, d pgx.TraceBatchQueryData) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.statements = append(c.statements, d.SQL)
}

// TraceBatchEnd implements pgx.BatchTracer.
func (*Trips) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// Count returns the number of trips so far.
func (c *Trips) Count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// Of counts the trips of f and returns its statements.
func (c *Trips) Of(f func()) (n int, statements []string) {
	c.mu.Lock()
	c.n, c.statements = 0, nil
	c.mu.Unlock()
	f()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n, c.statements
}

// Naming counts the statements that read or lock a table: with from, join or a lock.
func Naming(statements []string, table string) (n int) {
	for _, s := range statements {
		flat := " " + strings.Join(strings.Fields(s), " ") + " "
		if strings.Contains(flat, " from "+table+" ") || strings.Contains(flat, " join "+table+" ") {
			n++
		}
	}
	return n
}
