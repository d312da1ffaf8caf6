package account

import (
	"context"
	"time"

	"housecall/internal/postgres"
	"housecall/internal/text"
)

const (
	catchUpBatch = 500              // names that one transaction folds
	catchUpTime  = 15 * time.Second // how long one call of CatchUp goes on
)

// CatchUp folds the names that the search for people does not find by their folded form yet, because the release before
// wrote them. It may run on several instances at once, waits for nobody, and returns after a while; the next call
// continues.
func (s *Service) CatchUp(ctx context.Context) error {
	for until := time.Now().Add(catchUpTime); time.Now().Before(until); {
		var some []named
		err := s.pool.InTx(ctx, func(tx *postgres.Tx) (err error) {
			if some, err = lockUnfolded(ctx, tx, catchUpBatch); err != nil || len(some) == 0 {
				return err
			}
			for i := range some {
				some[i].folded = text.Fold(some[i].Name)
			}
			return saveFolded(ctx, tx, some)
		})
		if err != nil || len(some) < catchUpBatch {
			return err
		}
	}
	return nil
}
