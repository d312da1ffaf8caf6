package chat

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/postgres"
)

func retraction(room int64, sender auth.Actor, target int64) Draft {
	return Draft{Room: room, Sender: sender, ClientID: uuid.New(), Kind: KindRetraction, Target: target}
}

func correction(room int64, sender auth.Actor, target int64, text string) Draft {
	return Draft{Room: room, Sender: sender, ClientID: uuid.New(), Kind: KindCorrection, Target: target, Text: text}
}

func fileDraft(room int64, sender auth.Actor, id uuid.UUID) Draft {
	return Draft{Room: room, Sender: sender, ClientID: uuid.New(), Kind: KindAttachment, Attachment: id}
}

// file makes a stored attachment that was not sent yet.
func (w *world) file(room int64, uploader auth.Actor) uuid.UUID {
	w.t.Helper()
	id := uuid.New()
	w.exec(`insert into attachments (id, room_id, uploader_id, name, media_type, size_bytes, sha256, width, height, thumbnail, stored_at)
		values ($1, $2, $3, 'knee.jpg', 'image/jpeg', 5, decode(repeat('0f', 32), 'hex'), 4, 3, true, now())`, [16]byte(id), room, uploader.ID)
	return id
}

// ok commits one draft, which has to pass.
func (w *world) ok(c *committer, d Draft) Receipt {
	w.t.Helper()
	o := commitOne(c, d)[0]
	require.NoError(w.t, o.err)
	return o.receipt
}

func TestCommitter_Edits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, told := committerOn(w.pool, 1)
	room := w.room()
	id := w.file(room, w.doctor)
	out := commitOne(c, draft(room, w.patient, "It hurts here"), draft(room, w.doctor, "Where?"), fileDraft(room, w.doctor, id))
	for i, o := range out {
		require.NoError(t, o.err)
		require.EqualValues(t, i+1, o.receipt.Seq)
	}
	want := &Attachment{
		ID: id, Name: "knee.jpg", MediaType: "image/jpeg", Size: 5, SHA256: strings.Repeat("0f", 32), Width: 4, Height: 3, Thumbnail: true,
	}
	require.Equal(t, want, told.in(room)[2].Attachment, "whoever is told gets what the log has")
	require.Equal(t, w.log(room), told.in(room))

	first, second := correction(room, w.patient, 1, "It hurts there"), correction(room, w.patient, 1, "It hurts everywhere")
	require.EqualValues(t, 4, w.ok(c, first).Seq)
	require.Equal(t, "It hurts there", w.log(room)[0].Text)
	require.EqualValues(t, 4, w.log(room)[0].CorrectedBy)
	require.EqualValues(t, 5, w.ok(c, second).Seq)
	log := w.log(room)
	require.Equal(t, []string{"It hurts everywhere", "It hurts everywhere", "It hurts everywhere"}, []string{log[0].Text, log[3].Text, log[4].Text})
	require.Equal(t, []int64{5, 5, 0}, []int64{log[0].CorrectedBy, log[3].CorrectedBy, log[4].CorrectedBy})
	require.Equal(t, "It hurts there", told.in(room)[3].Text, "live ones hear each as it comes")
	require.EqualValues(t, 1, told.in(room)[3].Target)

	require.EqualValues(t, 6, w.ok(c, retraction(room, w.patient, 1)).Seq)
	require.EqualValues(t, 7, w.ok(c, retraction(room, w.doctor, 3)).Seq)
	log = w.requireGapless(room)
	for _, i := range []int{0, 2, 3, 4} { // corrections too
		require.True(t, log[i].Retracted)
		require.Empty(t, log[i].Text)
		require.Nil(t, log[i].Attachment)
	}
	require.Equal(t, Event{Room: room, Seq: 7, Kind: KindRetraction, ClientID: log[6].ClientID, Sender: w.doctor.UserID, At: log[6].At, Target: 3}, log[6])
	require.Equal(t, log[5:], told.in(room)[5:])
	require.EqualValues(t, len("It hurts here"), w.number(`select length(body) from messages where room_id = $1 and seq = 1`, room), "the record keeps the original")
	require.EqualValues(t, 3, w.number(`select seq from attachments where id = $1`, [16]byte(id)))
}

