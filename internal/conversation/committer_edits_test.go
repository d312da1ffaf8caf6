package conversation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
)

func TestCommitter_Edits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, told := committerOn(w.Pool, 1)
	id := w.Conversation()
	file := w.file(id, w.Doctor)
	out := commitOne(c, draft(id, w.Patient, "It hurts here"), draft(id, w.Doctor, "Where?"),
		fileDraft(id, w.Doctor, file))
	for i, o := range out {
		require.NoError(t, o.err)
		require.EqualValues(t, i+1, o.ack.Seq)
	}
	want := &Attachment{
		ID: file, Name: "knee.jpg", MediaType: "image/jpeg", Size: 5, SHA256: strings.Repeat("0f", 32), Width: 4, Height: 3,
		Thumbnail: true,
	}
	require.Equal(t, want, told.in(id)[2].Attachment, "listeners get what the log has")
	require.Equal(t, w.log(id), told.in(id))

	first, second := correction(id, w.Patient, 1, "It hurts there"), correction(id, w.Patient, 1, "It hurts everywhere")
	require.EqualValues(t, 4, w.ok(c, first).Seq)
	require.Equal(t, "It hurts there", w.log(id)[0].Text)
	require.EqualValues(t, 4, w.log(id)[0].CorrectedBy)
	require.EqualValues(t, 5, w.ok(c, second).Seq)
	log := w.log(id)
	require.Equal(t, []string{"It hurts everywhere", "It hurts everywhere", "It hurts everywhere"},
		[]string{log[0].Text, log[3].Text, log[4].Text})
	require.Equal(t, []int64{5, 5, 0}, []int64{log[0].CorrectedBy, log[3].CorrectedBy, log[4].CorrectedBy})
	require.Equal(t, "It hurts there", told.in(id)[3].Text, "listeners get each edit as it was written")
	require.EqualValues(t, 1, told.in(id)[3].Target)

	require.EqualValues(t, 6, w.ok(c, retraction(id, w.Patient, 1)).Seq)
	require.EqualValues(t, 7, w.ok(c, retraction(id, w.Doctor, 3)).Seq)
	log = w.requireGapless(id)
	for _, i := range []int{0, 2, 3, 4} { // corrections too
		require.True(t, log[i].Retracted)
		require.Empty(t, log[i].Text)
		require.Nil(t, log[i].Attachment)
	}
	require.Equal(
		t,
		Event{
			Conversation: id, Seq: 7, Kind: KindRetraction, ClientID: log[6].ClientID,
			Sender: w.Doctor.UserID, At: log[6].At, Target: 3,
		},
		log[6],
	)
	require.Equal(t, log[5:], told.in(id)[5:])
	require.EqualValues(t, len("It hurts here"),
		w.Number(`select length(body) from messages where room_id = $1 and seq = 1`, id), "the record keeps the original")
	require.EqualValues(t, 3, w.Number(`select seq from attachments where id = $1`, [16]byte(file)))
}

