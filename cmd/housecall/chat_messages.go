package main

import (
	"fmt"
	"slices"
	"time"

	"housecall/internal/client"
)

// messages is what the screen remembers about messages, to describe later changes of them.
type messages struct {
	at    map[int64]time.Time
	files map[int64]client.Attachment
	// editedBy is the latest event whose effect on a message was shown; finally if the message was retracted.
	editedBy map[int64]int64
	sending  map[string]bool // client ids of the user's own messages under way
	own      []int64         // the user's own messages that were not retracted, oldest first
}

const finally = 1<<63 - 1

func newMessages() messages {
	return messages{
		at: map[int64]time.Time{}, files: map[int64]client.Attachment{},
		editedBy: map[int64]int64{}, sending: map[string]bool{},
	}
}

func (m *messages) keep(e client.Event) {
	m.at[e.Seq] = e.At
	m.editedBy[e.Seq] = e.CorrectedBy
	if e.Retracted {
		m.editedBy[e.Seq] = finally
	}
	if e.Attachment != nil {
		m.files[e.Seq] = *e.Attachment
	}
}

// keepOwn notes one of the user's own messages, which an event and an ack may both report, in any order.
func (m *messages) keepOwn(seq int64) {
	at, there := slices.BinarySearch(m.own, seq)
	if !there && m.editedBy[seq] != finally {
		m.own = slices.Insert(m.own, at, seq)
	}
}

// drop forgets a message that was retracted.
func (m *messages) drop(seq int64) {
	delete(m.files, seq)
	m.editedBy[seq] = finally
	m.own = slices.DeleteFunc(m.own, func(own int64) bool { return own == seq })
}

// content returns a message as the screen shows it.
func content(e client.Event) string {
	switch {
	case e.Retracted:
		return "(retracted)"
	case e.Attachment != nil:
		return fmt.Sprintf("[file %d: %s, %s]", e.Seq, clean(e.Attachment.Name), size(e.Attachment.Size))
	case e.CorrectedBy != 0:
		return clean(e.Text) + " (corrected)"
	}
	return clean(e.Text)
}

func size(bytes int64) string {
	if bytes < 1<<20 {
		return fmt.Sprintf("%d KiB", (bytes+1023)/1024)
	}
	return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
}

// edited reports a retraction or a correction, unless the screen already shows its result.
func (s *chatScreen) edited(e client.Event, clock string) {
	m := &s.known.messages
	before, there := m.editedBy[e.Target], !m.at[e.Target].IsZero()
	who := "You"
	if e.Sender != s.known.me {
		who = s.name(e.Sender)
	}
	of := ""
	if there {
		of = " from " + m.at[e.Target].Local().Format("15:04")
	}
	if e.Kind == "retraction" {
		m.drop(e.Target)
		if before != finally {
			s.print(&shown{text: s.dim(clock + " — " + who + " retracted the message" + of)})
		}
		return
	}
	if e.Seq > before && !e.Retracted {
		m.editedBy[e.Target] = e.Seq
		s.print(&shown{text: clock + " " + who + " corrected the message" + of + ": " + clean(e.Text)})
	}
}

// sending notes that one of the user's own messages is under way.
func (s *chatScreen) sending(clientID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.messages.sending[clientID] = true
}

// acked notes the seq of one of the user's own messages. Other acks are for retractions and corrections.
func (s *chatScreen) acked(a client.Ack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &s.known.messages
	if m.sending[a.ClientID] {
		delete(m.sending, a.ClientID)
		m.keepOwn(a.Seq)
	}
}

// lastOwn returns the seq of the user's last message that was not retracted; 0 if there is none.
func (s *chatScreen) lastOwn() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if own := s.known.messages.own; len(own) > 0 {
		return own[len(own)-1]
	}
	return 0
}

// fileAt returns the file that an event sent.
func (s *chatScreen) fileAt(seq int64) (client.Attachment, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.known.messages.files[seq]
	return a, ok
}
