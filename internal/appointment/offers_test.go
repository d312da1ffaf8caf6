package appointment_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// toldAtOnce counts notifications from several goroutines. It also counts those of rolled-back transactions, so it is
// only an upper bound.
type toldAtOnce struct {
	mu sync.Mutex // guards told
	told
}

func (n *toldAtOnce) Moved(ctx context.Context, tx *postgres.Tx, m appointment.Notification) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.told.Moved(ctx, tx, m)
}

func (n *toldAtOnce) Offered(ctx context.Context, tx *postgres.Tx, o appointment.Offer) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.told.Offered(ctx, tx, o)
}

// However many appointments are cancelled at the same moment, each time is offered once, and nobody gets two offers
// from one queue.
func TestService_Wait_manyCancellations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	w.rules(w.doctor, `auto_confirm = true`)
	const n = 12
	crowd := w.crowd(2 * n)
	for _, p := range crowd[n:] {
		_, err := w.svc.Wait(ctx, p, w.doctor.UserID, tuesday, tuesday.AddDate(0, 0, 9))
		require.NoError(t, err)
	}
	for round := range 8 {
		day := at(10, 0).AddDate(0, 0, round)
		live := make([]appointment.Appointment, n)
		for i := range live {
			when := day.Add(time.Duration(i%6) * 30 * time.Minute) // 10:00 to 12:30, then 14:30 to 17:00
			if i >= 6 {
				when = when.Add(270 * time.Minute)
			}
			live[i] = w.books(crowd[i], &when)
		}
		all := make([]error, n)
		together(n, func(i int) { _, all[i] = w.svc.Cancel(ctx, crowd[i], live[i].PublicID, appointment.Ending{}) })
		require.Equal(t, map[string]int{"": n}, codes(all))
		offers := w.count(`select count(*) from slot_claims where waitlist_id is not null`)
		require.Equal(t, offers, w.count(`select count(distinct waitlist_id) from slot_claims`), "round %d", round)
		require.Equal(t, n, offers, "round %d: enough wait for all", round)
		w.exec(`delete from slot_claims`)
	}
}

// However many instances check at the same time, an offer that nobody took goes to one other patient, who is told
// once.
func TestService_Deadlines_passOnOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	second, _ := w.instance()
	n := &toldAtOnce{}
	w.svc.Connect(n)
	second.Connect(n)
	a := w.booked(w.patient, at(10, 30))
	for _, p := range w.crowd(12) {
		w.waits(p)
	}
	_, err := w.svc.Cancel(ctx, w.patient, a.PublicID, appointment.Ending{})
	require.NoError(t, err)
	for round := range 5 {
		w.now = w.now.Add(w.cfg.OfferTTL)
		all, done := make([]error, 8), make([]int, 8)
		together(8, func(i int) { done[i], all[i] = []*appointment.Service{w.svc, second}[i%2].Deadlines(ctx) })
		require.Equal(t, map[string]int{"": 8}, codes(all))
		sum := 0
		for _, d := range done {
			sum += d
		}
		require.Equal(t, 1, sum)
		require.Equal(t, 1, w.count(`select count(*) from slot_claims`))
		require.Len(t, n.offered, round+2)
	}
}

// A user who changes an appointment while it is being handed over gets that change, with the new doctor.
func TestService_change_handedOverMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	a := w.booked(w.patient, at(10, 30))
	third := w.crowd(1)[0]
	require.NoError(t, w.blocked(w.doctor, func() error {
		_, err := w.svc.Reschedule(ctx, w.patient, a.PublicID, appointment.Rescheduling{StartsAt: at(11, 0)})
		return err
	}, `with moved as (update appointments set doctor_id = $2 where id = $1)
		update slot_claims set doctor_id = $2 where appointment_id = $1`, a.ID, w.stranger.ID))
	require.Equal(t, 1,
		w.count(`select count(*) from slot_claims where doctor_id = $1 and lower(visible) = $2`, w.stranger.ID, at(11, 0)))

	b := w.booked(third, at(12, 0))
	err := w.blocked(w.doctor, func() error {
		_, err := w.svc.Reschedule(ctx, w.doctor, b.PublicID, appointment.Rescheduling{StartsAt: at(12, 30)})
		return err
	}, `with moved as (update appointments set doctor_id = $2 where id = $1)
		update slot_claims set doctor_id = $2 where appointment_id = $1`, b.ID, w.stranger.ID)
	require.Equal(t, "not_found", errs.CodeOf(err), "it is no longer theirs")
}
