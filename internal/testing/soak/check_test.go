package soak

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	testConversation = "APP1"
	patient          = "PAT1"
	doctor           = "DOC1"
	other            = "PAT2"
)

// tale is a hand-made history.
type tale struct {
	entries []Entry
	log     []Event
	told    cursors // the doctor's
	ops     int
}

// put adds an entry, ten milliseconds after the last.
func (h *tale) put(e Entry) int {
	e.N = len(h.entries) + 1
	e.At = time.Duration(e.N) * 10 * time.Millisecond
	if e.Conversation == "" {
		e.Conversation = testConversation
	}
	if e.User == "" && e.Conn > 0 {
		e.User, e.Session = map[bool]string{true: patient, false: doctor}[e.Conn < 10], e.Conn
	}
	h.entries = append(h.entries, e)
	return len(h.entries) - 1
}

func (h *tale) now() time.Duration { return time.Duration(len(h.entries)) * 10 * time.Millisecond }

// commit appends to the log.
func (h *tale) commit(e Event) Event {
	e.Seq, e.Committed = int64(len(h.log)+1), h.now()
	h.log = append(h.log, e)
	return e
}

// connect opens a connection that sees these events, those up to head before live.
func (h *tale) connect(conn int, after, head int64, events ...Event) {
	h.ops++
	h.put(Entry{What: Begin, Action: Connect, Conn: conn, Op: h.ops, After: after})
	h.put(Entry{What: Hello, Conn: conn, Head: head})
	h.put(Entry{What: Shown, Conn: conn, Subject: doctor, Delivered: h.told.delivered, Read: h.told.read})
	for _, e := range events {
		h.got(conn, e)
	}
	h.put(Entry{What: Live, Conn: conn, Head: head})
}

func (h *tale) got(conn int, e Event) int { return h.put(Entry{What: Got, Conn: conn, Event: &e}) }

// say adds an action over a connection that is committed and acknowledged.
func (h *tale) say(conn int, action Action, clientID, text string, target int64) Event {
	h.ops++
	i := h.put(Entry{What: Begin, Action: action, Conn: conn, Op: h.ops, ClientID: clientID, Text: text, Target: target})
	e := h.commit(Event{Kind: kindOf[action], ClientID: clientID, Sender: h.entries[i].User, Text: text, Target: target})
	h.put(Entry{What: Ack, Action: action, Conn: conn, Op: h.ops, ClientID: clientID, Seq: e.Seq})
	return e
}

// request adds an action over REST, from its begin to an answer.
func (h *tale) request(user string, session int, action Action, answer Entry) (begin, end int) {
	h.ops++
	begin = h.put(Entry{What: Begin, Action: action, User: user, Session: session, Op: h.ops, ClientID: answer.ClientID})
	answer.User, answer.Session, answer.Op, answer.Action = user, session, h.ops, action
	return begin, h.put(answer)
}

// end finishes a tale with the content of PostgreSQL.
func (h *tale) end() []Entry {
	for _, e := range h.log {
		h.put(Entry{What: Log, Event: &e})
	}
	h.put(Entry{What: Head, Head: int64(len(h.log))})
	h.put(Entry{What: Cursors, Subject: doctor, Delivered: 3, Read: 2})
	h.put(Entry{What: Unread, User: doctor, Count: 1})
	return h.entries
}

