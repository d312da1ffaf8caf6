package app

import (
	"context"
	"errors"
	"time"
)

// timers schedules what the clock triggers. Each runs on one instance, however many there are.
func (a *App) timers(s *services) {
	a.jobs.Every("deadlines", time.Minute, func(ctx context.Context) error {
		met, err := s.appointments.Deadlines(ctx)
		a.log.Debug().Int("met", met).Msg("checked deadlines")
		return err
	})
	a.jobs.Every("unread", time.Minute, a.chat.NotifyAbsent)
	a.jobs.Every("attachments", 10*time.Minute, func(ctx context.Context) error {
		return a.purge(ctx, "files that were never sent", a.files.Sweep)
	})
	a.jobs.Every("search", time.Minute, a.search.CatchUp)
	a.jobs.Every("derived", time.Minute, func(ctx context.Context) error {
		return errors.Join(s.accounts.CatchUp(ctx), s.doctors.CatchUp(ctx), s.patients.CatchUp(ctx))
	})
	a.jobs.Every("purge", time.Hour, func(ctx context.Context) error {
		return errors.Join(
			a.purge(ctx, "sessions and tokens", s.accounts.PurgeExpired),
			a.purge(ctx, "idempotency keys", s.answers.Purge),
		)
	})
}

// purge deletes what can no longer be used.
func (a *App) purge(ctx context.Context, what string, purge func(context.Context) (int64, error)) error {
	deleted, err := purge(ctx)
	a.log.Debug().Str("what", what).Int64("deleted", deleted).Msg("deleted expired rows")
	return err
}
