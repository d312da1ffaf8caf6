package chat

import "housecall/internal/conversation"

// receipt is how far a participant has got, as far as a conversation's connections here have been told. News of it come
// in several ways, from several instances, and in any order; what goes out only ever rises.
type receipt struct {
	user   int64
	userID string
	conversation.Cursors
}

func (t receipt) frame() wire {
	return encode(receiptFrame{UserID: t.userID, DeliveredSeq: t.Delivered, ReadSeq: t.Read})
}

// receipt tells a conversation how far somebody has got, unless it knows.
func (h *hub) receipt(id int64, t receipt) {
	h.within(id, func(ch *channel) { ch.tell(t, nil) })
}

// greet tells a conversation what a subscriber's hello is about to say, and has the subscriber told later of what the
// hello lacks.
func (h *hub) greet(m *subscriber, all ...receipt) {
	h.within(m.channel.id, func(ch *channel) {
		m.untold = false
		for _, t := range all {
			ch.tell(t, m)
			m.untold = m.untold || ch.toldOf(t.user).Cursors != t.Cursors
		}
	})
}

// tell (with mu held) sends what is news to live subscribers but one. Those who are still catching up are told once
// they are live.
func (ch *channel) tell(t receipt, but *subscriber) {
	was := ch.toldOf(t.user)
	t.Delivered, t.Read = max(t.Delivered, was.Delivered), max(t.Read, was.Read)
	if t.Cursors == was.Cursors {
		return
	}
	*was = t
	for m := range ch.subscribers {
		switch {
		case m == but:
		case m.live:
			m.sink.deliver(t.frame())
		default:
			m.untold = true
		}
	}
}

// toldOf (with mu held) is the place of a user. There are two, as a rule: a list is smaller than a map.
func (ch *channel) toldOf(user int64) *receipt {
	for i := range ch.told {
		if ch.told[i].user == user {
			return &ch.told[i]
		}
	}
	ch.told = append(ch.told, receipt{user: user})
	return &ch.told[len(ch.told)-1]
}

// catchUpReceipts (with mu held) are the frames that a subscriber who goes live has not been told.
func (m *subscriber) catchUpReceipts() (frames []wire) {
	if !m.untold {
		return nil
	}
	m.untold = false
	for _, t := range m.channel.told {
		if t.Cursors != (conversation.Cursors{}) {
			frames = append(frames, t.frame())
		}
	}
	return frames
}