// sound is a short tale in which everything is as it should be.
func sound() *tale {
	h := &tale{}
	h.put(Entry{What: Member, User: patient, Role: "patient"})
	h.put(Entry{What: Member, User: doctor, Role: "doctor"})
	h.put(Entry{What: Stranger, User: other})
	first := h.commit(Event{Kind: kindSystem, Text: "Appointment confirmed."})
	h.connect(1, -1, 1, first)
	h.connect(11, -1, 1, first)
	m2 := h.say(1, Send, "c2", "good morning", 0)
	h.got(11, m2)
	h.got(1, m2)
	m3 := h.say(1, Send, "c3", "a secret", 0)
	h.got(11, m3)
	h.put(Entry{What: Begin, Action: Delivered, Conn: 11, UpTo: 3})
	h.put(Entry{What: Begin, Action: Read, Conn: 11, UpTo: 2})
	h.told = cursors{delivered: 3, read: 2}
	h.put(Entry{What: Receipt, Conn: 1, Subject: doctor, Delivered: 3, Read: 2})
	m4 := h.say(1, Retract, "c4", "", 3)
	m5 := h.say(1, Correct, "c5", "good evening", 2)
	h.got(11, m4)
	h.got(11, m5)
	h.request(other, 9, Browse, Entry{What: Refused, Status: 404, Code: "not_found"})
	// Later connections see messages in their current form.
	gone, better := m3, m2
	gone.Text, gone.Retracted = "", true
	better.Text, better.CorrectedBy = "good evening", 5
	h.connect(2, 1, 5, better, gone, m4, m5)
	h.connect(12, 5, 5)
	m6 := h.say(2, Send, "c6", "how are you", 0)
	h.got(12, m6)
	h.got(2, m6)
	h.put(Entry{What: Final, Conn: 2})
	return h
}

// find returns the position of the first entry for which is holds.
func find(entries []Entry, is func(Entry) bool) int { return slices.IndexFunc(entries, is) }

func logged(seq int64) func(Entry) bool {
	return func(e Entry) bool { return e.What == Log && e.Event.Seq == seq }
}

func seen(conn int, seq int64) func(Entry) bool {
	return func(e Entry) bool { return e.What == Got && e.Conn == conn && e.Event.Seq == seq }
}

func ackOf(clientID string) func(Entry) bool {
	return func(e Entry) bool { return e.What == Ack && e.ClientID == clientID }
}

// changed returns a history with one entry changed.
func changed(entries []Entry, is func(Entry) bool, change func(*Entry)) []Entry {
	out := slices.Clone(entries)
	i := find(out, is)
	if out[i].Event != nil {
		e := *out[i].Event
		out[i].Event = &e
	}
	change(&out[i])
	return out
}

func without(entries []Entry, is func(Entry) bool) []Entry {
	return slices.DeleteFunc(slices.Clone(entries), is)
}

func TestCheck_ASoundHistory(t *testing.T) {
	t.Parallel()
	require.Empty(t, Check(sound().end()))
}