// TestCommitter_EditRefusals goes through every reason, with neighbours in the batch that must not suffer.
func TestCommitter_EditRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, _ := committerOn(w.pool, 1)
	room, other, shut := w.room(), w.room(), w.room()
	stranger := w.signIn(w.user(auth.Patient))
	for _, id := range []int64{room, other, shut} {
		require.NoError(t, NewLog().appendAlone(w, id)) // seq 1: system
		w.ok(c, draft(id, w.patient, "patient's"))      // 2
		w.ok(c, draft(id, w.doctor, "doctor's"))        // 3
		w.ok(c, fileDraft(id, w.patient, w.file(id, w.patient)))
		w.ok(c, draft(id, w.patient, "to be taken back")) // 5
		w.ok(c, retraction(id, w.patient, 5))             // 6
		w.ok(c, correction(id, w.patient, 2, "better"))   // 7
		w.ok(c, draft(id, w.doctor, "to be taken back"))  // 8
		w.ok(c, retraction(id, w.doctor, 8))              // 9
	}
	sent := w.file(room, w.patient)
	w.ok(c, fileDraft(room, w.patient, sent)) // 10, in room only
	unsent, ofDoctor, elsewhere, partial := w.file(shut, w.patient), w.file(room, w.doctor), w.file(other, w.patient), w.file(room, w.patient)
	w.exec(`update attachments set stored_at = null where id = $1`, [16]byte(partial))
	w.exec(`update conversations set closed_at = now() where id = $1`, shut)
	for name, k := range map[string]struct {
		d    Draft
		want error
	}{
		"a target that is not there":      {retraction(room, w.patient, 99), ErrNoTarget},
		"a target below all":              {retraction(room, w.patient, -1), ErrNoTarget},
		"a target only elsewhere":         {retraction(other, w.patient, 10), ErrNoTarget},
		"a system event":                  {retraction(room, w.patient, 1), ErrNoTarget},
		"a retraction":                    {retraction(room, w.patient, 6), ErrNoTarget},
		"a correction":                    {correction(room, w.patient, 7, "x"), ErrNoTarget},
		"taken back already":              {retraction(room, w.patient, 5), ErrNoTarget},
		"corrected after it":              {correction(room, w.patient, 5, "x"), ErrNoTarget},
		"taken back by the other":         {retraction(room, w.patient, 8), ErrNoTarget},
		"a correction of a file":          {correction(room, w.patient, 4, "x"), ErrNoTarget},
		"the other's text":                {retraction(room, w.patient, 3), ErrNotOwn},
		"the other's text, corrected":     {correction(room, w.doctor, 2, "x"), ErrNotOwn},
		"the other's file":                {retraction(room, w.doctor, 4), ErrNotOwn},
		"closed comes before the target":  {retraction(shut, w.patient, 99), ErrClosed},
		"closed, one's own":               {correction(shut, w.patient, 2, "x"), ErrClosed},
		"closed, a file":                  {fileDraft(shut, w.patient, unsent), ErrClosed},
		"forbidden comes before closed":   {retraction(shut, stranger, 2), ErrForbidden},
		"forbidden comes before a target": {correction(room, stranger, 99, "x"), ErrForbidden},
		"a stranger's file":               {fileDraft(room, stranger, ofDoctor), ErrForbidden},
		"a file that is not there":        {fileDraft(room, w.patient, uuid.New()), ErrNoFile},
		"a file that was sent":            {fileDraft(room, w.patient, sent), ErrNoFile},
		"the other's upload":              {fileDraft(room, w.patient, ofDoctor), ErrNoFile},
		"a file of another room":          {fileDraft(room, w.patient, elsewhere), ErrNoFile},
		"half a file":                     {fileDraft(room, w.patient, partial), ErrNoFile},
	} {
		before := len(w.log(room))
		out := commitOne(c, draft(room, w.doctor, "before"), k.d, draft(room, w.patient, "after"))
		require.NoError(t, out[0].err, name)
		require.Equal(t, k.want, out[1].err, name)
		require.NoError(t, out[2].err, name)
		require.Len(t, w.requireGapless(room), before+2, name)
	}
	for reason, n := range map[string]float64{"not_found": 15, "not_yours": 3, "closed": 3, "forbidden": 3} {
		require.InDelta(t, n, testutil.ToFloat64(c.metrics.refused.WithLabelValues(reason)), 0, reason)
	}
	require.Zero(t, w.number(`select count(*) from attachments where id = any($1) and seq is not null`,
		[][16]byte{unsent, ofDoctor, elsewhere, partial}))
}

