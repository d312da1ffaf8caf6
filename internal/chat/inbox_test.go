package chat

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
	"unique"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/conversation"
)

// newsAt is how a user stands in a conversation, with a head and a count.
func newsAt(id, user, head int64, unread int32) news {
	publicID := fmt.Sprintf("APP%010d", id)
	return news{
		standing: standing{ID: id, UserID: user, PublicID: publicID, HeadSeq: head, Unread: int64(unread)},
		mark:     mark{head: head, unread: unread, version: 1, whyNot: unique.Make("")}, canReply: true,
	}
}

// openBox opens a box that knows some conversations.
func openBox(i *inboxes, user int64, knows ...news) (*box, *recorder) {
	r := &recorder{}
	b := &box{user: user, sink: r, marks: map[int64]mark{}}
	for _, n := range knows {
		b.marks[n.ID] = n.mark
	}
	i.load()
	i.open(b, func(total int64) wire { return wire(fmt.Sprint("hello ", total)) })
	i.loaded()
	return b, r
}

// unreads reads what a box was told: "conversation=unread/total" for unread frames, and the type of others.
func unreads(t *testing.T, r *recorder) (out []string) {
	t.Helper()
	for _, f := range r.take() {
		if f[:5] == "hello" {
			out = append(out, f)
			continue
		}
		m := fields(t, payload(t, wire(f)))
		if m["type"] == "unread" {
			out = append(out, fmt.Sprintf("%v=%v/%v", m["appointmentId"].(string)[12:], m["unread"], m["total"]))
			continue
		}
		out = append(out, fmt.Sprint(m["type"]))
	}
	return out
}

func TestInboxes(t *testing.T) {
	t.Parallel()
	i := newInboxes()
	i.touch(touchedParticipants, 1) // nobody here wants to know
	g, tell := i.take()
	require.Empty(t, g.ids)
	require.Empty(t, tell)
	i.touch(touchedHere, 1)
	i.touch(touchedHere|touchedParticipants, 1, 2)
	g, tell = i.take()
	require.Empty(t, g.ids)
	require.Equal(t, map[int64]touch{1: touchedParticipants, 2: touchedParticipants}, tell,
		"others may want to; once for each id")

	one, r1 := openBox(i, 10, newsAt(1, 10, 5, 2))
	_, r2 := openBox(i, 10, newsAt(1, 10, 5, 2)) // another device
	_, r3 := openBox(i, 11, newsAt(1, 11, 5, 0))
	for _, r := range []*recorder{r1, r2, r3} {
		require.Len(t, unreads(t, r), 1)
	}
	i.touch(0, 1, 7)
	g, tell = i.take()
	require.Equal(t, []int64{1}, g.ids, "nobody here takes part in the other one")
	require.ElementsMatch(t, []int64{10, 11}, g.users)
	require.Empty(t, tell, "who heard it from others does not repeat it")
	require.Empty(t, i.tell(g, []news{newsAt(1, 10, 6, 3), newsAt(1, 11, 6, 0)}))
	require.Equal(t, []string{"1=3/3"}, unreads(t, r1))
	require.Equal(t, []string{"1=3/3"}, unreads(t, r2))
	require.Equal(t, []string{"1=0/0"}, unreads(t, r3))
	i.touch(0, 1)
	g, _ = i.take()
	require.Empty(t, i.tell(g, []news{newsAt(1, 10, 6, 3), newsAt(1, 11, 6, 0)}))
	require.Empty(t, unreads(t, r1), "what is as it was is no news")

	i.touch(touchedParticipants, 7) // new, or with others
	g, _ = i.take()
	require.ElementsMatch(t, []int64{10, 11}, g.users)
	require.Empty(t, i.tell(g, []news{newsAt(7, 10, 1, 0)}))
	require.Equal(t, []string{"appointment", "7=0/3"}, unreads(t, r1))
	require.Empty(t, unreads(t, r3))

	i.touch(touchedParticipants, 1)
	g, _ = i.take()
	i.close(one) // while it is looked at
	left := i.tell(g, []news{newsAt(1, 11, 7, 1)})
	require.Len(t, left, 1, "only who is still there is told")
	i.lose(left[0].box, "APP0000000001")
	require.Equal(t, []string{"appointment", "7=0/3", "gone"}, unreads(t, r2))
	require.Empty(t, unreads(t, r1))
	i.touch(0, 1)
	g, _ = i.take()
	require.Equal(t, []int64{11}, g.users, "who has lost a id watches it no more")
	i.again(g)
	g, _ = i.take()
	require.Equal(t, []int64{1}, g.ids, "what failed is looked at again")
}

