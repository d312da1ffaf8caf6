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
	"housecall/internal/conversation"
)

func TestRoutes_Unread(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(nil)
	none := in.rest(w.Patient, "GET", "/me/unread", "")
	require.Equal(t, http.StatusOK, none.Status)
	goldenRest(t, "unread_none", none)
	ids := []int64{w.Conversation(), w.Conversation(), w.Conversation(), w.Conversation()}
	for n, id := range ids {
		for range n {
			in.say(t, id, w.Doctor, "x")
		}
	}
	in.say(t, ids[3], w.Patient, "x")
	goldenRest(t, "unread", in.rest(w.Patient, "GET", "/me/unread?limit=2", ""))
	var listed []any
	cursor := ""
	for range 2 {
		page := in.rest(w.Patient, "GET", "/me/unread?limit=2"+cursor, "")
		require.Equal(t, http.StatusOK, page.Status)
		require.EqualValues(t, 6, page.Body["total"])
		for _, item := range page.Body["items"].([]any) {
			listed = append(listed, item.(map[string]any)["appointmentId"])
		}
		cursor = "&cursor=" + url.QueryEscape(fmt.Sprint(page.Body["nextCursor"]))
	}
	require.Equal(t, []any{in.PublicID(ids[3]), in.PublicID(ids[2]), in.PublicID(ids[1])}, listed)
	for query, want := range map[string]int{"?cursor=x": 422, "?limit=0": 422, "?limit=101": 422, "?limit=100": 200} {
		require.Equal(t, want, in.rest(w.Patient, "GET", "/me/unread"+query, "").Status, query)
	}
	theirs := in.rest(w.Doctor, "GET", "/me/unread", "")
	require.Equal(t, http.StatusOK, theirs.Status)
	require.EqualValues(t, 1, theirs.Body["total"], "the patient's one")
	require.Equal(t, http.StatusUnauthorized, in.rest(auth.Actor{UserID: "nobody"}, "GET", "/me/unread", "").Status)
}

func TestRoutes_Receipts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(nil)
	id := w.Conversation()
	w.fill(id, 9)
	stranger, admin := w.SignIn(w.User(auth.Doctor)), w.SignIn(w.User(auth.Admin))
	in.knows(stranger, admin)
	path := "/appointments/" + in.PublicID(id) + "/receipts"
	p := in.dial(t, w.Patient, id, "")
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
		a := in.rest(w.Doctor, "PUT", path, c.body)
		require.Equal(t, c.status, a.Status, "%s: %s", c.body, a.Raw)
		if a.Status == http.StatusOK {
			require.Equal(t, []any{w.Doctor.UserID, c.delivered, c.read},
				[]any{a.Body["userId"], a.Body["deliveredSeq"], a.Body["readSeq"]}, c.body)
		}
	}
	receipt := p.until("receipt")
	require.Equal(t, []any{w.Doctor.UserID, 5.0, 0.0},
		[]any{receipt["userId"], receipt["deliveredSeq"], receipt["readSeq"]}, "like a socket's")
	goldenRest(t, "receipts", in.rest(w.Doctor, "PUT", path, `{"readSeq":9}`))
	for _, a := range []auth.Actor{stranger, admin} {
		require.Equal(t, http.StatusNotFound, in.rest(a, "PUT", path, `{"readSeq":1}`).Status)
	}
}

