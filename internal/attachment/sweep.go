package attachment

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"housecall/internal/postgres"
)

// sweepBatch is how many files are swept in one transaction.
const sweepBatch = 100

// Sweep deletes files that nobody has sent within a day, and what processes that died have left of uploads, and tells
// how many. Any number of instances may do so at once.
//
// A file is disowned first: a transaction that checks under the row's lock that no message has the file marks its row
// as incomplete. Then the bytes are deleted, and then the row. A process that dies in between leaves a disowned row,
// which nobody sees and with which the next sweep begins. So no row without bytes is ever seen, and no bytes are
// forgotten.
func (s *Service) Sweep(ctx context.Context) (int64, error) {
	var swept int64
	for {
		var ids []uuid.UUID
		err := s.d.Pool.InTx(ctx, func(tx *postgres.Tx) (err error) {
			ids, err = disown(ctx, tx, orphanAge, unfinishedAge, sweepBatch)
			return err
		})
		if err != nil {
			return swept, err
		}
		var failures []error
		for _, id := range ids {
			if err := s.remove(ctx, Attachment{ID: id}); err != nil {
				failures = append(failures, fmt.Errorf("sweep attachment %s: %w", id, err))
				continue
			}
			swept++
		}
		if len(failures) > 0 {
			// The same ones would come again: the others wait for the next time.
			return swept, errors.Join(failures...)
		}
		if len(ids) < sweepBatch {
			return swept, nil
		}
	}
}