// TestInboxes_Opening: what changes between reading a box and opening it is read again, and an earlier glance does
// not set a box back.
func TestInboxes_Opening(t *testing.T) {
	t.Parallel()
	i := newInboxes()
	r := &recorder{}
	b := &box{user: 10, sink: r, marks: map[int64]mark{1: newsAt(1, 10, 5, 1).mark, 2: newsAt(2, 10, 5, 1).mark}}
	i.load()
	i.touch(touchedHere, 1, 3)
	i.touch(touchedParticipants, 4)
	before, tell := i.take()
	require.Equal(t, map[int64]touch{1: 0, 3: 0}, tell)
	i.open(b, func(int64) wire { return wire("hello") })
	i.loaded()
	require.Empty(t, i.tell(before, []news{newsAt(1, 10, 4, 0)}))
	require.Equal(t, []string{"hello"}, unreads(t, r))
	g, tell := i.take()
	require.ElementsMatch(t, []int64{1, 4}, g.ids)
	require.Empty(t, tell, "once is enough")
	require.Empty(t, i.missed)

	i.load() // one that fails
	i.touch(0, 9)
	i.take()
	i.loaded()
	require.Empty(t, i.missed)
}

func TestInboxes_Found(t *testing.T) {
	t.Parallel()
	i := newInboxes()
	_, _ = openBox(i, 10, newsAt(1, 10, 5, 1), newsAt(2, 10, 5, 0))
	users, reading := i.waiting()
	require.Equal(t, []int64{10}, users)
	require.Equal(t, readers{ids: []int64{1}, users: []int64{10}, reads: []int64{0}}, reading)
	require.Equal(t, 4, i.follow([]lead{
		{ID: 1, UserID: 10, HeadSeq: 5}, // known
		{ID: 1, UserID: 10, HeadSeq: 4}, // read before it was told
		{ID: 2, UserID: 10, HeadSeq: 6}, // grown
		{ID: 3, UserID: 10, HeadSeq: 1}, // new
		{ID: 1, UserID: 10},             // read elsewhere
		{ID: 2, UserID: 0, HeadSeq: 7},  // went to others
		{ID: 2, UserID: 0, HeadSeq: 5},  // which is known
		{ID: 9, UserID: 0, HeadSeq: 7},  // concerns nobody here
		{ID: 9, UserID: 99, HeadSeq: 7}, // nor does that
	}))
	g, _ := i.take()
	require.ElementsMatch(t, []int64{1, 2, 3}, g.ids)
}

// TestService_SweepInboxes: repeated sweeps find unannounced changes once; when the history has changed, everyone
// starts again.
func TestService_SweepInboxes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(nil)
	idle := &Service{ // without its loops
		d:   in.svc.d,
		ctx: context.Background(), hub: in.svc.hub, bus: in.svc.bus, metrics: in.svc.metrics, windows: newWindows(),
		inboxes: newInboxes(),
	}
	idle.sweepInboxes()
	require.Nil(t, idle.inboxSwept, "nobody asks")
	id := w.Conversation()
	box, r := openBox(idle.inboxes, w.Patient.ID)
	w.append(id, conversation.KindText, w.Doctor, 0)
	idle.sweepInboxes()
	idle.tellInboxes()
	require.Len(t, unreads(t, r), 3, "hello, and a conversation that it did not know of")
	idle.sweepInboxes() // sees the same part of the log
	require.Empty(t, idle.inboxes.settle())
	w.reached(id, w.Patient.ID, 1, 1)
	idle.sweepInboxes()
	idle.tellInboxes()
	require.Len(t, unreads(t, r), 1)
	require.Zero(t, box.total)
	require.Zero(t, endedWith(r))
	idle.inboxEpoch = "another"
	idle.sweepInboxes()
	require.Equal(t, closeFault, endedWith(r))
}

// list is an inbox as a client sees it.
type list struct {
	mu     sync.Mutex // guards all below
	unread map[string]int64
	gone   map[string]bool
	total  int64
}

