package doctor

import (
	"context"
	"fmt"

	"housecall/internal/postgres"
	"housecall/internal/text"
)

// CatchUp makes what is derived from profiles, which are their folded texts and the E.164 of phone numbers, where it is
// missing because the release before wrote them. It may run on several instances at once, waits for nobody, and returns
// after a while; the next call continues.
func (s *Service) CatchUp(ctx context.Context) error {
	return s.pool.CatchUp(ctx, func(tx *postgres.Tx, limit int) (int, error) {
		some, err := lockUnderived(ctx, tx, limit)
		if err != nil || len(some) == 0 {
			return 0, err
		}
		for i := range some {
			p := &some[i]
			p.folded, p.from = Profile{Specialization: p.Specialization, Qualification: p.Qualification}.folded()
			phone, _ := text.ReadPhone(p.Phone, s.options.PhoneRegion) // what cannot be read has no E.164
			p.e164 = phone.E164
		}
		return len(some), saveDerived(ctx, tx, some)
	})
}

// CheckCollation fails if the database does not have the configured collation.
func (s *Service) CheckCollation(ctx context.Context) error {
	if err := tryCollation(ctx, s.pool, s.options.Collation); err != nil {
		return fmt.Errorf("try the collation %q: %w", s.options.Collation, err)
	}
	return nil
}
