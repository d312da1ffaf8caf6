package chat

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
)

func TestRoutes_Unread(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(nil)
	none := in.rest(w.patient, "GET", "/me/unread", "")
	require.Equal(t, http.StatusOK, none.status)
	goldenRest(t, "unread_none", none)
	rooms := []int64{w.room(), w.room(), w.room(), w.room()}
	for n, room := range rooms {
		for range n {
			in.say(t, room, w.doctor, "x")
		}
	}
	in.say(t, rooms[3], w.patient, "x")
	goldenRest(t, "unread", in.rest(w.patient, "GET", "/me/unread?limit=2", ""))
	var ids []any
	cursor := ""
	for range 2 {
		page := in.rest(w.patient, "GET", "/me/unread?limit=2"+cursor, "")
		require.Equal(t, http.StatusOK, page.status)
		require.EqualValues(t, 6, page.body["total"])
		for _, item := range page.body["items"].([]any) {
			ids = append(ids, item.(map[string]any)["appointmentId"])
		}
		cursor = "&cursor=" + url.QueryEscape(fmt.Sprint(page.body["nextCursor"]))
	}
	require.Equal(t, []any{in.publicID(rooms[3]), in.publicID(rooms[2]), in.publicID(rooms[1])}, ids)
	for query, want := range map[string]int{"?cursor=x": 422, "?limit=0": 422, "?limit=101": 422, "?limit=100": 200} {
		require.Equal(t, want, in.rest(w.patient, "GET", "/me/unread"+query, "").status, query)
	}
	theirs := in.rest(w.doctor, "GET", "/me/unread", "")
	require.Equal(t, http.StatusOK, theirs.status)
	require.EqualValues(t, 1, theirs.body["total"], "the patient's one")
	require.Equal(t, http.StatusUnauthorized, in.rest(auth.Actor{UserID: "nobody"}, "GET", "/me/unread", "").status)
}

func TestRoutes_Receipts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(nil)
	room := w.room()
	w.fill(room, 9)
	stranger, admin := w.signIn(w.user(auth.Doctor)), w.signIn(w.user(auth.Admin))
	in.knows(stranger, admin)
	path := "/appointments/" + in.publicID(room) + "/receipts"
	p := in.dial(t, w.patient, room, "")
	p.until("live")
	for _, c := range []struct {
		body            string
		status          int
		delivered, read float64
	}{
		{`{"deliveredSeq":5}`, 200, 5, 0},
		{`{"readSeq":3}`, 200, 5, 3},
		{`{"deliveredSeq":4,"readSeq":2}`, 200, 5, 3}, // behind: nothing goes back
		{`{"readSeq":7}`, 200, 7, 7},                  // implies delivered
		{`{"deliveredSeq":999}`, 200, 9, 7},           // clamped
		{`{"readSeq":9223372036854775807}`, 200, 9, 9},
		{`{}`, 422, 0, 0},
		{`{"readSeq":-1}`, 422, 0, 0},
		{`{"readSeq":9223372036854775808}`, 422, 0, 0},
		{`{"readSeq":"3"}`, 422, 0, 0},
		{`{"upTo":3}`, 422, 0, 0},
	} {
		a := in.rest(w.doctor, "PUT", path, c.body)
		require.Equal(t, c.status, a.status, "%s: %s", c.body, a.raw)
		if a.status == http.StatusOK {
			require.Equal(t, []any{w.doctor.UserID, c.delivered, c.read}, []any{a.body["userId"], a.body["deliveredSeq"], a.body["readSeq"]}, c.body)
		}
	}
	receipt := p.until("receipt")
	require.Equal(t, []any{w.doctor.UserID, 5.0, 0.0}, []any{receipt["userId"], receipt["deliveredSeq"], receipt["readSeq"]}, "like a socket's")
	goldenRest(t, "receipts", in.rest(w.doctor, "PUT", path, `{"readSeq":9}`))
	for _, a := range []auth.Actor{stranger, admin} {
		require.Equal(t, http.StatusNotFound, in.rest(a, "PUT", path, `{"readSeq":1}`).status)
	}
}

