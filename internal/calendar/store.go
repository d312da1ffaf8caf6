package calendar

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// missing returns the error for a feed that does not exist.
func missing() error { return errs.Missing("calendar") }

// feed is what reading a feed needs from its row in calendar_feeds.
type feed struct {
	UserID      int64
	LastReadAt  *time.Time
	ContentHash []byte
	ChangedAt   *time.Time
}

// selectFeed finds the feed of a secret. Whether its user is disabled comes from users, which is account's table and
// only read here.
func selectFeed(ctx context.Context, db postgres.DB, secretHash []byte) (feed, error) {
	rows, err := db.Query(ctx, `
		select f.user_id, f.last_read_at, f.content_hash, f.changed_at
		from calendar_feeds f
		join users u on u.id = f.user_id
		where f.secret_hash = $1 and u.disabled_at is null`, secretHash)
	if err != nil {
		return feed{}, fmt.Errorf("read calendar feed: %w", postgres.Classify(err))
	}
	f, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[feed])
	if errors.Is(err, pgx.ErrNoRows) {
		return feed{}, missing()
	}
	if err != nil {
		return feed{}, fmt.Errorf("read calendar feed: %w", postgres.Classify(err))
	}
	return f, nil
}

// markRead notes that the feed was read with a content, and returns since when that has been its content. Two contents
// never share a second: Last-Modified has no finer unit, and a client would be told that nothing has changed.
func markRead(ctx context.Context, db postgres.DB, secretHash, contentHash []byte, now time.Time) (*time.Time, error) {
	var changedAt *time.Time
	err := db.QueryRow(ctx, `
		update calendar_feeds
		set last_read_at = $3, content_hash = $2,
		    changed_at = case when content_hash = $2 then changed_at
		        else greatest(date_trunc('second', $3::timestamptz), changed_at + interval '1 second') end
		where secret_hash = $1
		returning changed_at`, secretHash, contentHash, now).Scan(&changedAt)
	switch {
	case errors.Is(err, postgres.ErrNoRows):
		return nil, missing() // revoked meanwhile
	case err != nil:
		return nil, fmt.Errorf("note that a calendar feed was read: %w", postgres.Classify(err))
	}
	return changedAt, nil
}

func selectLink(ctx context.Context, db postgres.DB, userID int64) (Link, error) {
	var l Link
	err := db.QueryRow(ctx, `select created_at, last_read_at from calendar_feeds where user_id = $1`, userID).
		Scan(&l.CreatedAt, &l.LastReadAt)
	switch {
	case errors.Is(err, postgres.ErrNoRows):
		return Link{}, missing()
	case err != nil:
		return Link{}, fmt.Errorf("read calendar feed: %w", postgres.Classify(err))
	}
	return l, nil
}

// replace creates the user's feed, or replaces it by a new one.
func replace(ctx context.Context, tx *postgres.Tx, userID int64, secretHash []byte) error {
	_, err := tx.Exec(ctx, `
		insert into calendar_feeds (user_id, secret_hash, created_at) values ($1, $2, $3)
		on conflict (user_id) do update
		set secret_hash = excluded.secret_hash, created_at = excluded.created_at,
		    last_read_at = null, content_hash = null, changed_at = null`, userID, secretHash, tx.Now())
	if err != nil {
		return fmt.Errorf("make the calendar feed of user %d: %w", userID, postgres.Classify(err))
	}
	return nil
}

func remove(ctx context.Context, tx *postgres.Tx, userID int64) error {
	tag, err := tx.Exec(ctx, `delete from calendar_feeds where user_id = $1`, userID)
	if err != nil {
		return fmt.Errorf("revoke the calendar feed of user %d: %w", userID, postgres.Classify(err))
	}
	if tag.RowsAffected() == 0 {
		return missing()
	}
	return nil
}
