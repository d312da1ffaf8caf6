package account

import (
	"context"

	"housecall/internal/postgres"
	"housecall/internal/text"
)

// CatchUp folds the names that the search for people does not find by their folded form yet, because the release before
// wrote them. It may run on several instances at once, waits for nobody, and returns after a while; the next call
// continues.
func (s *Service) CatchUp(ctx context.Context) error {
	return s.pool.CatchUp(ctx, func(tx *postgres.Tx, limit int) (int, error) {
		some, err := lockUnfolded(ctx, tx, limit)
		if err != nil || len(some) == 0 {
			return 0, err
		}
		for i := range some {
			some[i].folded = text.Fold(some[i].Name)
		}
		return len(some), saveFolded(ctx, tx, some)
	})
}