// TestMoveReceipts_Coalesced: whatever a participant's devices report until the next round is one write, of the furthest, and all of
// them are told the truth. The loop leaves 200 ms between rounds.
func TestMoveReceipts_Coalesced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(nil)
	idle := &Service{d: in.svc.d, hub: in.svc.hub, bus: in.svc.bus, receipts: newReceipts(), inboxes: newInboxes()} // without its loops
	w.exec(`create table writes (n bigint generated always as identity, room_id bigint, user_id bigint, delivered bigint, read bigint)`)
	w.exec(`create function note_write() returns trigger language plpgsql as $$ begin
		insert into writes (room_id, user_id, delivered, read) values (new.room_id, new.user_id, new.delivered_seq, new.read_seq); return new; end $$`)
	w.exec(`create trigger note_write after insert or update on receipts for each row execute function note_write()`)
	rooms := []int64{w.room(), w.room()}
	const devices, reports = 8, 100
	var work sync.WaitGroup
	for _, room := range rooms {
		w.fill(room, devices*reports)
		for device := range devices {
			work.Go(func() {
				for n := range reports {
					idle.receipts.move(room, w.doctor.ID, int64(device*reports+n), int64(n))
				}
			})
		}
		work.Go(func() {
			_, read, err := idle.MoveReceipts(context.Background(), w.doctor, room, 1, 1)
			require.NoError(t, err)
			require.GreaterOrEqual(t, read, int64(1))
		})
	}
	require.Eventually(t, func() bool {
		idle.receipts.mu.Lock()
		defer idle.receipts.mu.Unlock()
		return len(idle.receipts.pending) == 2 && len(idle.receipts.pending[receiptKey{rooms[0], w.doctor.ID}].waiting) == 1 &&
			len(idle.receipts.pending[receiptKey{rooms[1], w.doctor.ID}].waiting) == 1 &&
			idle.receipts.pending[receiptKey{rooms[0], w.doctor.ID}].cursors == cursors{devices*reports - 1, reports - 1} &&
			idle.receipts.pending[receiptKey{rooms[1], w.doctor.ID}].cursors == cursors{devices*reports - 1, reports - 1}
	}, time.Minute, time.Millisecond)
	idle.saveReceipts(context.Background(), time.Minute)
	work.Wait()
	require.EqualValues(t, 2, w.number(`select count(*) from writes`), "one for each participant")
	require.EqualValues(t, 2, w.number(`select count(*) from receipts where delivered_seq = $1 and read_seq = $2`, devices*reports-1, reports-1))
	idle.receipts.move(rooms[0], w.doctor.ID, 5, 5)
	idle.saveReceipts(context.Background(), time.Minute)
	require.EqualValues(t, 2, w.number(`select count(*) from writes`), "what is behind is not written")
}

// TestMoveReceipts_Away: whoever waits is told that it failed, and it is written all the same once that is possible.
func TestMoveReceipts_Away(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(nil)
	idle := &Service{d: in.svc.d, hub: in.svc.hub, bus: in.svc.bus, receipts: newReceipts(), inboxes: newInboxes()}
	room := w.room()
	w.fill(room, 3)
	done := make(chan error, 1)
	idle.receipts.move(room, w.doctor.ID, 2, 2, done)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	idle.saveReceipts(gone, time.Minute)
	require.Error(t, <-done)
	_, _, err := idle.MoveReceipts(gone, w.doctor, room, 3, 0)
	require.ErrorContains(t, err, "unavailable")
	idle.saveReceipts(context.Background(), time.Minute)
	at, err := cursorsOf(context.Background(), w.pool, room, w.doctor.ID)
	require.NoError(t, err)
	require.Equal(t, cursors{3, 2}, at)
}

// TestSaveReceipts_Monotonic: several instances write at once, in any order; every state that was ever there is ahead of the one before
// it, and the last is the furthest of all.
func TestSaveReceipts_Monotonic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	room := w.room()
	const instances, each, head = 6, 40, 200
	w.fill(room, head)
	w.exec(`create table states (n bigint generated always as identity, delivered bigint, read bigint)`)
	w.exec(`create function note_state() returns trigger language plpgsql as $$ begin
		insert into states (delivered, read) values (new.delivered_seq, new.read_seq); return new; end $$`)
	w.exec(`create trigger note_state after insert or update on receipts for each row execute function note_state()`)
	var work sync.WaitGroup
	for n := range int64(instances) {
		work.Go(func() {
			for i := range int64(each) {
				delivered := (i*37+n*53)%(head+50) + 1 // some are beyond the head
				_, err := saveReceipts(context.Background(), w.pool, []int64{room}, []int64{w.doctor.ID}, []int64{delivered}, []int64{delivered / 2})
				require.NoError(t, err)
			}
		})
	}
	work.Wait()
	require.Positive(t, w.number(`select count(*) from states`))
	require.Zero(t, w.number(`select count(*) from states a join states b on a.n < b.n and (a.delivered > b.delivered or a.read > b.read)`))
	require.EqualValues(t, 1, w.number(`select count(*) from receipts where delivered_seq = $1 and read_seq >= $1::bigint / 2 - 30`, head))
}
