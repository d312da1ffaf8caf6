package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"housecall/internal/client"
)

// tick is how far one of the user's own messages has got.
type tick uint8

const (
	tickQueued tick = iota
	tickStored
	tickDelivered
	tickRead
	tickRefused
)

// show returns the sign: always two columns wide, so that it can change in place.
func (t tick) show(colour bool) string {
	if t == tickRead && colour {
		return "\x1b[36m✓✓\x1b[0m"
	}
	return [...]string{"· ", "✓ ", "✓✓", "✔✔", "✗ "}[t]
}

// typingLasts is how long a typing frame holds, PROTOCOL.md.
const typingLasts = 6 * time.Second

// words is what the screen knows about the conversation. The screen's lock guards it.
type words struct {
	me     string
	names  map[string]string
	online map[string]string // as last shown
	day    string
	// What the other participant has received and read.
	delivered, read int64
	greeted         bool
	typing          string // the name of whoever is typing
	typingEnds      *time.Timer
	trouble         string // why there is no connection; empty if there is one
	messages        messages
}

func newWords(me string) words {
	return words{
		me: me, names: map[string]string{}, online: map[string]string{},
		trouble: "connecting", messages: newMessages(),
	}
}

// handler connects the conversation with the screen.
func (s *chatSession) handler() client.Handler {
	v := s.screen
	return client.Handler{
		Hello: func(h *client.Hello) { v.do(func() { v.hello(h) }) },
		Event: func(e client.Event) {
			v.do(func() { v.event(e) })
			<-s.opened
			s.conv.Read(e.Seq)
		},
		Ack: func(a client.Ack) {
			v.acked(a)
			v.do(func() { v.settled(a.ClientID, a.Seq) })
		},
		Refused: func(no client.Refusal) {
			s.refused.Add(1)
			v.do(func() { v.refused(no) })
		},
		Reset:       func(string) { v.note("reloading the history") },
		State:       func(st client.State, why error) { v.do(func() { v.state(st, why) }) },
		Receipt:     func(user string, delivered, read int64) { v.do(func() { v.receipt(user, delivered, read) }) },
		Typing:      func(user string, active bool) { v.do(func() { v.typing(user, active) }) },
		Presence:    func(user string, online *bool) { v.do(func() { v.presence(user, online) }) },
		Appointment: func(a client.AppointmentState, can bool, why string) { v.do(func() { v.appointment(a, can, why) }) },
	}
}

// hello introduces the conversation, once; later connections only update presence and receipts.
func (s *chatScreen) hello(h *client.Hello) {
	first := !s.known.greeted
	s.known.greeted = true
	if first {
		var others []string
		for _, p := range h.Participants {
			s.known.names[p.UserID] = clean(p.Name)
			if p.UserID != s.known.me {
				others = append(others, clean(p.Name))
			}
		}
		s.print(&shown{text: s.dim(fmt.Sprintf("* appointment %s with %s, %s%s",
			h.Appointment.ID, strings.Join(others, " and "), strings.ToLower(h.Appointment.Status), span(h.Appointment)))})
		if h.Notice != "" {
			s.print(&shown{text: s.dim("* " + clean(h.Notice))})
		}
		if !h.CanReply {
			s.print(&shown{text: s.dim("* you cannot send messages here: " + clean(h.WhyNot))})
		}
	}
	for _, p := range h.Participants {
		s.presence(p.UserID, p.Online)
		s.receipt(p.UserID, p.DeliveredSeq, p.ReadSeq)
	}
}

func span(a client.AppointmentState) string {
	if a.StartsAt == nil || a.EndsAt == nil {
		return ""
	}
	return ", " + a.StartsAt.Local().Format("Monday 2 January 15:04") + "–" + a.EndsAt.Local().Format("15:04")
}

func (s *chatScreen) event(e client.Event) {
	s.separator(e.At)
	clock := e.At.Local().Format("15:04")
	switch {
	case e.Sender == "":
		s.print(&shown{text: s.dim(clock + " — " + clean(e.Text))})
	case e.Kind == "retraction" || e.Kind == "correction":
		s.edited(e, clock)
	case e.Sender == s.known.me:
		s.known.messages.keep(e)
		s.known.messages.keepOwn(e.Seq)
		if !s.settled(e.ClientID, e.Seq) {
			s.print(&shown{text: clock + " You: " + content(e), own: true, seq: e.Seq, tick: s.tickOf(e.Seq)})
		}
	default:
		s.known.messages.keep(e)
		s.known.typing = ""
		s.print(&shown{text: clock + " " + s.name(e.Sender) + ": " + content(e)})
		s.setPrompt(s.promptText())
	}
}