// appendAlone appends a system event in a transaction of its own.
func (l *Log) appendAlone(w *world, room int64) error {
	return w.pool.InTx(context.Background(), func(tx *postgres.Tx) error { return l.Append(context.Background(), tx, room, "Confirmed.") })
}

// TestCommitter_EditsInOneBatch: one statement judges by one snapshot, so what depends on each other must not share it.
func TestCommitter_EditsInOneBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, told := committerOn(w.pool, 1)
	room, other := w.room(), w.room()
	for range 2 {
		w.ok(c, draft(room, w.patient, "a"))
		w.ok(c, draft(other, w.patient, "b"))
	}
	id := w.file(room, w.patient)
	repeat := retraction(room, w.patient, 1)
	out := commitOne(c,
		correction(room, w.patient, 1, "c"), repeat, correction(room, w.patient, 1, "d"), repeat, retraction(room, w.patient, 1),
		retraction(other, w.patient, 1), fileDraft(room, w.patient, id), correction(room, w.patient, 2, "e"),
		fileDraft(other, w.patient, id), fileDraft(room, w.patient, id), draft(room, w.doctor, "f"))
	want := []error{nil, nil, ErrNoTarget, nil, ErrNoTarget, nil, nil, nil, ErrNoFile, ErrNoFile, nil}
	for i, o := range out {
		require.Equal(t, want[i], o.err, i)
	}
	require.Equal(t, []bool{false, true}, []bool{out[1].receipt.Duplicate, out[3].receipt.Duplicate})
	require.Equal(t, out[1].receipt.Seq, out[3].receipt.Seq)
	log := w.requireGapless(room)
	kinds := make([]Kind, len(log))
	for i, e := range log {
		kinds[i] = e.Kind
	}
	require.Equal(t, []Kind{KindText, KindText, KindCorrection, KindRetraction, KindAttachment, KindCorrection, KindText}, kinds, "in the order in which they came")
	require.Len(t, told.in(room), 7)
	w.requireGapless(other)
}

// TestCommitter_EditsAgain: a repetition is acknowledged, whatever has become of its target, and of the conversation.
func TestCommitter_EditsAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, told := committerOn(w.pool, 1)
	room := w.room()
	w.ok(c, draft(room, w.patient, "a"))
	drafts := []Draft{
		fileDraft(room, w.patient, w.file(room, w.patient)), correction(room, w.patient, 1, "b"), retraction(room, w.patient, 1), retraction(room, w.patient, 2),
	}
	receipts := make([]Receipt, len(drafts))
	for i, d := range drafts {
		receipts[i] = w.ok(c, d)
	}
	for _, end := range []string{`select $1::bigint`, `update conversations set closed_at = now() where id = $1`} {
		w.exec(end, room)
		for i, d := range drafts {
			again := w.ok(c, d)
			require.True(t, again.Duplicate)
			require.Equal(t, receipts[i].Seq, again.Seq)
			require.True(t, receipts[i].At.Equal(again.At))
		}
		for i, o := range commitOne(c, drafts...) {
			require.NoError(t, o.err)
			require.True(t, o.receipt.Duplicate)
			require.Equal(t, receipts[i].Seq, o.receipt.Seq)
		}
	}
	require.Len(t, told.in(room), 5)
	require.Len(t, w.requireGapless(room), 5)
}

