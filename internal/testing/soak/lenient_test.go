package soak

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What networks, crashes and busy machines do to a client does not break a promise.
func TestCheck_WhatIsAllowed(t *testing.T) {
	t.Parallel()
	for name, tell := range map[string]func() []Entry{
		"an ack that is lost": func() []Entry { return without(sound().end(), ackOf("c2")) },
		"a repetition": func() []Entry {
			h := sound()
			h.request(patient, 2, Send, Entry{What: Ack, ClientID: "c2", Seq: 2, Duplicate: true})
			return h.end()
		},
		"nobody knows, and it is there": func() []Entry {
			h := sound()
			h.request(patient, 2, Send, Entry{What: Lost, ClientID: "c7"})
			h.commit(Event{Kind: kindText, ClientID: "c7", Sender: patient})
			return without(h.end(), func(e Entry) bool { return e.What == Final || e.What == Unread })
		},
		"a retraction while the event is under way": func() []Entry {
			return changed(sound().end(), seen(11, 3), func(e *Entry) { e.Event.Text, e.Event.Retracted = "", true })
		},
		"a reset of one who is far behind": farBehind,
		"a cursor told in hello":           soundHello,
		"a begin before the closing": func() []Entry {
			h := sound()
			h.ops++
			op := h.ops
			h.put(Entry{What: Begin, Action: Send, Conn: 1, Op: op, ClientID: "c7"})
			e := h.commit(Event{Kind: kindText, ClientID: "c7", Sender: patient})
			h.request(doctor, 12, Close, Entry{What: Done})
			h.put(Entry{What: Ack, Action: Send, Conn: 1, Op: op, ClientID: "c7", Seq: e.Seq})
			return without(h.end(), func(e Entry) bool { return e.What == Final || e.What == Unread })
		},
		"closed, perhaps": func() []Entry {
			h := sound()
			h.request(doctor, 12, Close, Entry{What: Lost})
			h.refuse(2, Send, "closed", 0)
			return h.end()
		},
		"a session that has just ended": func() []Entry { return silent(eavesdrop(1500*time.Millisecond, Entry{})) },
		"an instance that stood still": func() []Entry {
			return silent(eavesdrop(3*time.Second, Entry{What: Fault, Since: 500 * time.Millisecond}))
		},
		"an unauthenticated stranger": func() []Entry {
			h := sound()
			h.request(other, 9, Browse, Entry{What: Refused, Status: 503})
			return h.end()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Empty(t, Check(tell()))
		})
	}
}

// silent leaves out the parts of an eavesdropper's history that break other promises.
func silent(history []Entry) []Entry {
	return without(history, func(e Entry) bool { return e.What == Unread || e.What == Final })
}

// farBehind is a tale with a client that resumes 600 events behind.
func farBehind() []Entry {
	h := sound()
	for range 600 {
		h.commit(Event{Kind: kindSystem})
	}
	h.put(Entry{What: Begin, Action: Connect, Conn: 3, After: 6})
	h.put(Entry{What: Hello, Conn: 3, Head: 606})
	h.put(Entry{What: Reset, Conn: 3, Head: 606})
	h.put(Entry{What: Live, Conn: 3, Head: 606})
	return without(h.end(), func(e Entry) bool { return e.What == Final })
}

// FuzzCheck changes a sound history at random: Check judges any history, always with the same result, and Shrink can
// shrink what it finds.
func FuzzCheck(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 20, 0, 1, 21, 0, 2, 22, 5})
	f.Add([]byte{3, 10, 200, 3, 30, 1, 4, 40, 2, 5, 12, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 60 {
			t.Skip("a longer script says no more")
		}
		history := mangle(sound().end(), script)
		found := Check(history)
		require.Equal(t, found, Check(history))
		for _, v := range found[:min(len(found), 3)] {
			small := Shrink(history, v)
			require.NotEmpty(t, small, v)
			require.Subset(t, numbers(history), numbers(small))
		}
		for _, e := range history {
			require.NotEmpty(t, e.String())
		}
	})
}

func numbers(history []Entry) (out []int) {
	for _, e := range history {
		out = append(out, e.N)
	}
	return out
}

// mangle applies steps of three bytes: what to do, where, and with what.
func mangle(h []Entry, script []byte) []Entry {
	for ; len(script) >= 3 && len(h) > 1; script = script[3:] {
		i, n := int(script[1])%len(h), int64(script[2])
		switch script[0] % 8 {
		case 0:
			h = slices.Delete(h, i, i+1)
		case 1:
			h = slices.Insert(h, i, h[(i+int(n))%len(h)])
		case 2:
			j := (i + int(n)) % len(h)
			h[i], h[j] = h[j], h[i]
		case 3:
			h[i].Seq, h[i].Head, h[i].After = n, n, n-1
		case 4:
			h[i].What = h[int(n)%len(h)].What
		case 5:
			h[i].Op, h[i].Conn, h[i].Session = int(n)%16, int(n)%20, int(n)%3
		case 6:
			h[i].Event = h[int(n)%len(h)].Event
		default:
			h[i].Action, h[i].User, h[i].Conversation = h[int(n)%len(h)].Action, h[int(n)%len(h)].User, []string{testConversation, ""}[n%2]
		}
	}
	for i := range h {
		h[i].N = i + 1
	}
	return h
}

// Counterexamples and stored histories keep everything that is in an entry.
func TestEntry_RoundTrip(t *testing.T) {
	t.Parallel()
	for _, e := range sound().end() {
		body, err := json.Marshal(e)
		require.NoError(t, err)
		var back Entry
		require.NoError(t, json.Unmarshal(body, &back))
		require.Equal(t, e, back)
	}
}

func TestRecorder_Order(t *testing.T) {
	t.Parallel()
	r := NewRecorder()
	for range 100 {
		r.Add(Entry{What: Nemesis})
	}
	require.Equal(t, []int{1, 2, 1, 2}, []int{r.Op(), r.Op(), r.Conn(), r.Conn()})
	entries := r.Entries()
	require.Len(t, entries, 100)
	for i, e := range entries {
		require.Equal(t, i+1, e.N)
		require.True(t, i == 0 || e.At >= entries[i-1].At)
	}
}
