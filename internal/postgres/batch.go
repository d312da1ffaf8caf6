package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Batch is a set of statements that go to PostgreSQL in one round trip. In a transaction, each sees what was committed
// before its own turn, as if it had been sent alone: after a statement that waited for a lock, the next one reads with
// the lock held. After the first error, the rest of a batch is not run.
type Batch = pgx.Batch

// QueueRows is Rows inside a batch: Send passes the rows to use and returns its error.
func QueueRows[T any](b *Batch, use func([]T) error, what, sql string, args ...any) {
	queue(b, pgx.RowToStructByName[T], use, query{what, sql, args})
}

// QueueColumn is Column inside a batch.
func QueueColumn[T any](b *Batch, use func([]T) error, what, sql string, args ...any) {
	queue(b, pgx.RowTo[T], use, query{what, sql, args})
}

func queue[T any](b *Batch, scan pgx.RowToFunc[T], use func([]T) error, q query) {
	b.Queue(q.sql, q.args...).Query(func(rows pgx.Rows) error {
		all, err := pgx.CollectRows(rows, scan)
		if err != nil {
			return fmt.Errorf("read %s: %w", q.what, Classify(err))
		}
		return use(all)
	})
}

// QueueExec is Exec inside a batch, for a statement whose number of rows does not matter.
func QueueExec(b *Batch, what, sql string, args ...any) {
	b.Queue(sql, args...).Fn = func(br pgx.BatchResults) error {
		if _, err := br.Exec(); err != nil {
			return fmt.Errorf("%s: %w", what, Classify(err))
		}
		return nil
	}
}

// Send runs a batch in one round trip and returns the first error, whether from a statement or from a use function.
func Send(ctx context.Context, db DB, b *Batch) error {
	if err := db.SendBatch(ctx, b).Close(); err != nil {
		return Classify(err)
	}
	return nil
}