// TestCommitter_RefusedEditIsIsolated: what PostgreSQL cannot store is refused alone, also among edits.
func TestCommitter_RefusedEditIsIsolated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, _ := committerOn(w.pool, 1)
	room := w.room()
	for range 3 {
		w.ok(c, draft(room, w.patient, "a"))
	}
	out := commitOne(c, retraction(room, w.patient, 1), correction(room, w.patient, 2, "a\x00"), fileDraft(room, w.patient, w.file(room, w.patient)),
		correction(room, w.patient, 3, "b"))
	for i, want := range []error{nil, ErrInvalidText, nil, nil} {
		require.Equal(t, want, out[i].err, i)
	}
	require.Len(t, w.requireGapless(room), 6)
}

// TestCommitter_EditsContended: many take one message back and correct it, over two instances. One retraction lands, and
// nothing of that message after it.
func TestCommitter_EditsContended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, heardOne := startCommitter(t, w.connect(), 3)
	two, heardTwo := startCommitter(t, w.connect(), 2)
	for range 8 {
		room := w.room()
		w.ok(one, draft(room, w.patient, "a"))
		var work sync.WaitGroup
		var mu sync.Mutex
		retracted, corrected := 0, 0
		for n := range 24 {
			work.Go(func() {
				c := one
				if n%2 == 1 {
					c = two
				}
				d := correction(room, w.patient, 1, fmt.Sprint(n))
				if n%4 < 2 {
					d = retraction(room, w.patient, 1)
				}
				r, err := c.send(d)
				if n%3 == 0 && err == nil { // as after a lost ack, elsewhere
					again, err := map[bool]*committer{true: two, false: one}[c == one].send(d)
					if err != nil || !again.Duplicate || again.Seq != r.Seq {
						t.Errorf("a resend gave %+v, %v after %+v", again, err, r)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil && !errors.Is(err, ErrNoTarget):
					t.Errorf("refused with %v", err)
				case err == nil && d.Kind == KindRetraction:
					retracted++
				case err == nil:
					corrected++
				}
			})
		}
		work.Wait()
		require.Equal(t, 1, retracted, "one winner")
		log := w.requireGapless(room)
		require.Len(t, log, 2+corrected)
		require.Equal(t, KindRetraction, log[len(log)-1].Kind, "nothing after it")
		require.Len(t, append(heardOne.in(room), heardTwo.in(room)...), len(log))
	}
}

// TestCommitter_FileContended: one file is sent once, whoever else sends it or sweeps it up at the same time.
func TestCommitter_FileContended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, _ := startCommitter(t, w.connect(), 3)
	two, _ := startCommitter(t, w.connect(), 2)
	room := w.room()
	for round := range 10 {
		id := w.file(room, w.patient)
		var work sync.WaitGroup
		var mu sync.Mutex
		won, swept := 0, int64(0)
		for n := range 16 {
			work.Go(func() {
				c := one
				if n%2 == 1 {
					c = two
				}
				_, err := c.send(fileDraft(room, w.patient, id))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won++
				case !errors.Is(err, ErrNoFile):
					t.Errorf("refused with %v", err)
				}
			})
		}
		if round%2 == 1 {
			work.Go(func() {
				tag, err := w.pool.Exec(context.Background(), `delete from attachments where id = $1 and seq is null`, [16]byte(id))
				if err != nil {
					t.Errorf("sweep: %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				swept = tag.RowsAffected()
			})
		}
		work.Wait()
		require.EqualValues(t, 1, int64(won)+swept, "sent once, or swept up")
	}
	for _, e := range w.requireGapless(room) {
		require.NotNil(t, e.Attachment, "every message has its file")
	}
}
