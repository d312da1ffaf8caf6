package chat

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/postgres"
)

// fill writes n messages straight into a room.
func (w *world) fill(room int64, n int) {
	w.t.Helper()
	w.exec(`insert into messages (room_id, seq, at, kind, sender_id, client_id, body)
		select $1, g, now(), 'text', $2, gen_random_uuid(), g::text from generate_series(1, $3::int) g`, room, w.patient.ID, n)
	w.exec(`update conversations set head_seq = $2 where id = $1`, room, n)
}

func seqs(events []Event) (first, last int64, n int) {
	if len(events) == 0 {
		return 0, 0, 0
	}
	return events[0].Seq, events[len(events)-1].Seq, len(events)
}

func TestReadSnapshot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	full, empty := w.room(), w.room()
	w.fill(full, 3)
	at := time.Now().Truncate(time.Microsecond)
	w.exec(`update conversations set closed_at = $2 where id = $1`, full, at)
	w.exec(`insert into receipts (room_id, user_id, delivered_seq, read_seq) values ($1, $2, 3, 1)`, full, w.doctor.ID)
	s, err := readSnapshot(ctx, w.pool, full)
	require.NoError(t, err)
	require.True(t, at.Equal(s.closing.At))
	require.Len(t, s.epoch, 12)
	require.EqualValues(t, 3, s.head)
	require.Equal(t, map[int64]cursors{w.doctor.ID: {3, 1}}, s.receipts)
	other, err := readSnapshot(ctx, w.connect(), empty)
	require.NoError(t, err)
	require.Equal(t, snapshot{epoch: s.epoch, receipts: map[int64]cursors{}}, other, "one history for all rooms and instances")
	_, err = readSnapshot(ctx, w.pool, 1<<40)
	require.ErrorIs(t, err, postgres.ErrNoRows)
}

func TestCursor_Resume(t *testing.T) {
	t.Parallel()
	snap := snapshot{head: 2000, epoch: "e"}
	for name, c := range map[string]struct {
		at     cursor
		from   int64
		reset  string
		behind int64 // head; 0 is snap's
	}{
		"without a cursor the latest":    {cursor{-1, ""}, 2000 - recentLimit, "", 0},
		"without a cursor, an old epoch": {cursor{-1, "old"}, 2000 - recentLimit, "", 0},
		"without a cursor, a short room": {cursor{-1, ""}, 0, "", 3},
		"after a cursor":                 {cursor{1999, "e"}, 1999, "", 0},
		"at the head":                    {cursor{2000, ""}, 2000, "", 0},
		"at the limit":                   {cursor{2000 - catchUpLimit, "e"}, 2000 - catchUpLimit, "", 0},
		"beyond the limit":               {cursor{1999 - catchUpLimit, "e"}, 2000, "gap", 0},
		"beyond the head":                {cursor{2001, "e"}, 2000, "history", 0},
		"another epoch":                  {cursor{1999, "old"}, 2000, "history", 0},
	} {
		s := snap
		if c.behind > 0 {
			s.head = c.behind
		}
		from, reset := c.at.resume(s)
		require.Equal(t, c.from, from, name)
		require.Equal(t, c.reset, reset, name)
	}
}

func TestEventsPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	room := w.room()
	w.fill(room, 10)
	for name, c := range map[string]struct {
		read        func() ([]Event, error)
		first, last int64
	}{
		"the first":         {func() ([]Event, error) { return eventsAfter(ctx, w.pool, room, 0, 4) }, 1, 4},
		"the next":          {func() ([]Event, error) { return eventsAfter(ctx, w.pool, room, 4, 4) }, 5, 8},
		"the end":           {func() ([]Event, error) { return eventsAfter(ctx, w.pool, room, 8, 4) }, 9, 10},
		"beyond":            {func() ([]Event, error) { return eventsAfter(ctx, w.pool, room, 10, 4) }, 0, 0},
		"the latest":        {func() ([]Event, error) { return eventsBefore(ctx, w.pool, room, 0, 4) }, 7, 10},
		"before the latest": {func() ([]Event, error) { return eventsBefore(ctx, w.pool, room, 7, 4) }, 3, 6},
		"the oldest":        {func() ([]Event, error) { return eventsBefore(ctx, w.pool, room, 3, 4) }, 1, 2},
		"before the oldest": {func() ([]Event, error) { return eventsBefore(ctx, w.pool, room, 1, 4) }, 0, 0},
	} {
		page, err := c.read()
		require.NoError(t, err, name)
		first, last, n := seqs(page)
		require.Equal(t, []int64{c.first, c.last}, []int64{first, last}, name)
		if n > 0 {
			require.EqualValues(t, last-first+1, n, name)
		}
	}
	e := w.log(room)[0]
	require.Equal(t, Event{
		Room: room, Seq: 1, Kind: KindText, ClientID: e.ClientID, Sender: w.patient.UserID, Text: "1", At: e.At,
	}, e)
	require.NotEqual(t, uuid.Nil, e.ClientID)
}