// TestCommitter_EditRefusals tries every reason for a refusal, in batches with other drafts that must not be
// affected.
func TestCommitter_EditRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, _ := committerOn(w.Pool, 1)
	id, other, shut := w.Conversation(), w.Conversation(), w.Conversation()
	stranger := w.SignIn(w.User(auth.Patient))
	for _, id := range []int64{id, other, shut} {
		w.appendSystem(id)                         // seq 1
		w.ok(c, draft(id, w.Patient, "patient's")) // 2
		w.ok(c, draft(id, w.Doctor, "doctor's"))   // 3
		w.ok(c, fileDraft(id, w.Patient, w.file(id, w.Patient)))
		w.ok(c, draft(id, w.Patient, "to be retracted")) // 5
		w.ok(c, retraction(id, w.Patient, 5))            // 6
		w.ok(c, correction(id, w.Patient, 2, "better"))  // 7
		w.ok(c, draft(id, w.Doctor, "to be retracted"))  // 8
		w.ok(c, retraction(id, w.Doctor, 8))             // 9
	}
	sent := w.file(id, w.Patient)
	w.ok(c, fileDraft(id, w.Patient, sent)) // 10, in conversation only
	unsent, ofDoctor, elsewhere, partial := w.file(shut,
		w.Patient), w.file(id, w.Doctor), w.file(other, w.Patient), w.file(id, w.Patient)
	w.Exec(`update attachments set stored_at = null where id = $1`, [16]byte(partial))
	w.Exec(`update conversations set closed_at = now() where id = $1`, shut)
	for name, k := range map[string]struct {
		d    Draft
		want error
	}{
		"a target that is not there":      {retraction(id, w.Patient, 99), ErrNoTarget},
		"a target below all":              {retraction(id, w.Patient, -1), ErrNoTarget},
		"a target only elsewhere":         {retraction(other, w.Patient, 10), ErrNoTarget},
		"a system event":                  {retraction(id, w.Patient, 1), ErrNoTarget},
		"a retraction":                    {retraction(id, w.Patient, 6), ErrNoTarget},
		"a correction":                    {correction(id, w.Patient, 7, "x"), ErrNoTarget},
		"retracted already":               {retraction(id, w.Patient, 5), ErrNoTarget},
		"corrected after it":              {correction(id, w.Patient, 5, "x"), ErrNoTarget},
		"retracted by the other":          {retraction(id, w.Patient, 8), ErrNoTarget},
		"a correction of a file":          {correction(id, w.Patient, 4, "x"), ErrNoTarget},
		"the other's text":                {retraction(id, w.Patient, 3), ErrNotOwn},
		"the other's text, corrected":     {correction(id, w.Doctor, 2, "x"), ErrNotOwn},
		"the other's file":                {retraction(id, w.Doctor, 4), ErrNotOwn},
		"closed comes before the target":  {retraction(shut, w.Patient, 99), ErrClosed},
		"closed, one's own":               {correction(shut, w.Patient, 2, "x"), ErrClosed},
		"closed, a file":                  {fileDraft(shut, w.Patient, unsent), ErrClosed},
		"forbidden comes before closed":   {retraction(shut, stranger, 2), ErrForbidden},
		"forbidden comes before a target": {correction(id, stranger, 99, "x"), ErrForbidden},
		"a stranger's file":               {fileDraft(id, stranger, ofDoctor), ErrForbidden},
		"a file that is not there":        {fileDraft(id, w.Patient, uuid.New()), ErrNoFile},
		"a file that was sent":            {fileDraft(id, w.Patient, sent), ErrNoFile},
		"the other's upload":              {fileDraft(id, w.Patient, ofDoctor), ErrNoFile},
		"a file of another conversation":  {fileDraft(id, w.Patient, elsewhere), ErrNoFile},
		"half a file":                     {fileDraft(id, w.Patient, partial), ErrNoFile},
	} {
		before := len(w.log(id))
		out := commitOne(c, draft(id, w.Doctor, "before"), k.d, draft(id, w.Patient, "after"))
		require.NoError(t, out[0].err, name)
		require.Equal(t, k.want, out[1].err, name)
		require.NoError(t, out[2].err, name)
		require.Len(t, w.requireGapless(id), before+2, name)
	}
	for reason, n := range map[string]float64{"not_found": 15, "not_yours": 3, "closed": 3, "forbidden": 3} {
		require.InDelta(t, n, testutil.ToFloat64(c.metrics.refused.WithLabelValues(reason)), 0, reason)
	}
	require.Zero(t, w.Number(`select count(*) from attachments where id = any($1) and seq is not null`,
		[][16]byte{unsent, ofDoctor, elsewhere, partial}))
}

