package preference

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"housecall/internal/errs"
	"housecall/internal/notify"
	"housecall/internal/postgres"
)

// row is a row of preferences.
type row struct {
	TimeZone  string
	KindsOff  []notify.Kind
	QuietFrom *int // null, like QuietTo, for no quiet hours
	QuietTo   *int
	Version   int
}

func selectOne(ctx context.Context, db postgres.DB, userID int64) (Preferences, error) {
	rows, err := db.Query(ctx, `
		select coalesce(time_zone, '') as time_zone, kinds_off, quiet_from, quiet_to, version
		from preferences where user_id = $1`, userID)
	if err != nil {
		return Preferences{}, fmt.Errorf("read preferences: %w", postgres.Classify(err))
	}
	r, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[row])
	if errors.Is(err, pgx.ErrNoRows) {
		return Preferences{Version: FirstVersion}, nil
	}
	if err != nil {
		return Preferences{}, fmt.Errorf("read preferences: %w", postgres.Classify(err))
	}
	p := Preferences{TimeZone: r.TimeZone, Off: r.KindsOff, Version: r.Version}
	if r.QuietFrom != nil && r.QuietTo != nil {
		p.Quiet = &QuietHours{From: *r.QuietFrom, To: *r.QuietTo}
	}
	return p, nil
}

// swap replaces the row that has version p.Version. If there is no row, it first inserts the defaults, so that two
// simultaneous first changes contend for one row.
func swap(ctx context.Context, tx *postgres.Tx, userID int64, p Preferences) error {
	_, err := tx.Exec(ctx, `
		insert into preferences (user_id, version, updated_at) values ($1, $2, $3)
		on conflict (user_id) do nothing`, userID, FirstVersion, tx.Now())
	if err != nil {
		return fmt.Errorf("make the preferences of user %d: %w", userID, postgres.Classify(err))
	}
	var from, to *int
	if p.Quiet != nil {
		from, to = &p.Quiet.From, &p.Quiet.To
	}
	off := p.Off
	if off == nil {
		off = []notify.Kind{} // nil would be null
	}
	tag, err := tx.Exec(ctx, `
		update preferences
		set time_zone = nullif($3::text, ''), kinds_off = $4, quiet_from = $5, quiet_to = $6,
		    version = version + 1, updated_at = $7
		where user_id = $1 and version = $2`,
		userID, p.Version, p.TimeZone, off, from, to, tx.Now())
	if err != nil {
		return fmt.Errorf("change the preferences of user %d: %w", userID, postgres.Classify(err))
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("change the preferences of user %d: %w", userID, errs.ErrStale)
	}
	return nil
}
