package postgres

import (
	"context"
	"time"
)

const (
	catchUpBatch = 500              // rows in one transaction
	catchUpTime  = 15 * time.Second // how long one call of CatchUp goes on
)

// CatchUp derives again what a release before has not written: it calls batch with transactions of their own until one
// has changed fewer rows than its limit, or for a while; the next call continues. It may run on several instances at
// once if batch passes over rows that are locked.
func (p *Pool) CatchUp(ctx context.Context, batch func(tx *Tx, limit int) (changed int, err error)) error {
	for until := time.Now().Add(catchUpTime); time.Now().Before(until); {
		changed := 0
		err := p.InTx(ctx, func(tx *Tx) (err error) {
			changed, err = batch(tx, catchUpBatch)
			return err
		})
		if err != nil || changed < catchUpBatch {
			return err
		}
	}
	return nil
}