// TestCommitter_EditsInOneBatch: one statement judges all its drafts by one state, so drafts of a batch that depend
// on each other need care.
func TestCommitter_EditsInOneBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, told := committerOn(w.Pool, 1)
	id, other := w.Conversation(), w.Conversation()
	for range 2 {
		w.ok(c, draft(id, w.Patient, "a"))
		w.ok(c, draft(other, w.Patient, "b"))
	}
	file := w.file(id, w.Patient)
	repeat := retraction(id, w.Patient, 1)
	out := commitOne(c,
		correction(id, w.Patient, 1, "c"), repeat, correction(id, w.Patient, 1, "d"), repeat, retraction(id, w.Patient, 1),
		retraction(other, w.Patient, 1), fileDraft(id, w.Patient, file), correction(id, w.Patient, 2, "e"),
		fileDraft(other, w.Patient, file), fileDraft(id, w.Patient, file), draft(id, w.Doctor, "f"))
	want := []error{nil, nil, ErrNoTarget, nil, ErrNoTarget, nil, nil, nil, ErrNoFile, ErrNoFile, nil}
	for i, o := range out {
		require.Equal(t, want[i], o.err, i)
	}
	require.Equal(t, []bool{false, true}, []bool{out[1].ack.Duplicate, out[3].ack.Duplicate})
	require.Equal(t, out[1].ack.Seq, out[3].ack.Seq)
	log := w.requireGapless(id)
	kinds := make([]Kind, len(log))
	for i, e := range log {
		kinds[i] = e.Kind
	}
	require.Equal(t, []Kind{KindText, KindText, KindCorrection, KindRetraction, KindAttachment, KindCorrection, KindText},
		kinds, "in the order in which they came")
	require.Len(t, told.in(id), 7)
	w.requireGapless(other)
}

// TestCommitter_EditsAgain: a repeated edit is acknowledged, whatever has happened to its target and to the
// conversation.
func TestCommitter_EditsAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, told := committerOn(w.Pool, 1)
	id := w.Conversation()
	w.ok(c, draft(id, w.Patient, "a"))
	drafts := []Draft{
		fileDraft(id, w.Patient, w.file(id, w.Patient)), correction(id, w.Patient, 1, "b"), retraction(id, w.Patient, 1),
		retraction(id, w.Patient, 2),
	}
	acks := make([]Ack, len(drafts))
	for i, d := range drafts {
		acks[i] = w.ok(c, d)
	}
	for _, end := range []string{`select $1::bigint`, `update conversations set closed_at = now() where id = $1`} {
		w.Exec(end, id)
		for i, d := range drafts {
			again := w.ok(c, d)
			require.True(t, again.Duplicate)
			require.Equal(t, acks[i].Seq, again.Seq)
			require.True(t, acks[i].At.Equal(again.At))
		}
		for i, o := range commitOne(c, drafts...) {
			require.NoError(t, o.err)
			require.True(t, o.ack.Duplicate)
			require.Equal(t, acks[i].Seq, o.ack.Seq)
		}
	}
	require.Len(t, told.in(id), 5)
	require.Len(t, w.requireGapless(id), 5)
}

// TestCommitter_RefusedEditIsIsolated: among edits, too, only the draft that PostgreSQL cannot store is refused.
func TestCommitter_RefusedEditIsIsolated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, _ := committerOn(w.Pool, 1)
	id := w.Conversation()
	for range 3 {
		w.ok(c, draft(id, w.Patient, "a"))
	}
	out := commitOne(c, retraction(id, w.Patient, 1), correction(id, w.Patient, 2, "a\x00"),
		fileDraft(id, w.Patient, w.file(id, w.Patient)), correction(id, w.Patient, 3, "b"))
	for i, want := range []error{nil, ErrInvalidText, nil, nil} {
		require.Equal(t, want, out[i].err, i)
	}
	require.Len(t, w.requireGapless(id), 6)
}

