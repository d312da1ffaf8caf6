package chat

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
	"housecall/internal/postgres"
)

// indexAll indexes whatever is behind.
func (in *instance) indexAll(t testing.TB) {
	t.Helper()
	require.NoError(t, in.svc.CatchUpSearch(context.Background()))
}

// found gives what a search over all of a user's conversations finds, page by page, as room:seq.
func (in *instance) found(t testing.TB, by auth.Actor, typed string, limit int) []string {
	t.Helper()
	out := []string{}
	var after Position
	for {
		hits, more, err := in.svc.Search(context.Background(), by, typed, after, limit)
		require.NoError(t, err)
		require.LessOrEqual(t, len(hits), limit)
		for _, h := range hits {
			out = append(out, fmt.Sprintf("%d:%d", h.Room, h.Seq))
		}
		if !more {
			return out
		}
		after = hits[len(hits)-1].Position()
	}
}

func (in *instance) foundIn(t testing.TB, room int64, typed string) []int64 {
	t.Helper()
	a, err := in.svc.d.Appointments.ByID(context.Background(), room)
	require.NoError(t, err)
	hits, more, err := in.svc.SearchIn(context.Background(), a, typed, Position{}, 100)
	require.NoError(t, err)
	require.False(t, more)
	out := []int64{}
	for _, h := range hits {
		out = append(out, h.Seq)
	}
	return out
}

// What is found is the same before it is indexed, while half of it is, and afterwards.
func TestService_Search(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, room, other := w.serve(nil), w.room(), w.room()
	one := in.say(t, room, w.patient, "My head hurts")
	two := in.say(t, room, w.doctor, "Since when does your HEAD hurt?")
	gone := in.say(t, room, w.patient, "Secret headache")
	fixed := in.say(t, room, w.patient, "Take ten")
	far := in.say(t, other, w.patient, "head, once more")
	file := uuid.New()
	w.exec(`insert into attachments (id, room_id, uploader_id, name, media_type, size_bytes, sha256, stored_at)
		values ($1, $2, $3, 'CT of the head.pdf', 'application/pdf', 5, sha256('x'), now())`, file, room, w.patient.ID)
	sent, err := in.svc.SendFile(t.Context(), w.patient, room, uuid.New(), file)
	require.NoError(t, err)
	edit := func() {
		_, err := in.svc.Retract(t.Context(), w.patient, room, uuid.New(), gone)
		require.NoError(t, err)
		_, err = in.svc.Correct(t.Context(), w.patient, room, uuid.New(), fixed, "Take a head scan")
		require.NoError(t, err)
	}
	check := func(when string, edited bool) {
		want := []string{fmt.Sprintf("%d:%d", room, sent.Seq), fmt.Sprintf("%d:%d", other, far)}
		inRoom := []int64{sent.Seq}
		if edited {
			want, inRoom = append(want, fmt.Sprintf("%d:%d", room, fixed)), append(inRoom, fixed)
		} else {
			want, inRoom = append(want, fmt.Sprintf("%d:%d", room, gone)), append(inRoom, gone)
		}
		want, inRoom = append(want, fmt.Sprintf("%d:%d", room, two), fmt.Sprintf("%d:%d", room, one)), append(inRoom, two, one)
		for _, by := range []auth.Actor{w.patient, w.doctor} {
			for _, limit := range []int{1, 2, 100} {
				require.Equal(t, want, in.found(t, by, "head", limit), "%s, %d", when, limit)
			}
			require.Equal(t, []string{fmt.Sprintf("%d:%d", room, one)}, in.found(t, by, `head "hurts" -once`, 9), when)
		}
		require.Equal(t, inRoom, in.foundIn(t, room, "head"), when)
		require.Empty(t, in.found(t, w.signIn(w.user(auth.Patient)), "head", 9), "somebody else")
		if edited {
			require.Empty(t, in.found(t, w.patient, "secret", 9), when)
			require.Empty(t, in.found(t, w.patient, "ten", 9), when)
			require.Len(t, in.found(t, w.patient, "scan", 9), 1, when)
		} else {
			require.Len(t, in.found(t, w.patient, "secret", 9), 1, when)
			require.Len(t, in.found(t, w.patient, "ten", 9), 1, when)
		}
	}
	w.exec(`update search_sweeps set rest_until = 'infinity'`) // nobody indexes
	check("not indexed", false)
	w.exec(`update search_sweeps set rest_until = now()`)
	in.indexAll(t)
	require.EqualValues(t, 6, w.number(`select count(*) from search_documents`))
	check("indexed", false)
	w.exec(`update search_sweeps set rest_until = 'infinity'`)
	edit()
	check("edited and not indexed", true)
	w.exec(`update search_sweeps set rest_until = now()`)
	in.indexAll(t)
	require.EqualValues(t, 5, w.number(`select count(*) from search_documents`))
	check("edits indexed", true)
	w.exec(`delete from search_documents; delete from search_rooms; delete from search_weeks`)
	in.indexAll(t)
	check("all anew", true)
}

