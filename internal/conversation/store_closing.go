package conversation

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"housecall/internal/appointment"
	"housecall/internal/postgres"
)

// closer is who closed a conversation, as it is stored.
type closer string

const (
	closedByDoctor closer = "doctor"
	closedByClinic closer = "clinic"
)

// closings returns which of the given conversations are closed, and how.
func closings(ctx context.Context, db postgres.DB, ids []int64) (map[int64]appointment.Closing, error) {
	rows, err := db.Query(ctx, `
select id, closed_at, closed_by = 'clinic' from conversations where id = any($1) and closed_at is not null`, ids)
	if err != nil {
		return nil, fmt.Errorf("read closed conversations: %w", err)
	}
	closed := map[int64]appointment.Closing{}
	var id int64
	var c appointment.Closing
	if _, err = pgx.ForEachRow(rows, []any{&id, &c.At, &c.ByClinic}, func() error {
		closed[id] = c
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read closed conversations: %w", err)
	}
	return closed, nil
}

// lockConversation creates the conversation if there is none, locks it as the committer does, and returns its
// closing.
func lockConversation(ctx context.Context, tx *postgres.Tx, id int64) (closed appointment.Closing, err error) {
	b := &pgx.Batch{}
	b.Queue(`insert into conversations (id) values ($1) on conflict do nothing`, id)
	b.Queue(`select closed_at, closed_by = 'clinic' from conversations where id = $1 for no key update`, id).
		QueryRow(func(row pgx.Row) error {
			var at *time.Time
			var byClinic bool
			if err := row.Scan(&at, &byClinic); err != nil || at == nil {
				return err
			}
			closed = appointment.Closing{At: *at, ByClinic: byClinic}
			return nil
		})
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return appointment.Closing{}, fmt.Errorf("lock conversation: %w", err)
	}
	return closed, nil
}

// setClosed locks a conversation and closes it; false if it is already closed or does not exist.
func setClosed(ctx context.Context, tx *postgres.Tx, id int64, by closer) (closed bool, err error) {
	n, err := postgres.Exec(ctx, tx, "close conversation", `
update conversations set closed_at = statement_timestamp(), closed_by = $2 where id = $1 and closed_at is null`, id, by)
	return n == 1, err
}

// setOpen locks a conversation and reopens it if the given closer closed it ("": whoever did); false if not.
func setOpen(ctx context.Context, tx *postgres.Tx, id int64, by closer) (opened bool, err error) {
	n, err := postgres.Exec(ctx, tx, "open conversation", `
update conversations set closed_at = null
where id = $1 and closed_at is not null and ($2 = '' or closed_by = $2)`, id, by)
	return n == 1, err
}