// TestCommitter_EditsContended: many retract and correct one message at the same time, on two instances. One
// retraction lands, and no edit of that message comes after it.
func TestCommitter_EditsContended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, heardOne := startCommitter(t, w.Connect(), 3)
	two, heardTwo := startCommitter(t, w.Connect(), 2)
	for range 8 {
		id := w.Conversation()
		w.ok(one, draft(id, w.Patient, "a"))
		var work sync.WaitGroup
		var mu sync.Mutex
		retracted, corrected := 0, 0
		for n := range 24 {
			work.Go(func() {
				c := one
				if n%2 == 1 {
					c = two
				}
				d := correction(id, w.Patient, 1, fmt.Sprint(n))
				if n%4 < 2 {
					d = retraction(id, w.Patient, 1)
				}
				ack, err := c.send(d)
				if n%3 == 0 && err == nil { // as after a lost ack, elsewhere
					again, err := map[bool]*committer{true: two, false: one}[c == one].send(d)
					if err != nil || !again.Duplicate || again.Seq != ack.Seq {
						t.Errorf("a resend gave %+v, %v after %+v", again, err, ack)
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
		log := w.requireGapless(id)
		require.Len(t, log, 2+corrected)
		require.Equal(t, KindRetraction, log[len(log)-1].Kind, "nothing after it")
		require.Len(t, append(heardOne.in(id), heardTwo.in(id)...), len(log))
	}
}

// TestCommitter_FileContended: a file is sent once, or swept up, when many do either at the same time.
func TestCommitter_FileContended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, _ := startCommitter(t, w.Connect(), 3)
	two, _ := startCommitter(t, w.Connect(), 2)
	id := w.Conversation()
	for round := range 10 {
		file := w.file(id, w.Patient)
		var work sync.WaitGroup
		var mu sync.Mutex
		won, swept := 0, int64(0)
		for n := range 16 {
			work.Go(func() {
				c := one
				if n%2 == 1 {
					c = two
				}
				_, err := c.send(fileDraft(id, w.Patient, file))
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
				tag, err := w.Pool.Exec(context.Background(), `delete from attachments where id = $1 and seq is null`,
					[16]byte(file))
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
	for _, e := range w.requireGapless(id) {
		require.NotNil(t, e.Attachment, "every message has its file")
	}
}

// TestCommitter_BatchEqualsOneByOne checks that judging many drafts at once equals judging one at a time: random
// drafts committed in batches to one conversation, and one by one to its twin, have the same outcomes and make the
// same log.
func TestCommitter_BatchEqualsOneByOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, _ := committerOn(w.Pool, 1)
	twins := [2]int64{w.Conversation(), w.Conversation()}
	senders := []auth.Actor{w.Patient, w.Doctor, w.SignIn(w.User(auth.Patient))}
	files := [2][]uuid.UUID{}
	var drafts [2][]Draft
	for range 40 {
		from := len(drafts[0])
		head := w.Number(`select head_seq from conversations where id = $1`, twins[0])
		for range 1 + rand.IntN(12) {
			for i, id := range twins {
				files[i] = append(files[i], w.file(id, w.Patient))
			}
			n := len(drafts[0])
			if n > 0 && rand.IntN(6) == 0 { // a repetition
				again := rand.IntN(n)
				drafts[0], drafts[1] = append(drafts[0], drafts[0][again]), append(drafts[1], drafts[1][again])
				continue
			}
			d := Draft{Sender: senders[min(rand.IntN(12)%5/2, 2)], ClientID: uuid.New(), Kind: KindText, Text: "x"}
			file, target := -1, int64(1)<<40
			if head > 0 && rand.IntN(10) > 0 { // never one of the same batch: its seq is not known yet
				target = 1 + rand.Int64N(head)
			}
			switch rand.IntN(5) {
			case 0:
				d.Kind, d.Text, d.Target = KindRetraction, "", target
			case 1, 2:
				d.Kind, d.Text, d.Target = KindCorrection, fmt.Sprint(n), target
			case 3:
				d.Kind, d.Text, file = KindAttachment, "", len(files[0])-1-rand.IntN(min(4, len(files[0])))
			}
			for i, id := range twins {
				d.Conversation = id
				if file >= 0 {
					d.Attachment = files[i][file]
				}
				drafts[i] = append(drafts[i], d)
			}
		}
		batch := commitOne(c, drafts[0][from:]...)
		for i, d := range drafts[1][from:] {
			one := commitOne(c, d)[0]
			if errors.Is(one.err, ErrNoTarget) && errors.Is(batch[i].err, ErrNotOwn) {
				continue // the other participant's message was retracted in the same batch: refused either way
			}
			require.Equal(t, one.err, batch[i].err, "%s of %d", d.Kind, d.Target)
			require.Equal(t, []any{one.ack.Seq, one.ack.Duplicate}, []any{batch[i].ack.Seq, batch[i].ack.Duplicate})
		}
	}
	logs := [2][]Event{w.requireGapless(twins[0]), w.requireGapless(twins[1])}
	require.Greater(t, len(logs[0]), 50)
	for i, e := range logs[1] {
		e.Conversation, e.At = twins[0], logs[0][i].At
		require.Equal(t, e.Attachment == nil, logs[0][i].Attachment == nil)
		e.Attachment = logs[0][i].Attachment
		require.Equal(t, e, logs[0][i])
	}
}
