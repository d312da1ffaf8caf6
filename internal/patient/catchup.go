package patient

import (
	"context"

	"housecall/internal/postgres"
	"housecall/internal/text"
)

// CatchUp reads the phone numbers that have no E.164 yet because the release before wrote them. It may run on several
// instances at once, waits for nobody, and returns after a while; the next call continues.
func (s *Service) CatchUp(ctx context.Context) error {
	return s.pool.CatchUp(ctx, func(tx *postgres.Tx, limit int) (int, error) {
		some, err := lockUnread(ctx, tx, limit)
		if err != nil || len(some) == 0 {
			return 0, err
		}
		for i := range some {
			p, _ := text.ReadPhone(some[i].Phone, s.options.PhoneRegion) // what cannot be read has no E.164
			some[i].e164 = p.E164
		}
		return len(some), saveRead(ctx, tx, some)
	})
}
