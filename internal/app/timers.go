package app

import (
	"context"
	"time"
)

// timers have done what time alone demands: once each, on one instance, however many there are.
func (a *App) timers(r *rooms) {
	a.jobs.Every("deadlines", time.Minute, func(ctx context.Context) error {
		met, err := r.appointments.Deadlines(ctx)
		a.log.Debug().Int("met", met).Msg("looked for deadlines")
		return err
	})
	a.jobs.Every("purge", time.Hour, func(ctx context.Context) error {
		deleted, err := r.accounts.PurgeExpired(ctx)
		a.log.Debug().Int64("deleted", deleted).Msg("deleted expired sessions and tokens")
		return err
	})
}
