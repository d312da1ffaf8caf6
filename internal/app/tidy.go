package app

import (
	"context"
	"time"
)

const (
	tidyEvery  = time.Hour
	tidyBudget = time.Minute
)

// tidy deletes what can no longer be used, once an hour: sessions and tokens, and answers kept for repeated requests.
// Several instances doing so at once only find less to do.
func (a *App) tidy(ctx context.Context) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		a.purge(ctx, "sessions and tokens", a.accounts.PurgeExpired)
		a.purge(ctx, "idempotency keys", a.idempotency.Purge)
	}
}

func (a *App) purge(ctx context.Context, what string, purge func(context.Context) (int64, error)) {
	budget, cancel := context.WithTimeout(ctx, tidyBudget)
	defer cancel()
	deleted, err := purge(budget)
	if err != nil {
		if ctx.Err() == nil {
			a.log.Warn().Err(err).Str("what", what).Msg("expired rows could not be deleted; the next hour tries again")
		}
		return
	}
	a.log.Debug().Str("what", what).Int64("deleted", deleted).Msg("deleted expired rows")
}