func TestHeads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	room, empty := w.room(), w.room()
	w.fill(room, 4)
	heads, epoch, err := headsOf(ctx, w.pool, []int64{room, empty, 1 << 40})
	require.NoError(t, err)
	snap, err := readSnapshot(ctx, w.pool, room)
	require.NoError(t, err)
	require.Equal(t, snap.epoch, epoch)
	require.Equal(t, map[int64]int64{room: 4, empty: 0}, heads)
	for id, want := range map[int64]int64{room: 4, empty: 0, 1 << 40: 0} {
		head, err := headSeq(ctx, w.pool, id)
		require.NoError(t, err)
		require.Equal(t, want, head)
	}
}

// TestSaveReceipts_ManyWorkers: cursors only go forward, whoever writes in whatever order, and never past the head.
func TestSaveReceipts_ManyWorkers(t *testing.T) {
	t.Parallel()
	const head = 200
	w := newWorld(t)
	ctx := context.Background()
	rooms := []int64{w.room(), w.room(), w.room()}
	for _, id := range rooms {
		w.fill(id, head)
	}
	users := []int64{w.patient.ID, w.doctor.ID}
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for range 30 {
				var r, u, delivered, read []int64
				for _, i := range rand.Perm(len(rooms)) {
					for _, j := range rand.Perm(len(users)) {
						seen := rand.Int64N(head)
						r, u, delivered, read = append(r, rooms[i]), append(u, users[j]), append(delivered, seen+1), append(read, seen)
					}
				}
				if _, err := saveReceipts(ctx, w.pool, r, u, delivered, read); err != nil {
					t.Errorf("save: %v", err)
				}
			}
		})
	}
	work.Wait()
	room, user := rooms[0], w.patient.ID
	save := func(delivered, read int64) []moved {
		out, err := saveReceipts(ctx, w.pool, []int64{room}, []int64{user}, []int64{delivered}, []int64{read})
		require.NoError(t, err)
		return out
	}
	before, err := readSnapshot(ctx, w.pool, room)
	require.NoError(t, err)
	at := before.receipts[user]
	require.Positive(t, at.read)
	require.Empty(t, save(1, 1), "not back")
	require.Empty(t, save(at.delivered, at.read), "not twice")
	require.Equal(t, []moved{{room, user, w.patient.UserID, cursors{head, head}}}, save(1<<40, 1<<40), "not past the head")
	after, err := readSnapshot(ctx, w.pool, room)
	require.NoError(t, err)
	require.Equal(t, cursors{head, head}, after.receipts[user])
	unknown, err := saveReceipts(ctx, w.pool, []int64{1 << 40}, []int64{user}, []int64{1}, []int64{1})
	require.NoError(t, err)
	require.Empty(t, unknown)
}

func TestReceipts_Coalesce(t *testing.T) {
	t.Parallel()
	r := newReceipts()
	require.Nil(t, r.take())
	r.move(1, 2, 5, 0)
	r.move(1, 2, 3, 4)
	r.move(1, 2, 0, 9)
	r.move(1, 3, 1, 0)
	require.Equal(t, map[receiptKey]report{{1, 2}: {cursors: cursors{9, 9}}, {1, 3}: {cursors: cursors{1, 0}}}, r.take())
	require.Nil(t, r.take())
}

// TestLog_Append: system events of many transactions and messages share one gapless log; what rolls back leaves nothing,
// and nobody hears of it before the commit.
func TestLog_Append(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	c, _ := startCommitter(t, w.connect(), 2)
	room := w.appointment(appointment.Booked)
	var mu sync.Mutex
	var told []Event
	log := NewLog()
	log.published = func(events []Event) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, events...)
	}
	require.NoError(t, w.pool.InTx(ctx, func(tx *postgres.Tx) error { // it makes the conversation
		defer func() { require.Empty(t, told) }()
		return log.Append(ctx, tx, room, "booked")
	}))
	undone := fmt.Errorf("undone")
	var work sync.WaitGroup
	for n := range 6 {
		work.Go(func() {
			for i := range 20 {
				err := w.pool.InTx(ctx, func(tx *postgres.Tx) error {
					if err := log.Append(ctx, tx, room, "changed"); err != nil || i%4 > 0 {
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
				if _, err := c.send(draft(room, w.doctor, "x")); err != nil {
					t.Errorf("send: %v", err)
				}
			}
		})
	}
	work.Wait()
	events := w.requireGapless(room)
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

func TestLog_Unread(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	some, none := w.room(), w.room()
	w.append(some, KindText, w.patient, 0)
	w.append(some, KindText, w.doctor, 0)
	for user, want := range map[int64]map[int64]int64{w.doctor.ID: {some: 1, none: 0}, w.user(auth.Doctor).ID: {}} {
		got, err := NewLog().Unread(context.Background(), w.pool, user, []int64{some, none, 1 << 40})
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestLog_Closings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	open, shut, left := w.room(), w.room(), w.room()
	at := time.Now().Truncate(time.Microsecond)
	w.exec(`update conversations set closed_at = $2 where id = $1`, shut, at)
	w.exec(`update conversations set closed_at = $2, closed_by = 'clinic' where id = $1`, left, at)
	closed, err := NewLog().Closings(context.Background(), w.pool, []int64{open, shut, left, 1 << 40})
	require.NoError(t, err)
	require.Len(t, closed, 2)
	require.True(t, at.Equal(closed[shut].At))
	require.False(t, closed[shut].ByClinic)
	require.True(t, closed[left].ByClinic)
}