// TestMoveReceipts_Coalesced: what a participant's devices report until the next round becomes one write of the
// furthest positions, and all of them get the result. The loop waits 200 ms between rounds.
func TestMoveReceipts_Coalesced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(nil)
	idle := &Service{
		d: in.svc.d, hub: in.svc.hub, bus: in.svc.bus, receipts: newReceipts(), inboxes: newInboxes(),
	} // without its loops
	w.Exec(
		`create table writes (n bigint generated always as identity, room_id bigint, user_id bigint, delivered bigint, read bigint)`,
	)
	w.Exec(`create function note_write() returns trigger language plpgsql as $$ begin
		insert into writes (room_id, user_id, delivered, read) values (new.room_id, new.user_id, new.delivered_seq, new.read_seq); return new; end $$`)
	w.Exec(`create trigger note_write after insert or update on receipts for each row execute function note_write()`)
	ids := []int64{w.Conversation(), w.Conversation()}
	const devices, reports = 8, 100
	furthest := conversation.Cursors{Delivered: devices*reports - 1, Read: reports - 1}
	var work sync.WaitGroup
	for _, id := range ids {
		w.fill(id, devices*reports)
		for device := range devices {
			work.Go(func() {
				for n := range reports {
					idle.receipts.move(id, w.Doctor.ID, conversation.Cursors{Delivered: int64(device*reports + n), Read: int64(n)})
				}
			})
		}
		work.Go(func() {
			at, err := idle.MoveReceipts(context.Background(), in.reading(w.Doctor, id),
				conversation.Cursors{Delivered: 1, Read: 1})
			require.NoError(t, err)
			require.GreaterOrEqual(t, at.Read, int64(1))
		})
	}
	require.Eventually(t, func() bool {
		idle.receipts.mu.Lock()
		defer idle.receipts.mu.Unlock()
		return len(idle.receipts.pending) == 2 && len(idle.receipts.pending[receiptKey{ids[0], w.Doctor.ID}].waiting) == 1 &&
			len(idle.receipts.pending[receiptKey{ids[1], w.Doctor.ID}].waiting) == 1 &&
			idle.receipts.pending[receiptKey{ids[0], w.Doctor.ID}].Cursors == furthest &&
			idle.receipts.pending[receiptKey{ids[1], w.Doctor.ID}].Cursors == furthest
	}, time.Minute, time.Millisecond)
	idle.saveReceipts(context.Background(), time.Minute)
	work.Wait()
	require.EqualValues(t, 2, w.Number(`select count(*) from writes`), "one for each participant")
	require.EqualValues(t, 2,
		w.Number(`select count(*) from receipts where delivered_seq = $1 and read_seq = $2`, devices*reports-1, reports-1))
	idle.receipts.move(ids[0], w.Doctor.ID, conversation.Cursors{Delivered: 5, Read: 5})
	idle.saveReceipts(context.Background(), time.Minute)
	require.EqualValues(t, 2, w.Number(`select count(*) from writes`), "what is behind is not written")
}

// TestMoveReceipts_Away: waiting callers are told that the write failed; it still happens once PostgreSQL is back.
func TestMoveReceipts_Away(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(nil)
	idle := &Service{d: in.svc.d, hub: in.svc.hub, bus: in.svc.bus, receipts: newReceipts(), inboxes: newInboxes()}
	id := w.Conversation()
	w.fill(id, 3)
	done := make(chan error, 1)
	idle.receipts.move(id, w.Doctor.ID, conversation.Cursors{Delivered: 2, Read: 2}, done)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	idle.saveReceipts(gone, time.Minute)
	require.Error(t, <-done)
	_, err := idle.MoveReceipts(gone, in.reading(w.Doctor, id), conversation.Cursors{Delivered: 3})
	require.ErrorContains(t, err, "unavailable")
	idle.saveReceipts(context.Background(), time.Minute)
	at, err := cursorsOf(context.Background(), w.Pool, id, w.Doctor.ID)
	require.NoError(t, err)
	require.Equal(t, conversation.Cursors{Delivered: 3, Read: 2}, at)
}

// TestSaveReceipts_Monotonic: several instances write at the same time, in any order. Every stored state is ahead of
// the one before it, and the last is the furthest of all.
func TestSaveReceipts_Monotonic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.Conversation()
	const instances, each, head = 6, 40, 200
	w.fill(id, head)
	w.Exec(`create table states (n bigint generated always as identity, delivered bigint, read bigint)`)
	w.Exec(`create function note_state() returns trigger language plpgsql as $$ begin
		insert into states (delivered, read) values (new.delivered_seq, new.read_seq); return new; end $$`)
	w.Exec(`create trigger note_state after insert or update on receipts for each row execute function note_state()`)
	var work sync.WaitGroup
	for n := range int64(instances) {
		work.Go(func() {
			for i := range int64(each) {
				delivered := (i*37+n*53)%(head+50) + 1 // some are beyond the head
				w.reached(id, w.Doctor.ID, delivered, delivered/2)
			}
		})
	}
	work.Wait()
	require.Positive(t, w.Number(`select count(*) from states`))
	require.Zero(
		t,
		w.Number(
			`select count(*) from states a join states b on a.n < b.n and (a.delivered > b.delivered or a.read > b.read)`,
		),
	)
	require.EqualValues(t, 1,
		w.Number(`select count(*) from receipts where delivered_seq = $1 and read_seq >= $1::bigint / 2 - 30`, head))
}
