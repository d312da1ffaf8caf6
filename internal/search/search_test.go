package search

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/conversation"
	"housecall/internal/postgres"
	"housecall/internal/testing/apitest"
)

// indexAll indexes whatever is behind.
func (in *instance) indexAll(t testing.TB) {
	t.Helper()
	require.NoError(t, in.svc.CatchUp(context.Background()))
}

// hit names an event as found does.
func hit(id, seq int64) string { return fmt.Sprintf("%d:%d", id, seq) }

// found is what a search over all of a user's conversations finds, page by page.
func (in *instance) found(t testing.TB, by auth.Actor, typed string, limit int) []string {
	t.Helper()
	out := []string{}
	want := Want{Query: typed, Limit: limit}
	for {
		hits, more, err := in.svc.Search(context.Background(), by, want)
		require.NoError(t, err)
		require.LessOrEqual(t, len(hits), limit)
		for _, h := range hits {
			out = append(out, hit(h.Conversation, h.Seq))
		}
		if !more {
			return out
		}
		want.After = hits[len(hits)-1].Position()
	}
}

// foundIn is what a search in one conversation of the world's patient finds.
func (in *instance) foundIn(t testing.TB, id int64, typed string) []int64 {
	t.Helper()
	r := in.reading(t, in.Patient, id)
	hits, more, err := in.svc.SearchIn(context.Background(), r, Want{Query: typed, Limit: 100})
	require.NoError(t, err)
	require.False(t, more)
	out := []int64{}
	for _, h := range hits {
		out = append(out, h.Seq)
	}
	return out
}

// headaches are two conversations about heads, and what TestService_Search does to them.
type headaches struct {
	*instance
	id, other                        int64 // conversations
	one, two, gone, fixed, far, file int64 // seqs; gone and fixed are edited later
}

func newHeadaches(t *testing.T) headaches {
	w := newWorld(t)
	h := headaches{instance: w.serve(), id: w.Conversation(), other: w.Conversation()}
	h.one = h.say(t, h.id, w.Patient, "My head hurts")
	h.two = h.say(t, h.id, w.Doctor, "Since when does your HEAD hurt?")
	h.gone = h.say(t, h.id, w.Patient, "Secret headache")
	h.fixed = h.say(t, h.id, w.Patient, "Take ten")
	h.far = h.say(t, h.other, w.Patient, "head, once more")
	file := uuid.New()
	w.Exec(`insert into attachments (id, room_id, uploader_id, name, media_type, size_bytes, sha256, stored_at)
		values ($1, $2, $3, 'CT of the head.pdf', 'application/pdf', 5, sha256('x'), now())`, file, h.id, w.Patient.ID)
	h.file = h.must(t, conversation.Draft{
		Conversation: h.id, Sender: w.Patient, Kind: conversation.KindAttachment, Attachment: file,
	})
	return h
}

func (h headaches) edit(t *testing.T) {
	h.retract(t, h.id, h.Patient, h.gone)
	h.correct(t, h.id, h.Patient, h.fixed, "Take a head scan")
}

// check searches before or after the edits.
func (h headaches) check(t *testing.T, when string, edited bool) {
	t.Helper()
	third, words := h.gone, map[string]int{"secret": 1, "ten": 1, "scan": 0}
	if edited {
		third, words = h.fixed, map[string]int{"secret": 0, "ten": 0, "scan": 1}
	}
	want := []string{hit(h.id, h.file), hit(h.other, h.far), hit(h.id, third), hit(h.id, h.two), hit(h.id, h.one)}
	for _, by := range []auth.Actor{h.Patient, h.Doctor} {
		for _, limit := range []int{1, 2, 100} {
			require.Equal(t, want, h.found(t, by, "head", limit), "%s, %d", when, limit)
		}
		require.Equal(t, []string{hit(h.id, h.one)}, h.found(t, by, `head "hurts" -once`, 9), when)
	}
	require.Equal(t, []int64{h.file, third, h.two, h.one}, h.foundIn(t, h.id, "head"), when)
	require.Empty(t, h.found(t, h.SignIn(h.User(auth.Patient)), "head", 9), "somebody else")
	for word, n := range words {
		require.Len(t, h.found(t, h.Patient, word, 9), n, "%s: %s", when, word)
	}
}

// Search finds the same before anything is indexed, while half of it is, and when all of it is.
func TestService_Search(t *testing.T) {
	t.Parallel()
	h := newHeadaches(t)
	h.nobodyIndexes()
	h.check(t, "not indexed", false)
	h.somebodyIndexes()
	h.indexAll(t)
	require.EqualValues(t, 6, h.Number(`select count(*) from search_documents`))
	h.check(t, "indexed", false)
	h.nobodyIndexes()
	h.edit(t)
	h.check(t, "edited and not indexed", true)
	h.somebodyIndexes()
	h.indexAll(t)
	require.EqualValues(t, 5, h.Number(`select count(*) from search_documents`))
	h.check(t, "edits indexed", true)
	h.Exec(`delete from search_documents; delete from search_rooms; delete from search_weeks`)
	h.indexAll(t)
	h.check(t, "all indexed from nothing", true)
}