// broken has, for each rule, sound histories in which something was broken.
var broken = map[string]map[string]func() []Entry{
	"acked": {
		"lost":             func() []Entry { return without(sound().end(), logged(6)) },
		"of another":       func() []Entry { return changed(sound().end(), logged(3), func(e *Entry) { e.Event.ClientID = "c9" }) },
		"at another place": func() []Entry { return changed(sound().end(), ackOf("c6"), func(e *Entry) { e.Seq = 5 }) },
	},
	"once": {
		"twice in the log": func() []Entry {
			h := sound()
			h.commit(Event{Kind: kindText, ClientID: "c2", Sender: patient, Text: "good morning"})
			return h.end()
		},
		"two places": func() []Entry {
			h := sound()
			h.request(patient, 2, Send, Entry{What: Ack, ClientID: "c2", Seq: 3, Duplicate: true})
			return h.end()
		},
		"new again": func() []Entry {
			h := sound()
			h.request(patient, 2, Send, Entry{What: Ack, ClientID: "c2", Seq: 2})
			return h.end()
		},
	},
	"gapless": {
		"a hole":      func() []Entry { return without(sound().end(), logged(3)) },
		"begins late": func() []Entry { return without(sound().end(), logged(1)) },
		"back in time": func() []Entry {
			return changed(sound().end(), logged(4), func(e *Entry) { e.Event.Committed = time.Millisecond })
		},
		"the counter": func() []Entry {
			return changed(sound().end(), func(e Entry) bool { return e.What == Head }, func(e *Entry) { e.Head++ })
		},
	},
	"authors": {
		"nobody wrote it": func() []Entry {
			h := sound()
			h.commit(Event{Kind: kindText, ClientID: "c9", Sender: doctor, Text: "x"})
			return h.end()
		},
		"another text": func() []Entry {
			return changed(sound().end(), logged(6), func(e *Entry) { e.Event.Text = "how are they" })
		},
		"a stranger": func() []Entry {
			h := sound()
			h.request(other, 9, Send, Entry{What: Refused, Status: 404, ClientID: "c9"})
			h.commit(Event{Kind: kindText, ClientID: "c9", Sender: other})
			return h.end()
		},
	},
	"same": {
		"another sender":    func() []Entry { return changed(sound().end(), seen(11, 2), func(e *Entry) { e.Event.Sender = doctor }) },
		"not in the log":    func() []Entry { h := sound(); h.got(2, Event{Seq: 7, Kind: kindText}); return h.end() },
		"in a history page": func() []Entry { h := sound(); h.page(Event{Seq: 2, Kind: kindSystem}, 6); return h.end() },
	},
	"order": {
		"a hole": func() []Entry { return without(sound().end(), seen(11, 3)) },
		"twice":  func() []Entry { h := sound(); h.got(12, h.log[5]); return h.end() },
		"not where it resumed": func() []Entry {
			return without(sound().end(), seen(2, 2))
		},
		"before where it resumed": func() []Entry {
			return changed(sound().end(), func(e Entry) bool { return e.Action == Connect && e.Conn == 2 },
				func(e *Entry) { e.After = 2 })
		},
		"live too early": func() []Entry {
			return changed(sound().end(), func(e Entry) bool { return e.What == Live && e.Conn == 2 },
				func(e *Entry) { e.Head = 4 })
		},
		"a reset for nothing": func() []Entry {
			h := sound()
			h.put(Entry{What: Begin, Action: Connect, Conn: 3, After: 4})
			h.put(Entry{What: Hello, Conn: 3, Head: 6})
			h.put(Entry{What: Reset, Conn: 3, Head: 6})
			return h.end()
		},
		"a page with a hole": func() []Entry {
			h := sound()
			h.page(h.log[5], 6)
			return changed(h.end(), func(e Entry) bool { return e.Action == Browse && e.User == doctor },
				func(e *Entry) { e.After = 4 })
		},
		"a page that ends early": func() []Entry { h := sound(); h.page(h.log[3], 6); return h.end() },
		"no hello": func() []Entry {
			return without(sound().end(), func(e Entry) bool { return e.What == Hello && e.Conn == 12 })
		},
	},
	"fresh": {
		"hello": func() []Entry {
			return changed(sound().end(), func(e Entry) bool { return e.What == Hello && e.Conn == 12 },
				func(e *Entry) { e.Head = 4 })
		},
		"a history page": func() []Entry { h := sound(); h.page(h.log[4], 5); return h.end() },
	},
	"served": {
		"a retracted text": func() []Entry {
			return changed(sound().end(), seen(2, 3), func(e *Entry) { e.Event.Text, e.Event.Retracted = "a secret", false })
		},
		"a retracted text in a history page": func() []Entry { h := sound(); h.page(h.log[2], 6); return h.end() },
		"the text before a correction": func() []Entry {
			return changed(sound().end(), seen(2, 2), func(e *Entry) { e.Event.Text, e.Event.CorrectedBy = "good morning", 0 })
		},
		"not who corrected it": func() []Entry { return changed(sound().end(), seen(2, 2), func(e *Entry) { e.Event.CorrectedBy = 4 }) },
		"another text, live": func() []Entry {
			return changed(sound().end(), seen(11, 2), func(e *Entry) { e.Event.Text = "good night" })
		},
		"an edit that never was": func() []Entry {
			return changed(sound().end(), seen(2, 6), func(e *Entry) { e.Event.Text, e.Event.Retracted = "", true })
		},
	},
	"edits": {
		"another's":          func() []Entry { h := sound(); h.say(12, Retract, "c7", "", 2); return h.end() },
		"after a retraction": func() []Entry { h := sound(); h.say(1, Correct, "c7", "x", 3); return h.end() },
		"retracted twice":    func() []Entry { h := sound(); h.say(1, Retract, "c7", "", 3); return h.end() },
		"what is not there":  func() []Entry { h := sound(); h.say(1, Retract, "c7", "", 70); return h.end() },
		"an edit":            func() []Entry { h := sound(); h.say(1, Retract, "c7", "", 5); return h.end() },
	},
	"strangers": {
		"gets in": func() []Entry {
			h := sound()
			h.put(Entry{What: Hello, User: other, Conn: 30, Head: 6})
			return h.end()
		},
		"reads": func() []Entry { h := sound(); h.request(other, 9, Browse, Entry{What: Done, Head: 6}); return h.end() },
		"is told that it is there": func() []Entry {
			h := sound()
			h.request(other, 9, Browse, Entry{What: Refused, Status: 403})
			return h.end()
		},
	},
	"closed": {
		"in the log": func() []Entry {
			h := sound()
			h.commit(
				Event{Kind: kindSystem, Text: "The appointment for Mon 2 Jan 2006, 15:04 (UTC) was cancelled by the doctor."},
			)
			h.say(12, Send, "c8", "too late", 0)
			return h.end()
		},
		"acknowledged": func() []Entry {
			h := sound()
			h.request(doctor, 12, Close, Entry{What: Done})
			h.say(1, Send, "c7", "too late", 0)
			return h.end()
		},
		"acknowledged before it is opened": func() []Entry {
			h := sound()
			h.request(doctor, 12, Open, Entry{What: Done})
			h.request(doctor, 12, Close, Entry{What: Done})
			h.say(1, Send, "c7", "too late", 0)
			h.request(doctor, 12, Open, Entry{What: Done})
			return h.end()
		},
	},
	"session": {
		"REST": func() []Entry {
			h := sound()
			h.request(patient, 2, Logout, Entry{What: Done})
			h.request(patient, 2, Browse, Entry{What: Done, Head: 6})
			return h.end()
		},
		"a new socket": func() []Entry {
			h := sound()
			h.request(patient, 3, Logout, Entry{What: Done})
			h.connect(3, 6, 6)
			return h.end()
		},
		"a message": func() []Entry {
			h := sound()
			h.request(patient, 2, Logout, Entry{What: Done})
			h.say(2, Send, "c7", "still here", 0)
			return h.end()
		},
		"delivery":             func() []Entry { return eavesdrop(2500*time.Millisecond, Entry{}) },
		"delivery, in the end": func() []Entry { return eavesdrop(5*time.Second, Entry{What: Fault, Since: 500 * time.Millisecond}) },
	},
	"receipts": {
		"back": func() []Entry {
			h := sound()
			h.put(Entry{What: Receipt, Conn: 1, Subject: doctor, Delivered: 2, Read: 2})
			return h.end()
		},
		"an old hello": func() []Entry {
			return changed(soundHello(), func(e Entry) bool { return e.What == Shown && e.Conn == 4 },
				func(e *Entry) { e.Read = 1 })
		},
		"read beyond delivered": func() []Entry {
			return changed(sound().end(), func(e Entry) bool { return e.What == Receipt }, func(e *Entry) { e.Delivered = 1 })
		},
		"of nobody": func() []Entry {
			return changed(sound().end(), func(e Entry) bool { return e.What == Receipt },
				func(e *Entry) { e.Delivered, e.Read = 3, 3 })
		},
		"beyond the head": func() []Entry {
			h := sound()
			h.put(Entry{What: Begin, Action: Read, Conn: 12, UpTo: 1000})
			h.put(Entry{What: Receipt, Conn: 2, Subject: doctor, Delivered: 1000, Read: 1000})
			return h.end()
		},
		"lost in the end": func() []Entry {
			return changed(sound().end(), func(e Entry) bool { return e.What == Cursors }, func(e *Entry) { e.Read = 1 })
		},
	},
	"unread": {
		"too many": func() []Entry {
			return changed(sound().end(), func(e Entry) bool { return e.What == Unread }, func(e *Entry) { e.Count = 3 })
		},
		"one's own": func() []Entry {
			return changed(sound().end(), func(e Entry) bool { return e.What == Unread },
				func(e *Entry) { e.User, e.Count = patient, 2 })
		},
	},
	"refusals": {
		"closed":    func() []Entry { h := sound(); h.refuse(2, Send, "closed", 0); return h.end() },
		"forbidden": func() []Entry { h := sound(); h.refuse(2, Send, "forbidden", 0); return h.end() },
		"invalid":   func() []Entry { h := sound(); h.refuse(2, Send, "invalid", 0); return h.end() },
		"one's own": func() []Entry { h := sound(); h.refuse(2, Correct, "not_yours", 2); return h.end() },
		"not there": func() []Entry { h := sound(); h.refuse(2, Correct, "not_found", 2); return h.end() },
		"closed, though opened": func() []Entry {
			h := sound()
			h.request(doctor, 12, Close, Entry{What: Done})
			h.request(doctor, 12, Open, Entry{What: Done})
			h.refuse(2, Send, "closed", 0)
			return h.end()
		},
	},
	"complete": {
		"not at the end": func() []Entry { h := sound(); h.say(12, Send, "c7", "and you", 0); return h.end() },
	},
}

