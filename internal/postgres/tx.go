package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// txAttempts bounds how often InTx runs its function when PostgreSQL asks to try again.
const txAttempts = 5

// Tx is a transaction. It has one time, PostgreSQL's own, so that everything written in it agrees.
type Tx struct {
	pgx.Tx
	now         time.Time
	afterCommit []func()
}

// Now is the transaction's time (PostgreSQL's now(): the same for its whole length), in UTC.
func (t *Tx) Now() time.Time { return t.now }

// AfterCommit runs f once the transaction has committed, in order of registration; not if it rolls back. A
// retried transaction starts with none. f must not block for long: the caller waits for it.
func (t *Tx) AfterCommit(f func()) { t.afterCommit = append(t.afterCommit, f) }

// InTx runs f in a READ COMMITTED transaction and commits it when f returns nil. A serialization failure
// (40001) or deadlock (40P01) runs f again, a bounded number of times, so f must have no effect outside the
// transaction: that belongs into AfterCommit. A panic rolls back and goes on. Errors are classified.
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
		// Two transactions that deadlocked once would meet again if both came back at once.
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
	// The rollback must reach PostgreSQL even when ctx is what ended the transaction. After a commit it does nothing.
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
