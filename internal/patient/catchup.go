package patient

import (
	"context"
	"time"

	"housecall/internal/postgres"
	"housecall/internal/text"
)

const (
	catchUpBatch = 500              // entries that one transaction changes
	catchUpTime  = 15 * time.Second // how long one call of CatchUp goes on
)

// CatchUp reads the phone numbers that have no E.164 yet because the release before wrote them. It may run on several
// instances at once, waits for nobody, and returns after a while; the next call continues.
func (s *Service) CatchUp(ctx context.Context) error {
	for until := time.Now().Add(catchUpTime); time.Now().Before(until); {
		var some []unread
		err := s.pool.InTx(ctx, func(tx *postgres.Tx) (err error) {
			if some, err = lockUnread(ctx, tx, catchUpBatch); err != nil || len(some) == 0 {
				return err
			}
			for i := range some {
				p, _ := text.ReadPhone(some[i].Phone, s.options.PhoneRegion) // what cannot be read has no E.164
				some[i].e164 = p.E164
			}
			return saveRead(ctx, tx, some)
		})
		if err != nil || len(some) < catchUpBatch {
			return err
		}
	}
	return nil
}
