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

// Deadlines makes the changes that are due and returns how many it made. Requests become EXPIRED once their start has
// passed or, without a time, after RequestTTL; a proposal that nobody answered lapses; an appointment that nobody
// completed becomes COMPLETED after CompleteAfter; expired holds end, and the times they offered go to the next
// patient on the list. Any number of instances may call it at the same time: each row is changed once. A failed
// change does not stop the others and is tried again next time.
func (s *Service) Deadlines(ctx context.Context) (done int, err error) {
	now := s.now()
	var failures []error
	for _, d := range []deadline{
		{move: MoveLapse, due: dueProposal, before: now},
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

// deadline is a move that is made with time, on the appointments for which due holds at before.
type deadline struct {
	move   Move
	due    string
	before time.Time
}

// meet makes the move on all appointments that are due, each in its own transaction.
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

// meetOne makes the move, unless another transaction has locked the appointment or changed it in the meantime.
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

// endHolds removes expired holds, one transaction for each doctor.
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

// endHoldsWith removes the expired holds on a doctor's time, with the doctor's row locked: offers to the next patient
// are judged by the doctor's rules, and must not interleave with bookings.
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

// endWaits ends the waiting-list entries whose last day has passed in every time zone.
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
