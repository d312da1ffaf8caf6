package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"housecall/internal/postgres"
)

// sealLock is the key of the advisory lock under which the chain grows.
const sealLock = 0x68635f6175646974 // "hc_audit"

// columns are events, as one slice per column.
type columns struct {
	actors, patients         []int64
	roles, actions, subjects []string
}

func columnsOf(events []Event) (c columns) {
	for _, e := range events {
		c.actors = append(c.actors, e.Actor.ID)
		c.roles = append(c.roles, string(e.Actor.Role))
		c.actions = append(c.actions, e.Action)
		c.subjects = append(c.subjects, e.Subject)
		c.patients = append(c.patients, e.PatientID)
	}
	return c
}

func insert(ctx context.Context, db postgres.DB, events []Event, details []string, request string) error {
	c := columnsOf(events)
	_, err := db.Exec(ctx, `
		insert into audit_events (actor_id, actor_role, action, subject, patient_id, request_id, detail)
		select nullif(actor, 0), role, action, subject, nullif(patient, 0), $7, detail::jsonb
		from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[])
			with ordinality as e(actor, role, action, subject, patient, detail, n)
		order by n`, c.actors, c.roles, c.actions, c.subjects, c.patients, details, request)
	return err
}

// row is what a seal covers. Detail is jsonb's own text, which PostgreSQL writes the same way every time.
type row struct {
	ID        int64
	At        time.Time
	ActorID   int64
	ActorRole string
	Action    string
	Subject   string
	PatientID int64
	RequestID string
	Detail    string
}

type sealedRow struct {
	row
	Position int64
	Seal     []byte
}

func takeSealLock(ctx context.Context, tx *postgres.Tx) (mine bool, err error) {
	if err := tx.QueryRow(ctx, `select pg_try_advisory_xact_lock($1)`, int64(sealLock)).Scan(&mine); err != nil {
		return false, fmt.Errorf("take the lock: %w", err)
	}
	return mine, nil
}

// head returns the position and seal of the last sealed row, 0 and nil for an empty chain.
func head(ctx context.Context, db postgres.DB) (position int64, seal []byte, err error) {
	err = db.QueryRow(ctx, `
		select position, seal from audit_events where position is not null order by position desc limit 1`).
		Scan(&position, &seal)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, nil, fmt.Errorf("read the head: %w", err)
	}
	return position, seal, nil
}

// unsealed returns the next rows in the order of their ids. A row that commits after one with a higher id gets a later
// position: the chain follows the order of sealing.
func unsealed(ctx context.Context, db postgres.DB, limit int) ([]row, error) {
	rows, _ := db.Query(ctx, `
		select id, at, coalesce(actor_id, 0) as actor_id, actor_role, action, subject, coalesce(patient_id, 0) as patient_id,
		       request_id, detail::text as detail
		from audit_events where position is null order by id limit $1`, limit)
	out, err := pgx.CollectRows(rows, pgx.RowToStructByName[row])
	if err != nil {
		return nil, fmt.Errorf("read unsealed rows: %w", err)
	}
	return out, nil
}

// setSeals stores the seals, and gives the rows the positions after last, in their order.
func setSeals(ctx context.Context, tx *postgres.Tx, last int64, ids []int64, seals [][]byte) error {
	tag, err := tx.Exec(ctx, `
		update audit_events a set position = $1 + s.n, seal = s.seal
		from unnest($2::bigint[], $3::bytea[]) with ordinality as s(id, seal, n)
		where a.id = s.id and a.position is null`, last, ids, seals)
	if err != nil {
		return fmt.Errorf("write seals: %w", err)
	}
	if tag.RowsAffected() != int64(len(ids)) {
		return fmt.Errorf("write seals: %d of %d rows were there", tag.RowsAffected(), len(ids))
	}
	return nil
}

// eachSealed calls f with each row of the chain, in the order of positions, until f returns false.
func eachSealed(ctx context.Context, db postgres.DB, f func(sealedRow) bool) error {
	rows, err := db.Query(ctx, `
		select id, at, coalesce(actor_id, 0) as actor_id, actor_role, action, subject, coalesce(patient_id, 0) as patient_id,
		       request_id, detail::text as detail, position, seal
		from audit_events where position is not null order by position`)
	if err != nil {
		return fmt.Errorf("read the chain: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		r, err := pgx.RowToStructByName[sealedRow](rows)
		if err != nil {
			return fmt.Errorf("read the chain: %w", err)
		}
		if !f(r) {
			return nil
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the chain: %w", err)
	}
	return nil
}

func countUnsealed(ctx context.Context, db postgres.DB) (n int64, err error) {
	if err := db.QueryRow(ctx, `select count(*) from audit_events where position is null`).Scan(&n); err != nil {
		return 0, fmt.Errorf("count unsealed rows: %w", err)
	}
	return n, nil
}
