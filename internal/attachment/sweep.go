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

// Sweep deletes files that nobody sent within a day, and what dead processes have left of uploads, and returns how
// many. Any number of instances may run it at once.
//
// First it disowns a file: a transaction checks under the row's lock that no message has sent the file, and marks its
// row as incomplete. Then it deletes the bytes, and then the row. If the process dies in between, it leaves a disowned
// row, which nobody sees, and which the next sweep takes up. So nobody ever sees a row without bytes, and no bytes are
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
			// The failed ones would come up again: the others wait for the next sweep.
			return swept, errors.Join(failures...)
		}
		if len(ids) < sweepBatch {
			return swept, nil
		}
	}
}