// follow keeps a list live until the connection ends.
func follow(p *peer) *list {
	l := &list{unread: map[string]int64{}, gone: map[string]bool{}}
	l.total = int64(p.hello["total"].(float64))
	for _, delivery := range p.hello["unread"].([]any) {
		l.unread[delivery.(map[string]any)["appointmentId"].(string)] = int64(delivery.(map[string]any)["unread"].(float64))
	}
	go func() {
		for {
			_, body, err := p.ReadMessage()
			if err != nil {
				return
			}
			var f struct {
				Type, AppointmentID string
				Unread, Total       int64
			}
			if json.Unmarshal(body, &f) != nil {
				return
			}
			l.mu.Lock()
			switch f.Type {
			case "unread":
				l.unread[f.AppointmentID], l.total = f.Unread, f.Total
				delete(l.gone, f.AppointmentID)
			case "gone":
				delete(l.unread, f.AppointmentID)
				l.gone[f.AppointmentID], l.total = true, f.Total
			}
			l.mu.Unlock()
		}
	}()
	return l
}

// agrees reports whether a list matches PostgreSQL.
func (l *list) agrees(t *testing.T, w *world, user int64) bool {
	t.Helper()
	all, err := standingsOf(context.Background(), w.Pool, user)
	require.NoError(t, err)
	l.mu.Lock()
	defer l.mu.Unlock()
	want, total := map[string]int64{}, int64(0)
	for _, st := range all {
		if l.gone[st.PublicID] {
			return false
		}
		want[st.PublicID] = st.Unread
		total += st.Unread
	}
	for id, n := range l.unread {
		if want[id] != n { // 0 of conversations in which they take no part
			return false
		}
		delete(want, id)
	}
	for _, n := range want {
		if n != 0 { // they were never told
			return false
		}
	}
	return l.total == total
}

// TestInbox_NeverLies: people write, read, retract and are handed over on two instances that do not hear each other,
// while inboxes come and go; once that is over, every list agrees with PostgreSQL and with what REST counts.
func TestInbox_NeverLies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	next := w.SignIn(w.User(auth.Doctor))
	ins := []*instance{w.serve(nil), w.serve(nil)}
	people := []auth.Actor{w.Patient, w.Doctor, next}
	var lists []*list
	var owners []auth.Actor
	watch := func(n int) {
		a := people[n%len(people)]
		in := ins[n/len(people)%2]
		in.knows(a)
		lists, owners = append(lists, follow(in.inbox(t, a))), append(owners, a)
	}
	ids := make([]int64, 6)
	for n := range ids {
		ids[n] = w.Conversation()
	}
	ctx := context.Background()
	var work sync.WaitGroup
	for worker := range 4 {
		random := rand.New(rand.NewPCG(uint64(worker), 1))
		work.Go(func() {
			for range 60 {
				id, in := ids[random.IntN(len(ids))], ins[random.IntN(2)]
				a := people[random.IntN(len(people))]
				switch random.IntN(8) {
				case 0, 1, 2, 3: // whoever does not take part is refused
					_, _ = in.conversations.Send(ctx, draft(id, a, "x"))
				case 4, 5:
					if r, err := in.conversations.TakesPart(ctx, a, w.PublicID(id)); err == nil {
						_, _ = in.svc.MoveReceipts(ctx, r, conversation.Cursors{Read: random.Int64N(12)})
					}
				case 6:
					d := draft(id, a, "")
					d.Kind, d.Target = conversation.KindRetraction, 1+random.Int64N(8)
					_, _ = in.conversations.Send(ctx, d)
				case 7:
					to := []auth.Actor{w.Doctor, next}[random.IntN(2)]
					w.move(t, in.log, id, `doctor_id = $2`, to.ID)
				}
			}
		})
	}
	for n := range 9 { // some see it all, some come in the middle
		watch(n)
	}
	work.Wait()
	for n, l := range lists {
		require.Eventually(t, func() bool { return l.agrees(t, w, owners[n].ID) }, time.Minute, 20*time.Millisecond,
			"list %d", n)
	}
}

// What other instances have told is not kept while no inbox is open here; what is told from here always is.
func TestInboxes_touch(t *testing.T) {
	t.Parallel()
	i := newInboxes()
	i.touch(touchedParticipants, 1)
	require.Nil(t, i.settle())
	i.touch(touchedHere, 2)
	require.Equal(t, map[int64]touch{2: touchedHere}, i.settle())
}
