package idempotency

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"housecall/internal/postgres"
)

type row struct {
	UserID      int64
	Digest      []byte
	Fingerprint []byte
	Claim       uuid.UUID
	LeaseUntil  time.Time
	Answer      *string
	CreatedAt   time.Time
}

// claimKey takes a key that is free, whose lease has ended, or that was taken before old; false otherwise. Only the
// same request can take over from a crashed attempt: a different one with that key is still refused.
func claimKey(ctx context.Context, db postgres.DB, r row, old time.Time) (taken bool, err error) {
	tag, err := db.Exec(ctx, `
		insert into idempotency_keys as k (user_id, digest, fingerprint, claim, lease_until, created_at)
		values ($1, $2, $3, $4, $5, $6)
		on conflict on constraint idempotency_keys_pkey do update
		set fingerprint = excluded.fingerprint, claim = excluded.claim, lease_until = excluded.lease_until, answer = null,
		    created_at = excluded.created_at
		where k.created_at <= $7
		   or k.answer is null and k.lease_until <= excluded.created_at and k.fingerprint = excluded.fingerprint`,
		r.UserID, r.Digest, r.Fingerprint, r.Claim, r.LeaseUntil, r.CreatedAt, old)
	if err != nil {
		return false, fmt.Errorf("claim an idempotency key of user %d: %w", r.UserID, postgres.Classify(err))
	}
	return tag.RowsAffected() == 1, nil
}

func selectKey(ctx context.Context, db postgres.DB, userID int64, digest []byte) (r row, there bool, err error) {
	rows, err := db.Query(ctx, `
		select user_id, digest, fingerprint, claim, lease_until, answer, created_at
		from idempotency_keys where user_id = $1 and digest = $2`, userID, digest)
	if err == nil {
		r, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[row])
	}
	switch {
	case errors.Is(err, postgres.ErrNoRows):
		return row{}, false, nil
	case err != nil:
		return row{}, false, fmt.Errorf("read an idempotency key of user %d: %w", userID, postgres.Classify(err))
	}
	return r, true, nil
}

// claimed identifies a key and the attempt that holds it.
type claimed struct {
	userID int64
	digest []byte
	claim  uuid.UUID
}

func updateAnswer(ctx context.Context, db postgres.DB, k claimed, answer string) error {
	_, err := db.Exec(ctx, `
		update idempotency_keys set answer = $4
		where user_id = $1 and digest = $2 and claim = $3`, k.userID, k.digest, k.claim, answer)
	if err != nil {
		return fmt.Errorf("keep an answer for user %d: %w", k.userID, postgres.Classify(err))
	}
	return nil
}

func deleteKey(ctx context.Context, db postgres.DB, k claimed) error {
	_, err := db.Exec(ctx, `
		delete from idempotency_keys
		where user_id = $1 and digest = $2 and claim = $3 and answer is null`, k.userID, k.digest, k.claim)
	if err != nil {
		return fmt.Errorf("free an idempotency key of user %d: %w", k.userID, postgres.Classify(err))
	}
	return nil
}

func deleteOld(ctx context.Context, db postgres.DB, old time.Time) (int64, error) {
	tag, err := db.Exec(ctx, `delete from idempotency_keys where created_at <= $1`, old)
	if err != nil {
		return 0, fmt.Errorf("delete old idempotency keys: %w", postgres.Classify(err))
	}
	return tag.RowsAffected(), nil
}
