package doctor

import (
	"context"
	"fmt"
	"time"

	"housecall/internal/postgres"
	"housecall/internal/text"
)

const (
	catchUpBatch = 500              // profiles that one transaction changes
	catchUpTime  = 15 * time.Second // how long one call of CatchUp goes on
)

// CatchUp makes what is derived from profiles, which are their folded texts and the E.164 of phone numbers, where it is
// missing because the release before wrote them. It may run on several instances at once, waits for nobody, and returns
// after a while; the next call continues.
func (s *Service) CatchUp(ctx context.Context) error {
	for until := time.Now().Add(catchUpTime); time.Now().Before(until); {
		var some []underived
		err := s.pool.InTx(ctx, func(tx *postgres.Tx) (err error) {
			if some, err = lockUnderived(ctx, tx, catchUpBatch); err != nil || len(some) == 0 {
				return err
			}
			for i := range some {
				p := &some[i]
				p.folded, p.from = Profile{Specialization: p.Specialization, Qualification: p.Qualification}.folded()
				phone, _ := text.ReadPhone(p.Phone, s.options.PhoneRegion) // what cannot be read has no E.164
				p.e164 = phone.E164
			}
			return saveDerived(ctx, tx, some)
		})
		if err != nil || len(some) < catchUpBatch {
			return err
		}
	}
	return nil
}

// CheckCollation fails if the database does not have the configured collation.
func (s *Service) CheckCollation(ctx context.Context) error {
	if err := tryCollation(ctx, s.pool, s.options.Collation); err != nil {
		return fmt.Errorf("try the collation %q: %w", s.options.Collation, err)
	}
	return nil
}
