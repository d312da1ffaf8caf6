package conversation

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/postgres"
)

func seqs(events []Event) (first, last int64, n int) {
	if len(events) == 0 {
		return 0, 0, 0
	}
	return events[0].Seq, events[len(events)-1].Seq, len(events)
}

func TestService_Load(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	svc, elsewhere := w.service(w.Pool), w.service(w.Connect())
	full, empty := w.Conversation(), w.Conversation()
	w.fill(full, 3)
	at := time.Now().Truncate(time.Microsecond)
	w.Exec(`update conversations set closed_at = $2 where id = $1`, full, at)
	w.Exec(`insert into receipts (room_id, user_id, delivered_seq, read_seq) values ($1, $2, 3, 1)`, full, w.Doctor.ID)
	s, err := svc.Load(ctx, full)
	require.NoError(t, err)
	require.True(t, at.Equal(s.Closing.At))
	require.Len(t, s.Epoch, 12)
	require.EqualValues(t, 3, s.HeadSeq)
	require.Equal(t, map[int64]Cursors{w.Doctor.ID: {3, 1}}, s.Cursors)
	require.Equal(t, w.PublicID(full), s.Appointment.PublicID)
	other, err := elsewhere.Load(ctx, empty)
	require.NoError(t, err)
	require.Equal(t, State{Appointment: other.Appointment, Epoch: s.Epoch, Cursors: map[int64]Cursors{}}, other,
		"one history for all conversations and instances")
	require.Equal(t, empty, other.Appointment.ID)
	_, err = svc.Load(ctx, 1<<40)
	require.ErrorIs(t, err, postgres.ErrNoRows)
}

func TestEventsPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	id := w.Conversation()
	w.fill(id, 10)
	for name, c := range map[string]struct {
		read        func() ([]Event, error)
		first, last int64
	}{
		"the first":         {func() ([]Event, error) { return eventsAfter(ctx, w.Pool, id, 0, 4) }, 1, 4},
		"the next":          {func() ([]Event, error) { return eventsAfter(ctx, w.Pool, id, 4, 4) }, 5, 8},
		"the end":           {func() ([]Event, error) { return eventsAfter(ctx, w.Pool, id, 8, 4) }, 9, 10},
		"beyond":            {func() ([]Event, error) { return eventsAfter(ctx, w.Pool, id, 10, 4) }, 0, 0},
		"the latest":        {func() ([]Event, error) { return eventsBefore(ctx, w.Pool, id, 0, 4) }, 7, 10},
		"before the latest": {func() ([]Event, error) { return eventsBefore(ctx, w.Pool, id, 7, 4) }, 3, 6},
		"the oldest":        {func() ([]Event, error) { return eventsBefore(ctx, w.Pool, id, 3, 4) }, 1, 2},
		"before the oldest": {func() ([]Event, error) { return eventsBefore(ctx, w.Pool, id, 1, 4) }, 0, 0},
	} {
		page, err := c.read()
		require.NoError(t, err, name)
		first, last, n := seqs(page)
		require.Equal(t, []int64{c.first, c.last}, []int64{first, last}, name)
		if n > 0 {
			require.EqualValues(t, last-first+1, n, name)
		}
	}
	e := w.log(id)[0]
	require.Equal(t, Event{
		Conversation: id, Seq: 1, Kind: KindText, ClientID: e.ClientID, Sender: w.Patient.UserID, Text: "1", At: e.At,
	}, e)
	require.NotEqual(t, uuid.Nil, e.ClientID)
}

func TestHeads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	id, empty := w.Conversation(), w.Conversation()
	w.fill(id, 4)
	heads, epoch, err := headsOf(ctx, w.Pool, []int64{id, empty, 1 << 40})
	require.NoError(t, err)
	now, err := w.service(w.Pool).Load(ctx, id)
	require.NoError(t, err)
	require.Equal(t, now.Epoch, epoch)
	require.Equal(t, map[int64]int64{id: 4, empty: 0}, heads)
	for id, want := range map[int64]int64{id: 4, empty: 0, 1 << 40: 0} {
		head, err := headSeq(ctx, w.Pool, id)
		require.NoError(t, err)
		require.Equal(t, want, head)
	}
}

// TestLog_Append: system events of many transactions share one gapless log with messages. A rolled-back event leaves
// nothing, and none is announced before its commit.
func TestLog_Append(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	c, _ := startCommitter(t, w.Connect(), 2)
	id := w.Appointment(appointment.Booked)
	var mu sync.Mutex
	var told []Event
	log := NewLog()
	log.committed = func(events []Event) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, events...)
	}
	require.NoError(t, w.Pool.InTx(ctx, func(tx *postgres.Tx) error { // it makes the conversation
		defer func() { require.Empty(t, told) }()
		return log.Append(ctx, tx, id, "booked")
	}))
	undone := fmt.Errorf("undone")
	var work sync.WaitGroup
	for n := range 6 {
		work.Go(func() {
			for i := range 20 {
				err := w.Pool.InTx(ctx, func(tx *postgres.Tx) error {
					if err := log.Append(ctx, tx, id, "changed"); err != nil || i%4 > 0 {
						return err
					}
					return undone
				})
				if i%4 > 0 && err != nil {
					t.Errorf("append %d: %v", n, err)
				}
			}
		})
		work.Go(func() {
			for range 20 {
				if _, err := c.send(draft(id, w.Doctor, "x")); err != nil {
					t.Errorf("send: %v", err)
				}
			}
		})
	}
	work.Wait()
	events := w.requireGapless(id)
	require.Len(t, events, 1+6*15+6*20)
	var system []Event
	for _, e := range events {
		if e.Kind == KindSystem {
			system = append(system, e)
			require.Empty(t, e.Sender)
			require.Equal(t, uuid.Nil, e.ClientID)
		}
	}
	require.ElementsMatch(t, system, told)
}

func TestLog_Closings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	open, shut, left := w.Conversation(), w.Conversation(), w.Conversation()
	at := time.Now().Truncate(time.Microsecond)
	w.Exec(`update conversations set closed_at = $2 where id = $1`, shut, at)
	w.Exec(`update conversations set closed_at = $2, closed_by = 'clinic' where id = $1`, left, at)
	closed, err := NewLog().Closings(context.Background(), w.Pool, []int64{open, shut, left, 1 << 40})
	require.NoError(t, err)
	require.Len(t, closed, 2)
	require.True(t, at.Equal(closed[shut].At))
	require.False(t, closed[shut].ByClinic)
	require.True(t, closed[left].ByClinic)
}