// An instance's loop indexes what is sent there without being asked.
func TestService_indexLoop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id := w.serve(), w.Conversation()
	in.say(t, id, w.Patient, "Hello")
	require.Eventually(t, func() bool { return w.Number(`select count(*) from search_documents`) == 1 },
		time.Minute, 20*time.Millisecond)
	_, more, err := in.svc.Search(t.Context(), w.Doctor, Want{Query: "hello", Limit: 1})
	require.NoError(t, err)
	require.False(t, more)
}

// A doctor who handed a conversation over finds nothing in it from then on; the one who took it over finds
// everything, also what was indexed before.
func TestService_Search_handOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id := w.serve(), w.Conversation()
	next := w.SignIn(w.User(auth.Doctor))
	in.say(t, id, w.Patient, "My head hurts")
	in.indexAll(t)
	w.handOver(t, id, next)
	for range 2 {
		require.Empty(t, in.found(t, w.Doctor, "head", 9))
		require.Len(t, in.found(t, next, "head", 9), 1)
		require.Len(t, in.found(t, w.Patient, "head", 9), 1)
		in.indexAll(t)
	}
	require.EqualValues(t, 1, w.Number(`select count(*) from search_documents where words @@ $1::text::tsquery`,
		lexeme(scopeWord(next.ID, weekOf(time.Now())))))
	require.EqualValues(t, 1, w.Number(`select count(*) from search_rooms where room_id = $1 and users = $2`,
		id, []int64{w.Patient.ID, next.ID}))
}

// The release before wrote rows that do not say for whom (users is empty). What they stand for is found, and once the
// conversation grows it is indexed again from its beginning.
func TestService_index_olderRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id := w.serve(), w.Conversation()
	in.say(t, id, w.Patient, "My head hurts")
	in.indexAll(t)
	w.nobodyIndexes()
	w.Exec(`update search_rooms set users = default, doctor_id = $2 where room_id = $1`, id, w.Doctor.ID)
	require.Len(t, in.found(t, w.Doctor, "head", 9), 1)
	next := w.SignIn(w.User(auth.Doctor))
	w.handOver(t, id, next)
	in.say(t, id, next, "Does your head still hurt?")
	for _, when := range []string{"not indexed", "indexed"} {
		require.Len(t, in.found(t, next, "head", 9), 2, when)
		require.Empty(t, in.found(t, w.Doctor, "head", 9), when)
		w.somebodyIndexes()
		in.indexAll(t)
	}
	require.EqualValues(t, 2, w.Number(`select count(*) from search_documents where words @@ $1::text::tsquery`,
		lexeme(scopeWord(next.ID, weekOf(time.Now())))))
}

// Several instances index the same conversations while these grow and change; in the end each message has one
// document.
func TestService_index_manyInstances(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := []int64{w.Conversation(), w.Conversation(), w.Conversation()}
	instances := []*instance{w.serve(), w.serve(), w.serve()}
	var work sync.WaitGroup
	for i, in := range instances {
		work.Go(func() {
			for n := range 40 {
				if err := in.change(ids, ids[(i+n)%len(ids)], n); err != nil {
					t.Errorf("change: %v", err)
					return
				}
			}
		})
	}
	work.Wait()
	require.Len(t, instances[0].found(t, w.Patient, "common", 7), 3*20)
	instances[1].indexAll(t)
	require.EqualValues(t, 3*30, w.Number(`select count(*) from search_documents`))
	require.Zero(t, w.Number(`select count(*) from conversations c
		left join search_rooms r on r.room_id = c.id where c.head_seq is distinct from r.seq`))
	require.Len(t, instances[0].found(t, w.Patient, "common", 7), 3*20)
	require.Len(t, instances[0].found(t, w.Doctor, "other", 100), 3*10)
}

// change sends the nth message to a conversation, and retracts it, corrects it, indexes all, or leaves it at that.
func (in *instance) change(all []int64, id int64, n int) error {
	d := conversation.Draft{Conversation: id, Sender: in.Patient, Kind: conversation.KindText}
	d.Text = fmt.Sprintf("common word%d", n)
	ack, err := in.send(d)
	if err != nil {
		return err
	}
	d.Target, d.Text = ack.Seq, ""
	switch n % 4 {
	case 0:
		d.Kind = conversation.KindRetraction
		_, err = in.send(d)
	case 1:
		d.Kind, d.Text = conversation.KindCorrection, "other"
		_, err = in.send(d)
	case 2:
		err = in.svc.index(context.Background(), all)
	}
	return err
}

