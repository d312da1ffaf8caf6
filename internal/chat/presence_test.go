package chat

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/bus"
)

// wiredBus hands signals to another presence, unless it is cut.
type wiredBus struct {
	origin uint64
	to     *presence
	cut    bool
}

func (b *wiredBus) publish(n broadcast, _ func(bus.Topic)) {
	if !b.cut {
		n.origin = b.origin
		b.to.receive(n)
	}
}

// ward is one instance's presence with the bus that leads from it.
type ward struct {
	*presence
	hub *hub
	bus *wiredBus
}

// wards makes two instances that hear each other over a bus that has been up for a while.
func wards(now *time.Time) (one, two ward) {
	make1 := func(origin uint64) ward {
		h, b := hubOn(&logStub{}), &wiredBus{origin: origin}
		return ward{newPresence(h, b.publish, func() time.Time { return *now }), h, b}
	}
	one, two = make1(1), make1(2)
	// One way at a time: a real bus delivers from a goroutine of its own, and so never within publish.
	one.bus.to, two.bus.to = two.presence, one.presence
	one.bus.cut, two.bus.cut = true, true
	one.refresh(true, false)
	two.refresh(true, false)
	*now = now.Add(answerWait)
	return one, two
}

// speak lets one instance be heard by the other during f.
func (w ward) speak(f func()) {
	w.bus.cut = false
	f()
	w.bus.cut = true
}

// sit puts a user's live connection into the conversation.
func (w ward) sit(t *testing.T, a auth.Actor) (*subscriber, *recorder) {
	t.Helper()
	m, r := joinAt(t, w.hub, a.ID, 0)
	w.look(testConversation, a.ID, a.UserID)
	return m, r
}

func told(t *testing.T, r *recorder) (out []any) {
	t.Helper()
	for _, f := range r.take() {
		frame := fields(t, payload(t, wire(f)))
		require.Equal(t, "presence", frame["type"])
		out = append(out, frame["online"])
	}
	return out
}

func TestPresence(t *testing.T) {
	t.Parallel()
	now := time.Now()
	patient, doctor := auth.Actor{ID: 1, UserID: "PAT0000000001"}, auth.Actor{ID: 2, UserID: "DOC0000000001"}
	one, two := wards(&now)
	p, r := one.sit(t, patient)
	require.Nil(t, one.look(testConversation, doctor.ID, doctor.UserID), "nobody has had time to answer")
	now = now.Add(answerWait)
	one.refresh(true, false)
	require.Equal(t, []any{false}, told(t, r))

	d, _ := two.sit(t, doctor)
	two.speak(func() { two.joined(testConversation, doctor) })
	require.Equal(t, []any{true}, told(t, r))
	two.speak(func() { two.refresh(true, true) })
	require.Empty(t, told(t, r), "a repetition is no news")

	for range forgetAfter / time.Second { // the other instance has died
		now = now.Add(time.Second)
		one.refresh(true, true)
	}
	require.Empty(t, told(t, r))
	now = now.Add(time.Second)
	one.refresh(true, true)
	require.Equal(t, []any{false}, told(t, r))

	two.speak(func() { two.refresh(true, true) })
	require.Equal(t, []any{true}, told(t, r), "it was only cut off")
	one.refresh(false, false)
	require.Equal(t, []any{nil}, told(t, r), "while the bus is away nobody knows")
	now = now.Add(time.Minute)
	one.refresh(true, false)
	require.Empty(t, told(t, r))
	two.speak(func() { two.refresh(true, true) })
	require.Equal(t, []any{true}, told(t, r))

	now = now.Add(returnWait)
	two.hub.leave(d)
	two.speak(func() { two.left(testConversation, doctor) })
	require.Equal(t, []any{false}, told(t, r))
	one.hub.leave(p)
	one.left(testConversation, patient)
	require.Empty(t, one.conversations)
	require.Empty(t, two.conversations)
}

// TestPresence_HalfOpen: an instance that hears but is not heard, or the reverse, knows nothing: what it last heard may
// no longer be true.
func TestPresence_HalfOpen(t *testing.T) {
	t.Parallel()
	now := time.Now()
	patient, doctor := auth.Actor{ID: 1, UserID: "PAT0000000001"}, auth.Actor{ID: 2, UserID: "DOC0000000001"}
	one, two := wards(&now)
	_, r := one.sit(t, patient)
	d, _ := two.sit(t, doctor)
	two.speak(func() { two.joined(testConversation, doctor) })
	require.Equal(t, []any{true}, told(t, r))
	one.refresh(false, false)
	require.Equal(t, []any{nil}, told(t, r))
	two.speak(func() { two.refresh(true, true) })
	require.Empty(t, told(t, r), "it is heard, and proves nothing")
	two.hub.leave(d)
	two.left(testConversation, doctor) // unheard
	for range forgetAfter/time.Second + 1 {
		now = now.Add(time.Second)
		one.refresh(false, true)
		require.Empty(t, told(t, r))
	}
}

