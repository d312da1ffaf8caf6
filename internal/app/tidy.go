package app

import (
	"context"
	"time"
)

const (
	tidyEvery  = time.Hour
	tidyBudget = time.Minute
)

// tidy deletes sessions and tokens that can no longer be used, once an hour. Several instances doing so at once
// only find less to do.
func (a *App) tidy(ctx context.Context) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		budget, cancel := context.WithTimeout(ctx, tidyBudget)
		deleted, err := a.accounts.PurgeExpired(budget)
		cancel()
		if err != nil && ctx.Err() == nil {
			a.log.Warn().Err(err).Msg("expired sessions could not be deleted; the next hour tries again")
			continue
		}
		a.log.Debug().Int64("deleted", deleted).Msg("deleted expired sessions and tokens")
	}
}