// The loop of an instance indexes by itself what is sent there.
func TestService_indexLoop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, room := w.serve(nil), w.room()
	in.say(t, room, w.patient, "Hello")
	require.Eventually(t, func() bool { return w.number(`select count(*) from search_documents`) == 1 }, time.Minute, 20*time.Millisecond)
	_, more, err := in.svc.Search(t.Context(), w.doctor, "hello", Position{}, 1)
	require.NoError(t, err)
	require.False(t, more)
}

// Who has handed a conversation over finds nothing of it, at once; who has got it finds all, also what was indexed before.
func TestService_Search_handOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, room := w.serve(nil), w.room()
	next := w.signIn(w.user(auth.Doctor))
	in.say(t, room, w.patient, "My head hurts")
	in.indexAll(t)
	require.NoError(t, w.pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		if _, err := tx.Exec(t.Context(), `update appointments set doctor_id = $2 where id = $1`, room, next.ID); err != nil {
			return err
		}
		return NewLog().Regroup(t.Context(), tx, room, "Handed over.")
	}))
	for range 2 {
		require.Empty(t, in.found(t, w.doctor, "head", 9))
		require.Len(t, in.found(t, next, "head", 9), 1)
		require.Len(t, in.found(t, w.patient, "head", 9), 1)
		in.indexAll(t)
	}
	require.EqualValues(t, 1, w.number(`select count(*) from search_documents where words @@ $1::text::tsquery`,
		lexeme(scopeWord(next.ID, weekOf(time.Now())))))
}

// Many instances index the same rooms, while they grow and change, and in the end each message has its document once.
func TestService_index_manyInstances(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rooms := []int64{w.room(), w.room(), w.room()}
	instances := []*instance{w.serve(nil), w.serve(nil), w.serve(nil)}
	for _, in := range instances {
		in.svc.users.perSecond = 10_000
		in.svc.rooms.perSecond = 10_000
	}
	var work sync.WaitGroup
	for i, in := range instances {
		work.Go(func() {
			for n := range 40 {
				room := rooms[(i+n)%len(rooms)]
				r, err := in.svc.Send(context.Background(), w.patient, room, uuid.New(), fmt.Sprintf("common word%d", n))
				if err != nil {
					t.Errorf("send: %v", err)
					return
				}
				switch n % 4 {
				case 0:
					_, err = in.svc.Retract(context.Background(), w.patient, room, uuid.New(), r.Seq)
				case 1:
					_, err = in.svc.Correct(context.Background(), w.patient, room, uuid.New(), r.Seq, "other")
				case 2:
					err = in.svc.index(context.Background(), rooms)
				}
				if err != nil {
					t.Errorf("change: %v", err)
				}
			}
		})
	}
	work.Wait()
	require.Len(t, instances[0].found(t, w.patient, "common", 7), 3*20)
	instances[1].indexAll(t)
	require.EqualValues(t, 3*30, w.number(`select count(*) from search_documents`))
	require.Zero(t, w.number(`select count(*) from conversations c left join search_rooms r on r.room_id = c.id where c.head_seq is distinct from r.seq`))
	require.Len(t, instances[0].found(t, w.patient, "common", 7), 3*20)
	require.Len(t, instances[0].found(t, w.doctor, "other", 100), 3*10)
}

// Years of messages are found in order, whatever the stretches they are looked for in.
func TestService_Search_stretches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, room := w.serve(nil), w.room()
	const n = 9000
	w.exec(`insert into messages (room_id, seq, at, kind, sender_id, client_id, body)
		select $1, g, now() - make_interval(hours => $3::int - g), 'text', $2, gen_random_uuid(),
			case when g % 3000 = 1 then 'seldom' else 'often' end || ' ' || g from generate_series(1, $3::int) g`, room, w.patient.ID, n)
	w.exec(`update conversations set head_seq = $2 where id = $1`, room, n)
	w.exec(`update search_sweeps set rest_until = '-infinity'`)
	require.NoError(t, w.pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		more, err := indexSome(t.Context(), tx, []int64{room}, n)
		require.False(t, more)
		return err
	}))
	require.Greater(t, w.number(`select count(*) from search_weeks`), int64(100))
	want := []string{fmt.Sprintf("%d:6001", room), fmt.Sprintf("%d:3001", room), fmt.Sprintf("%d:1", room)}
	for _, typed := range []string{"seldom", "seldo", "sel -x", "selding -x"} {
		if typed == "selding -x" || typed == "sel -x" {
			want = []string{}
		}
		for _, limit := range []int{1, 3, 100} {
			require.Equal(t, want, in.found(t, w.doctor, typed, limit), typed)
		}
	}
	require.Equal(t, []int64{6001, 3001, 1}, in.foundIn(t, room, "seldo"))
	all := in.found(t, w.patient, "often", 100)
	require.Len(t, all, n-3)
	require.True(t, slices.IsSortedFunc(all, func(a, b string) int { return len(b) - len(a) }), "newest first")
}