// TestPresence_OthersReturnLater: after an outage of the bus, silence means nothing until everybody has had time to
// come back to it.
func TestPresence_OthersReturnLater(t *testing.T) {
	t.Parallel()
	now := time.Now()
	patient, doctor := auth.Actor{ID: 1, UserID: "PAT0000000001"}, auth.Actor{ID: 2, UserID: "DOC0000000001"}
	one, two := wards(&now)
	_, r := one.sit(t, patient)
	d, _ := two.sit(t, doctor)
	two.speak(func() { two.joined(testConversation, doctor) })
	require.Equal(t, []any{true}, told(t, r))
	one.refresh(false, false)
	two.refresh(false, false)
	require.Equal(t, []any{nil}, told(t, r))
	now = now.Add(time.Minute)
	one.refresh(true, false) // it asks, and the other one does not hear yet
	for range returnWait/time.Second - 1 {
		now = now.Add(time.Second)
		one.refresh(true, false)
		require.Empty(t, told(t, r), "the doctor is there")
	}
	two.speak(func() { two.refresh(true, false) })
	require.Equal(t, []any{true}, told(t, r))
	two.hub.leave(d)
	two.speak(func() { two.left(testConversation, doctor) })
	require.Equal(t, []any{nil}, told(t, r))
	now = now.Add(time.Second)
	one.refresh(true, false)
	require.Equal(t, []any{false}, told(t, r))
}

// TestPresence_AwayFromTheStart: it is the same if the bus was not there when the instance started.
func TestPresence_AwayFromTheStart(t *testing.T) {
	t.Parallel()
	now := time.Now()
	patient, doctor := auth.Actor{ID: 1, UserID: "PAT0000000001"}, auth.Actor{ID: 2, UserID: "DOC0000000001"}
	h := hubOn(&logStub{})
	p := newPresence(h, func(broadcast, func(bus.Topic)) {}, func() time.Time { return now })
	_, r := joinAt(t, h, patient.ID, 0)
	require.Nil(t, p.look(testConversation, doctor.ID, doctor.UserID))
	now = now.Add(bus.SilenceLimit)
	p.refresh(true, false)
	now = now.Add(returnWait - time.Second)
	p.refresh(true, false)
	require.Empty(t, told(t, r))
	now = now.Add(time.Second)
	p.refresh(true, false)
	require.Equal(t, []any{false}, told(t, r))
}

// TestPresence_Missed: what was said while the connection to the bus was cut, too briefly to count as an outage, is
// asked for again.
func TestPresence_Missed(t *testing.T) {
	t.Parallel()
	now := time.Now()
	patient, doctor := auth.Actor{ID: 1, UserID: "PAT0000000001"}, auth.Actor{ID: 2, UserID: "DOC0000000001"}
	one, two := wards(&now)
	_, r := one.sit(t, patient)
	require.Nil(t, one.look(testConversation, doctor.ID, doctor.UserID))
	now = now.Add(answerWait)
	one.refresh(true, false)
	require.Equal(t, []any{false}, told(t, r))
	d, other := two.sit(t, doctor)
	two.joined(testConversation, doctor) // unheard
	one.speak(func() { one.missed(testConversation, true) })
	require.Equal(t, []any{nil}, told(t, r), "they may be anywhere")
	require.Equal(t, []any{true}, told(t, other), "the other side is told as well")
	two.speak(func() {
		two.receive(broadcast{kind: broadcastSignal, id: testConversation, signal: &signal{What: signalWho}})
	}) // its answer
	require.Equal(t, []any{true}, told(t, r))

	two.hub.leave(d)
	two.left(testConversation, doctor) // unheard
	one.missed(testConversation, true)
	require.Empty(t, told(t, r))
	now = now.Add(2*answerWait + time.Second)
	one.refresh(true, false)
	require.Equal(t, []any{nil}, told(t, r), "nobody says that they are there any more")
	now = now.Add(returnWait - 2*answerWait - time.Second)
	one.refresh(true, false)
	require.Equal(t, []any{false}, told(t, r))

	one.missed(testConversation, false) // its confirmation took long
	require.Equal(t, []any{nil}, told(t, r))
	now = now.Add(answerWait)
	one.refresh(true, false)
	require.Equal(t, []any{false}, told(t, r))
	one.missed(testConversation+1, true) // of a conversation that nobody is in
	require.Len(t, one.conversations, 1)
}

// TestPresence_SecondDevice: of several connections of a user only the first and the last are news.
func TestPresence_SecondDevice(t *testing.T) {
	t.Parallel()
	now := time.Now()
	one, _ := wards(&now)
	patient, doctor := auth.Actor{ID: 1, UserID: "PAT0000000001"}, auth.Actor{ID: 2, UserID: "DOC0000000001"}
	_, r := one.sit(t, patient)
	first, _ := one.sit(t, doctor)
	one.joined(testConversation, doctor)
	require.Equal(t, []any{true}, told(t, r))
	second, _ := one.sit(t, doctor)
	one.joined(testConversation, doctor)
	one.hub.leave(first)
	one.left(testConversation, doctor)
	require.Empty(t, told(t, r))
	now = now.Add(answerWait)
	one.hub.leave(second)
	one.left(testConversation, doctor)
	require.Equal(t, []any{false}, told(t, r))
}
