package preference

import (
	"context"
	"fmt"
	"slices"
	"time"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// Service is the only door to preferences.
type Service struct {
	pool   *postgres.Pool
	clinic *time.Location
}

// New makes the room. Of cfg it reads ClinicZone.
func New(pool *postgres.Pool, cfg config.Config) (*Service, error) {
	clinic, err := config.LoadZone(cfg.ClinicZone)
	if err != nil {
		return nil, fmt.Errorf("preference: the clinic's zone: %w", err)
	}
	return &Service{pool: pool, clinic: clinic}, nil
}

// Get gives the actor's own preferences, the defaults at FirstVersion if he has set none.
func (s *Service) Get(ctx context.Context, by auth.Actor) (Preferences, error) {
	return selectOne(ctx, s.pool, by.ID)
}

// Replace sets the actor's own preferences, by compare-and-swap on p.Version: errs.ErrStale if it is not the current
// one. What is wrong is named field by field.
func (s *Service) Replace(ctx context.Context, by auth.Actor, p Preferences) (Preferences, error) {
	p, err := p.normalize()
	if err != nil {
		return Preferences{}, err
	}
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		if err := swap(ctx, tx, by.ID, p); err != nil {
			return err
		}
		// What somebody sleeps through or cares for is nobody else's business: the trail has no values.
		return audit.Record(ctx, tx, audit.Event{Actor: by, Action: "preferences.change", Subject: by.UserID})
	})
	if err != nil {
		return Preferences{}, err
	}
	p.Version++
	return p, nil
}

// Decide tells whether a notification of a kind, due at a time, goes to the user, and not before when (zero: at once):
// during his quiet hours it waits for their end. Urgent ones (offers that expire, reminders of the next hour) do not
// wait. It is not asked about security mail. A kind that is none of Kinds is an error: nobody could have chosen.
func (s *Service) Decide(ctx context.Context, userID int64, kind string, urgent bool, at time.Time) (send bool, notBefore time.Time, err error) {
	if !slices.Contains(Kinds, kind) {
		return false, time.Time{}, errs.New(errs.Internal, "unknown_kind", "There is no such kind of notification.")
	}
	p, err := selectOne(ctx, s.pool, userID)
	if err != nil {
		return false, time.Time{}, err
	}
	zone, err := chosen(p)
	if err != nil {
		return false, time.Time{}, err
	}
	if zone == nil {
		zone = s.clinic
	}
	send, notBefore = p.decide(kind, urgent, at, zone)
	return send, notBefore, nil
}

// Zone gives the zone in which the user reads times; nil: he has chosen none.
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
	zone, err := config.LoadZone(p.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("a zone was stored that does not load: %w", err)
	}
	return zone, nil
}
