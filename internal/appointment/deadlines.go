package appointment

import (
	"context"
	"errors"
	"time"

	"housecall/internal/auth"
	"housecall/internal/postgres"
)

// sweepBatch is how many rows a sweep takes at once.
const sweepBatch = 50

// Deadlines makes the changes that are due and tells how many there were: requests whose start has passed, or that have
// waited for a time for RequestTTL, become EXPIRED; an appointment that nobody completed becomes COMPLETED after
// CompleteAfter; expired holds end, and what was offered goes to the next patient on the list. Any number of instances
// may do this at once: each row is changed once. What fails is tried again the next time, and does not stop the rest.
func (s *Service) Deadlines(ctx context.Context) (done int, err error) {
	now := s.now()
	var failures []error
	for _, d := range []deadline{
		{move: MoveExpire, due: dueTimed, before: now},
		{move: MoveExpire, due: dueUntimed, before: now.Add(-s.o.RequestTTL)},
		{move: MoveComplete, due: dueBooked, before: now.Add(-s.o.CompleteAfter)},
	} {
		n, err := s.meet(ctx, d)
		done += n
		failures = append(failures, err)
	}
	n, err := s.endHolds(ctx)
	return done + n, errors.Join(append(failures, err, s.endWaits(ctx))...)
}

// deadline is a move that time makes on the appointments for which due holds at before.
type deadline struct {
	move   Move
	due    string
	before time.Time
}

// meet makes the move on all that are due, each in a transaction of its own.
func (s *Service) meet(ctx context.Context, d deadline) (done int, err error) {
	var failures []error
	after := int64(0)
	for {
		keys, err := due(ctx, s.pool, d, after, sweepBatch)
		if err != nil {
			return done, errors.Join(append(failures, err)...)
		}
		for _, id := range keys {
			after = id
			made, err := s.meetOne(ctx, d, id)
			if err != nil {
				failures = append(failures, err)
			} else if made {
				done++
			}
		}
		if len(keys) < sweepBatch {
			return done, errors.Join(failures...)
		}
	}
}

// meetOne makes the move, unless somebody else holds the appointment or has changed it meanwhile.
func (s *Service) meetOne(ctx context.Context, d deadline, id int64) (made bool, err error) {
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		made = false
		found, err := lockDue(ctx, tx, d, id)
		if err != nil || len(found) == 0 {
			return err
		}
		rules, err := s.rules(ctx, tx, found[0].Doctor.ID)
		if err != nil {
			return err
		}
		_, err = s.apply(ctx, tx, kept{
			change: change{move: d.move, actor: auth.System, side: systemSide}, read: found[0], rules: rules,
		})
		made = err == nil
		return err
	})
	return made, err
}

// endHolds removes expired holds, those of each doctor apart.
func (s *Service) endHolds(ctx context.Context) (done int, err error) {
	doctors, err := doctorsWithExpired(ctx, s.pool, s.now())
	if err != nil {
		return 0, err
	}
	var failures []error
	for _, id := range doctors {
		n, err := s.endHoldsWith(ctx, id)
		done += n
		failures = append(failures, err)
	}
	return done, errors.Join(failures...)
}

// endHoldsWith removes the expired holds on a doctor's time with their row held: what is offered to the next patient is
// judged by their rules, in one line with the bookings.
func (s *Service) endHoldsWith(ctx context.Context, doctorID int64) (done int, err error) {
	for {
		var ended []holdRow
		err := s.pool.InTx(ctx, func(tx *postgres.Tx) error {
			err := s.doctors.Lock(ctx, tx, doctorID)
			if err != nil {
				return err
			}
			if ended, err = dropExpired(ctx, tx, doctorID, s.now(), sweepBatch); err != nil {
				return err
			}
			return s.passOn(ctx, tx, ended...)
		})
		if err != nil {
			return done, err
		}
		if done += len(ended); len(ended) < sweepBatch {
			return done, nil
		}
	}
}

// endWaits ends the entries of waiting lists whose days are over everywhere on earth.
func (s *Service) endWaits(ctx context.Context) error {
	yesterday := s.now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
	for {
		var n int64
		err := s.pool.InTx(ctx, func(tx *postgres.Tx) (err error) {
			n, err = endWaitingBefore(ctx, tx, yesterday, sweepBatch)
			return err
		})
		if err != nil || n < sweepBatch {
			return err
		}
	}
}