// Years of messages are found in order, however many weeks are searched at a time.
func TestService_Search_stretches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id := w.serve(), w.Conversation()
	const n = 9000
	w.Exec(`insert into messages (room_id, seq, at, kind, sender_id, client_id, body)
		select $1, g, now() - make_interval(hours => $3::int - g), 'text', $2, gen_random_uuid(),
			case when g % 3000 = 1 then 'seldom' else 'often' end || ' ' || g
		from generate_series(1, $3::int) g`, id, w.Patient.ID, n)
	w.Exec(`update conversations set head_seq = $2 where id = $1`, id, n)
	w.somebodyIndexes()
	require.NoError(t, w.Pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		more, err := indexSome(t.Context(), tx, []int64{id}, n)
		require.False(t, more)
		return err
	}))
	require.Greater(t, w.Number(`select count(*) from search_weeks`), int64(100))
	seldom := []string{hit(id, 6001), hit(id, 3001), hit(id, 1)}
	for typed, want := range map[string][]string{
		"seldom": seldom, "seldo": seldom, "sel -x": {}, "selding -x": {},
	} {
		for _, limit := range []int{1, 3, 100} {
			require.Equal(t, want, in.found(t, w.Doctor, typed, limit), typed)
		}
	}
	require.Equal(t, []int64{6001, 3001, 1}, in.foundIn(t, id, "seldo"))
	all := in.found(t, w.Patient, "often", 100)
	require.Len(t, all, n-3)
	require.True(t, slices.IsSortedFunc(all, func(a, b string) int { return len(b) - len(a) }), "newest first")
}

// A user who is no longer a doctor finds nothing in the conversations of their former patients, only in those in which
// they are a patient.
func TestService_Search_formerDoctor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id, own := w.serve(), w.Conversation(), w.Conversation()
	in.say(t, id, w.Patient, "My head hurts")
	in.indexAll(t)
	in.say(t, id, w.Patient, "My head still hurts")
	w.Exec(`update users set role = 'PATIENT' where id = $1`, w.Doctor.ID)
	w.Exec(`insert into patients (user_id) values ($1)`, w.Doctor.ID)
	w.Exec(`update appointments set patient_id = $2, doctor_id = $3 where id = $1`,
		own, w.Doctor.ID, w.User(auth.Doctor).ID)
	former := w.Doctor
	former.Role = auth.Patient
	in.say(t, own, former, "A head of my own")

	for _, when := range []string{"partly indexed", "indexed"} {
		require.Equal(t, []string{hit(own, 1)}, in.found(t, former, "head", 9), when)
		require.Len(t, in.found(t, w.Patient, "head", 9), 2, when)
		in.indexAll(t)
	}
	for _, path := range []string{"", "/search?q=head"} {
		a := in.get(former, "/appointments/"+in.PublicID(id)+"/messages"+path)
		require.Equal(t, http.StatusNotFound, a.Status, path)
	}
}

func TestSearch_HTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id := w.serve(), w.Conversation()
	w.Exec(`insert into messages (room_id, seq, at, kind, sender_id, body) values
		($1, 1, '2027-01-02 03:04:05.6Z', 'system', null, 'pain'),
		($1, 2, '2027-01-02 03:04:06Z', 'text', $2, 'Pain <b>& "paint"</b> 🩺 pain')`, id, w.Patient.ID)
	w.Exec(`update conversations set head_seq = 2 where id = $1`, id)
	for i := range 3 {
		in.say(t, id, w.Doctor, fmt.Sprintf("Which pain? %d", i))
	}
	page := in.get(w.Patient, "/me/search?limit=2&q=pain")
	require.Equal(t, http.StatusOK, page.Status)
	apitest.Golden(t, "search", page, apitest.MaskTimes, apitest.MaskMember("appointmentId|nextCursor"))
	cursor := page.Text("nextCursor")
	page = in.get(w.Patient, "/me/search?limit=2&q=pain&cursor="+cursor)
	require.Equal(t, http.StatusOK, page.Status)
	require.Len(t, page.Items(), 2)
	require.Equal(t, "Which pain? 0", page.Items()[1]["snippet"])

	path := "/appointments/" + in.PublicID(id) + "/messages/search?q="
	page = in.get(w.Doctor, path+url.QueryEscape(`"which pain" -1`))
	require.Equal(t, http.StatusOK, page.Status)
	require.Len(t, page.Items(), 2)
	for refused, want := range map[string]int{
		"/me/search":              http.StatusUnprocessableEntity,
		"/me/search?q=":           http.StatusUnprocessableEntity,
		"/me/search?q=-private":   http.StatusUnprocessableEntity,
		"/me/search?q=private%00": http.StatusUnprocessableEntity,
		"/me/search?q=" + strings.Repeat("private", 40):                         http.StatusUnprocessableEntity,
		"/me/search?q=x&cursor=private":                                         http.StatusUnprocessableEntity,
		path + "x&cursor=" + cursor + "x":                                       http.StatusUnprocessableEntity,
		"/appointments/APP9999999999/messages/search?q=private":                 http.StatusNotFound,
		"/appointments/" + in.PublicID(in.strangers()) + "/messages/search?q=x": http.StatusNotFound,
	} {
		a := in.get(w.Patient, refused)
		require.Equal(t, want, a.Status, refused)
		require.NotContains(t, a.String(), "private", "an error never echoes")
	}
}
