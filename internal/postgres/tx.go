package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// txAttempts limits how often InTx runs its function when PostgreSQL asks to try again.
const txAttempts = 5

// Tx is a transaction. It has one time, PostgreSQL's, so that everything written in it agrees.
type Tx struct {
	pgx.Tx
	now         time.Time
	afterCommit []func()
}

// Now returns the transaction's time in UTC (PostgreSQL's now(), which stays the same).
func (t *Tx) Now() time.Time { return t.now }

// AfterCommit has f run once the transaction has committed, in the order of registration; not if it rolls back. A
// retried transaction starts with no hooks. f must not block for long: the caller of InTx waits for it.
func (t *Tx) AfterCommit(f func()) { t.afterCommit = append(t.afterCommit, f) }

// InTx runs f in a READ COMMITTED transaction and commits it if f returns nil. After a serialization failure (40001)
// or a deadlock (40P01), it runs f again, a limited number of times, so f must have no effect outside the transaction:
// that belongs in AfterCommit. A panic rolls back and continues. Errors are classified.
func (p *Pool) InTx(ctx context.Context, f func(tx *Tx) error) error {
	for attempt := 1; ; attempt++ {
		tx, err := p.try(ctx, f)
		if err == nil {
			for _, hook := range tx.afterCommit {
				hook()
			}
			return nil
		}
		if !retryable(err) || attempt == txAttempts {
			return Classify(err)
		}
		// Two transactions that deadlocked would meet again if both retried at once.
		wait := rand.N(time.Duration(attempt) * 20 * time.Millisecond) //nolint:gosec // spreading, not secrecy
		pause := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			pause.Stop()
			return Classify(err)
		case <-pause.C:
		}
	}
}

func (p *Pool) try(ctx context.Context, f func(tx *Tx) error) (_ *Tx, err error) {
	inner, err := p.Begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	// The rollback must reach PostgreSQL even if ctx has ended. After a commit it does nothing.
	defer func() {
		rollback, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = inner.Rollback(rollback)
	}()
	tx := &Tx{Tx: inner}
	if err := inner.QueryRow(ctx, `select now()`).Scan(&tx.now); err != nil {
		return nil, fmt.Errorf("read the transaction's time: %w", err)
	}
	tx.now = tx.now.UTC()
	if err := f(tx); err != nil {
		return nil, err
	}
	if err := inner.Commit(ctx); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	return tx, nil
}
