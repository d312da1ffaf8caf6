package preference

import (
	"context"
	"fmt"
	"slices"
	"time"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/notify"
	"housecall/internal/postgres"
	"housecall/internal/zone"
)

// Service is the only way to read and change preferences.
type Service struct {
	pool *postgres.Pool
	zone *time.Location // the clinic's
}

// Options are the configured values.
type Options struct {
	// Zone is the clinic's time zone, for users who have chosen none.
	Zone *time.Location
}

// Deps are what a Service needs.
type Deps struct {
	Pool    *postgres.Pool
	Options Options
}

// New makes the service.
func New(d Deps) *Service { return &Service{pool: d.Pool, zone: d.Options.Zone} }

// Get returns the actor's own preferences; the defaults at FirstVersion if none were ever set.
func (s *Service) Get(ctx context.Context, by auth.Actor) (Preferences, error) {
	return selectOne(ctx, s.pool, by.ID)
}

// Replace sets the actor's own preferences, by compare-and-swap on p.Version: errs.ErrStale if it is not the current
// one. The error names every invalid field.
func (s *Service) Replace(ctx context.Context, by auth.Actor, p Preferences) (Preferences, error) {
	p, err := p.normalize()
	if err != nil {
		return Preferences{}, err
	}
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		if err := swap(ctx, tx, by.ID, p); err != nil {
			return err
		}
		// When people sleep and what they care about is nobody else's business, so the trail has no values.
		return audit.Record(ctx, tx, audit.Event{Actor: by, Action: "preferences.change", Subject: by.UserID})
	})
	if err != nil {
		return Preferences{}, err
	}
	p.Version++
	return p, nil
}

// Decide reports whether a notification of a kind, due at a time, is sent to the user, and the earliest time to send
// it (zero: at once): during quiet hours it waits for their end, unless it is urgent. It is an error to ask about a
// kind that is not optional: nobody can choose there.
func (s *Service) Decide(
	ctx context.Context, userID int64, kind notify.Kind, at time.Time,
) (send bool, notBefore time.Time, err error) {
	if !slices.Contains(notify.Optional(), kind) {
		return false, time.Time{}, errs.New(errs.Internal, "unknown_kind", "There is no such kind of notification.")
	}
	p, err := selectOne(ctx, s.pool, userID)
	if err != nil {
		return false, time.Time{}, err
	}
	loc, err := chosen(p)
	if err != nil {
		return false, time.Time{}, err
	}
	if loc == nil {
		loc = s.zone
	}
	send, notBefore = p.judge(kind, at, loc)
	return send, notBefore, nil
}

// Zone returns the zone that the user has chosen to read times in; nil if none.
func (s *Service) Zone(ctx context.Context, userID int64) (*time.Location, error) {
	p, err := selectOne(ctx, s.pool, userID)
	if err != nil {
		return nil, err
	}
	return chosen(p)
}

// chosen loads the zone of stored preferences, nil for none.
func chosen(p Preferences) (*time.Location, error) {
	if p.TimeZone == "" {
		return nil, nil
	}
	loc, err := zone.Load(p.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("load the stored time zone: %w", err)
	}
	return loc, nil
}