// separator shows the date before the first line of a day.
func (s *chatScreen) separator(at time.Time) {
	if day := at.Local().Format("Monday 2 January 2006"); day != s.known.day {
		s.known.day = day
		s.print(&shown{text: s.dim("── " + day + " ──")})
	}
}

// queued shows a message that has just been typed. Plain output shows it once it is stored.
func (s *chatScreen) queued(clientID, text string) {
	if !s.interactive() {
		return
	}
	s.do(func() {
		now := time.Now()
		s.separator(now)
		s.print(&shown{text: now.Local().Format("15:04") + " You: " + clean(text), own: true, clientID: clientID})
	})
}

// settled sets the seq of a queued message; false if it is not on the screen.
func (s *chatScreen) settled(clientID string, seq int64) bool {
	for _, l := range s.lines {
		if l.own && l.clientID == clientID && clientID != "" {
			l.seq = seq
			s.change(l, s.tickOf(seq))
			return true
		}
	}
	return false
}

func (s *chatScreen) refused(no client.Refusal) {
	for _, l := range s.lines {
		if l.clientID == no.ClientID {
			s.change(l, tickRefused)
		}
	}
	s.print(&shown{text: s.dim("* not sent: " + clean(no.Detail))})
}

func (s *chatScreen) tickOf(seq int64) tick {
	switch {
	case seq <= s.known.read:
		return tickRead
	case seq <= s.known.delivered:
		return tickDelivered
	default:
		return tickStored
	}
}

func (s *chatScreen) change(l *shown, t tick) {
	if l.tick != t {
		l.tick = t
		s.reprint(l)
	}
}

// receipt updates the ticks of the user's own messages.
func (s *chatScreen) receipt(user string, delivered, read int64) {
	if user == s.known.me || (delivered <= s.known.delivered && read <= s.known.read) {
		return
	}
	s.known.delivered, s.known.read = max(delivered, s.known.delivered), max(read, s.known.read)
	for _, l := range s.lines {
		if l.own && l.seq > 0 {
			s.change(l, s.tickOf(l.seq))
		}
	}
}

func (s *chatScreen) presence(user string, online *bool) {
	if _, participant := s.known.names[user]; !participant || user == s.known.me {
		return
	}
	now := "may or may not be online"
	if online != nil {
		now = map[bool]string{true: "is online", false: "is not online"}[*online]
	}
	if s.known.online[user] == now {
		return
	}
	s.known.online[user] = now
	s.print(&shown{text: s.dim("* " + s.name(user) + " " + now)})
}

// typing shows in the prompt who is typing, until they stop.
func (s *chatScreen) typing(user string, active bool) {
	if user == s.known.me || !s.interactive() {
		return
	}
	s.known.typing = ""
	if active {
		s.known.typing = s.name(user)
		if s.known.typingEnds != nil {
			s.known.typingEnds.Stop()
		}
		s.known.typingEnds = time.AfterFunc(typingLasts, func() {
			s.do(func() {
				s.known.typing = ""
				s.setPrompt(s.promptText())
			})
		})
	}
	s.setPrompt(s.promptText())
}

func (s *chatScreen) appointment(a client.AppointmentState, canReply bool, whyNot string) {
	text := "* the appointment is now " + strings.ToLower(a.Status) + span(a)
	if !canReply {
		text += "; you cannot send messages here: " + clean(whyNot)
	}
	s.print(&shown{text: s.dim(text)})
}

// state shows that the connection broke or is back, in the prompt or as a line.
func (s *chatScreen) state(st client.State, why error) {
	before := s.known.trouble
	switch {
	case st == client.Live:
		s.known.trouble = ""
	case st == client.Connecting && why != nil:
		s.known.trouble = "offline, reconnecting"
	}
	if !s.interactive() && before != s.known.trouble && before != "connecting" {
		s.print(&shown{text: "* " + map[bool]string{true: "back online", false: s.known.trouble}[s.known.trouble == ""]})
	}
	s.setPrompt(s.promptText())
}

func (s *chatScreen) promptText() string {
	switch {
	case s.known.trouble != "":
		return "(" + s.known.trouble + ") > "
	case s.known.typing != "":
		return s.known.typing + " is typing… > "
	default:
		return "> "
	}
}

func (s *chatScreen) name(user string) string {
	if n := s.known.names[user]; n != "" {
		return n
	}
	return user
}

// clean makes other people's text harmless on a terminal: it removes control characters and those that change the
// direction of text, and indents all lines but the first.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == '\n':
			return r
		case unicode.IsControl(r), r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return unicode.ReplacementChar
		}
		return r
	}, strings.ReplaceAll(strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), "\n", "\n      "))
}