// TestService_formerDoctor: who is a doctor no longer finds, counts and hears of nothing in the conversations of his patients.
func TestService_formerDoctor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, room, kept := w.serve(nil), w.room(), w.room()
	in.say(t, room, w.patient, "My head hurts")
	in.indexAll(t)
	in.say(t, room, w.patient, "My head still hurts")
	w.exec(`update users set role = 'PATIENT' where id = $1`, w.doctor.ID)
	w.exec(`insert into patients (user_id) values ($1)`, w.doctor.ID)
	w.exec(`update appointments set patient_id = $2, doctor_id = $3 where id = $1`, kept, w.doctor.ID, w.user(auth.Doctor).ID) // now his own
	former := w.doctor
	former.Role = auth.Patient
	in.knows(former)
	in.say(t, kept, former, "A head of my own")

	require.Len(t, in.found(t, former, "head", 9), 1)
	require.Len(t, in.found(t, w.patient, "head", 9), 2)
	unread := in.rest(former, "GET", "/me/unread", "")
	require.EqualValues(t, 0, unread.body["total"], "%s", unread.raw)
	hello := in.inbox(t, former).hello
	require.Equal(t, []any{0.0, []any{}}, []any{hello["total"], hello["unread"]})
	all, err := standingsIn(t.Context(), w.pool, []int64{room, kept}, []int64{former.ID}, seats{})
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, kept, all[0].RoomID)
	require.Equal(t, http.StatusNotFound, in.rest(former, "GET", "/appointments/"+in.publicID(room)+"/messages", "").status)
}

func TestSearch_HTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, room := w.serve(nil), w.room()
	w.exec(`insert into messages (room_id, seq, at, kind, sender_id, body) values
		($1, 1, '2027-01-02 03:04:05.6Z', 'system', null, 'pain'), ($1, 2, '2027-01-02 03:04:06Z', 'text', $2, 'Pain <b>& "paint"</b> 🩺 pain')`, room, w.patient.ID)
	w.exec(`update conversations set head_seq = 2 where id = $1`, room)
	for i := range 3 {
		in.say(t, room, w.doctor, fmt.Sprintf("Which pain? %d", i))
	}
	id := in.publicID(room)
	page := in.rest(w.patient, "GET", "/me/search?limit=2&q=pain", "")
	require.Equal(t, http.StatusOK, page.status)
	goldenRest(t, "search", page)
	cursor := page.body["nextCursor"].(string)
	page = in.rest(w.patient, "GET", "/me/search?limit=2&q=pain&cursor="+cursor, "")
	require.Equal(t, http.StatusOK, page.status)
	items := page.body["items"].([]any)
	require.Len(t, items, 2)
	require.Equal(t, "Which pain? 0", items[1].(map[string]any)["snippet"])

	page = in.rest(w.doctor, "GET", "/appointments/"+id+"/messages/search?q="+url.QueryEscape(`"which pain" -1`), "")
	require.Equal(t, http.StatusOK, page.status)
	require.Len(t, page.body["items"], 2)
	for path, want := range map[string]int{
		"/me/search":              http.StatusUnprocessableEntity,
		"/me/search?q=":           http.StatusUnprocessableEntity,
		"/me/search?q=-private":   http.StatusUnprocessableEntity,
		"/me/search?q=private%00": http.StatusUnprocessableEntity,
		"/me/search?q=" + strings.Repeat("private", 40):                          http.StatusUnprocessableEntity,
		"/me/search?q=x&cursor=private":                                          http.StatusUnprocessableEntity,
		"/appointments/" + id + "/messages/search?q=x&cursor=" + cursor + "x":    http.StatusUnprocessableEntity,
		"/appointments/APP9999999999/messages/search?q=private":                  http.StatusNotFound,
		"/appointments/" + in.publicID(in.strangers(t)) + "/messages/search?q=x": http.StatusNotFound,
	} {
		a := in.rest(w.patient, "GET", path, "")
		require.Equal(t, want, a.status, path)
		require.NotContains(t, string(a.raw), "private", "an error never echoes")
	}
}

// strangers makes a room of two others.
func (in *instance) strangers(t testing.TB) int64 {
	t.Helper()
	room := in.room()
	in.exec(`update appointments set patient_id = $2, doctor_id = $3 where id = $1`, room, in.user(auth.Patient).ID, in.user(auth.Doctor).ID)
	return room
}
