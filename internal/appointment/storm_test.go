package appointment_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// storm is many people doing random things at the same time on two instances.
type storm struct {
	*world
	instances []*appointment.Service
	patients  []auth.Actor
	doctors   []auth.Actor
}

// slot is one of few times, so that people meet.
func (s *storm) slot(r *rand.Rand) time.Time {
	return at(10, 0).AddDate(0, 0, r.IntN(2)).Add(time.Duration(r.IntN(6)) * 30 * time.Minute)
}

// act does one thing.
func (s *storm) act(r *rand.Rand) error {
	ctx, svc := context.Background(), s.instances[r.IntN(2)]
	p, d, when := s.patients[r.IntN(len(s.patients))], s.doctors[r.IntN(len(s.doctors))], s.slot(r)
	mine, _, err := svc.List(ctx, p,
		appointment.Filter{Statuses: []appointment.Status{appointment.Pending, appointment.Booked}}, 0, 20)
	if err != nil {
		return err
	}
	var a appointment.Appointment
	if len(mine) > 0 {
		a = mine[r.IntN(len(mine))]
	}
	switch r.IntN(12) {
	case 0, 1:
		_, err = svc.Book(ctx, p, appointment.Booking{Doctor: d.UserID, StartsAt: &when, Reason: "Cough"})
	case 2:
		_, err = svc.Book(ctx, p, appointment.Booking{Specialization: "Cardiology", StartsAt: &when, Reason: "Cough"})
	case 3:
		_, err = svc.Hold(ctx, p, appointment.Booking{Doctor: d.UserID, StartsAt: &when})
	case 4:
		_, err = svc.Hold(ctx, p, appointment.Booking{Specialization: "Cardiology", StartsAt: &when})
	case 5, 6:
		err = s.useHold(ctx, r, svc, p)
	case 7:
		_, err = svc.Cancel(ctx, p, a.PublicID, appointment.Ending{Reason: "Well again"})
	case 8:
		_, err = svc.Reschedule(ctx, p, a.PublicID, appointment.Rescheduling{StartsAt: when})
	case 9:
		by := auth.Actor{ID: a.Doctor.ID, UserID: a.Doctor.UserID, Role: auth.Doctor}
		if r.IntN(2) == 0 {
			_, err = svc.Confirm(ctx, by, a.PublicID, appointment.Confirmation{})
		} else {
			_, err = svc.Reject(ctx, by, a.PublicID, appointment.Ending{Reason: "Ill"})
		}
	case 10:
		var entry appointment.Waiting
		entry, err = svc.Wait(ctx, p, d.UserID, tuesday, tuesday.AddDate(0, 0, 1))
		if err == nil && r.IntN(4) == 0 {
			err = svc.Leave(ctx, p, d.UserID, entry.ID)
		}
	default:
		err = s.pool.InTx(
			ctx,
			func(tx *postgres.Tx) error { // it locks in no order: a deadlock is its own fault, and is retried
				_, err := tx.Exec(ctx, `update slot_claims set expires_at = $1 where hold_id is not null and random() < 0.3`, s.now)
				return err
			},
		)
		if err == nil {
			_, err = svc.Deadlines(ctx)
		}
	}
	return err
}

func (s *storm) useHold(ctx context.Context, r *rand.Rand, svc *appointment.Service, p auth.Actor) error {
	held, err := svc.Holds(ctx, p)
	if err != nil || len(held) == 0 {
		return err
	}
	h := held[r.IntN(len(held))]
	if r.IntN(3) == 0 {
		return svc.Unhold(ctx, p, h.ID)
	}
	_, err = svc.Book(ctx, p, appointment.Booking{HoldID: h.ID, Reason: "Cough"})
	return err
}

// Whatever many people do at the same time, nothing fails because of us, and the resulting data is consistent.
func TestService_storm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second, _ := w.instance()
	s := &storm{world: w, instances: []*appointment.Service{w.svc, second}, patients: w.crowd(10)}
	s.doctors = []auth.Actor{w.doctor, w.stranger, w.user("DOC0000000003", "Dr Third", auth.Doctor)}
	for i, d := range s.doctors {
		w.rules(d, fmt.Sprintf(`per_day = 4, buffer_after = %d, auto_confirm = %t`, 10*i, i == 1))
	}
	const workers, steps = 12, 60
	unexpected := make([]error, workers)
	together(workers, func(i int) {
		r := rand.New(rand.NewPCG(uint64(i), 7))
		for range steps {
			err := s.act(r)
			switch errs.KindOf(err) {
			case errs.Conflict, errs.NotFound, errs.Invalid, errs.PreconditionFailed:
			default:
				if err != nil {
					unexpected[i] = err
					return
				}
			}
		}
	})
	for _, err := range unexpected {
		require.NoError(t, err)
	}
	none := func(what, sql string) { require.Zero(t, w.count(`select count(*) from (`+sql+`) found`), what) }
	none(
		"live ones without their claim",
		`select from appointments a where status in ('PENDING', 'BOOKED') and not exists (
		select from slot_claims c where c.appointment_id = a.id and c.doctor_id = a.doctor_id and lower(c.visible) = a.starts_at)`,
	)
	none("claims of what is over",
		`select from slot_claims c join appointments a on a.id = c.appointment_id where a.Status not in ('PENDING', 'BOOKED')`)
	none("full days", `select from slot_claims group by doctor_id, lower(visible)::date having count(*) > 4`)
	none("offers to one entry twice",
		`select from slot_claims where waitlist_id is not null group by waitlist_id having count(*) > 1`)
	none("offers to nobody",
		`select from slot_claims c join waitlist e on e.id = c.waitlist_id where e.ended_at is not null`)
	none(
		"moves without their rows",
		`select from appointments a where version <> (select count(*) from appointment_history h where h.appointment_id = a.id)
		or version <> (select head_seq from conversations c where c.id = a.id)
		or version <> (select count(*) from audit_events e where e.subject = a.public_id and e.action like 'appointment.%')`,
	)
	require.NotZero(t, w.count(`select count(*) from appointments where status = 'CANCELLED'`), "something happened")
	require.NotZero(t, w.count(`select count(*) from waitlist`), "something happened")
}