// page adds a history page of one event, as the doctor gets it.
func (h *tale) page(e Event, head int64) {
	h.ops++
	h.put(Entry{What: Begin, Action: Browse, User: doctor, Session: 12, Op: h.ops, After: e.Seq - 1})
	h.put(Entry{What: Page, User: doctor, Session: 12, Op: h.ops, Event: &e})
	h.put(Entry{What: Done, Action: Browse, User: doctor, Session: 12, Op: h.ops, Head: head})
}

// refuse adds an action over a connection that gets a nack.
func (h *tale) refuse(conn int, action Action, code string, target int64) {
	h.ops++
	h.put(Entry{What: Begin, Action: action, Conn: conn, Op: h.ops, ClientID: "cx", Text: "x", Target: target})
	h.put(Entry{What: Nack, Action: action, Conn: conn, Op: h.ops, ClientID: "cx", Code: code})
}

// eavesdrop is a session that gets an event committed late after the session's end; stop is added before that.
func eavesdrop(late time.Duration, stop Entry) []Entry {
	h := sound()
	_, over := h.request(patient, 2, Logout, Entry{What: Done})
	e := h.say(12, Send, "c7", "between us", 0)
	e.Committed = h.entries[over].At + late
	h.log[e.Seq-1] = e
	if stop.What != "" {
		h.entries[h.put(stop)].At = h.entries[over].At + 2*time.Second
	}
	h.got(12, e)
	h.got(2, e)
	return h.end()
}

// soundHello is a tale with a connection whose hello has cursors.
func soundHello() []Entry {
	h := sound()
	h.put(Entry{What: Begin, Action: Connect, Conn: 4, After: 6})
	h.put(Entry{What: Hello, Conn: 4, Head: 6})
	h.put(Entry{What: Shown, Conn: 4, Subject: doctor, Delivered: 3, Read: 2})
	h.put(Entry{What: Live, Conn: 4, Head: 6})
	return h.end()
}

// Every rule can fail, and a history that it fails on shrinks to a minimal one that still shows why.
func TestCheck_BrokenHistories(t *testing.T) {
	t.Parallel()
	for _, r := range Rules {
		require.NotEmpty(t, broken[r.Name], "a rule that nothing breaks proves nothing: %s", r.Name)
		for name, tell := range broken[r.Name] {
			t.Run(r.Name+"/"+name, func(t *testing.T) {
				t.Parallel()
				history := tell()
				found := Check(history)
				i := slices.IndexFunc(found, func(v Violation) bool { return v.Rule == r.Name })
				require.GreaterOrEqual(t, i, 0, "found only %v", found)
				small := Shrink(history, found[i])
				require.NotEmpty(t, small)
				require.LessOrEqual(t, len(small), 6)
				shows := func(h []Entry) bool {
					return slices.ContainsFunc(Check(h), func(v Violation) bool { return v.Text == found[i].Text && v.Rule == r.Name })
				}
				require.True(t, shows(small))
				for n := range small {
					require.False(t, shows(slices.Delete(slices.Clone(small), n, n+1)), "entry %d can be left out: %v", n, small)
				}
				require.Contains(t, Counterexample(history, found[i]), small[len(small)-1].String())
			})
		}
	}
}
