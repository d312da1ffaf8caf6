package chat

import "housecall/internal/conversation"

// receipt is how far a participant has received and read a conversation. Receipts arrive in several ways, from
// several instances and in any order; those sent to subscribers only ever rise.
type receipt struct {
	user   int64
	userID string
	conversation.Cursors
}

func (t receipt) frame() wire {
	return encode(receiptFrame{UserID: t.userID, DeliveredSeq: t.Delivered, ReadSeq: t.Read})
}

// receipt sends a conversation's subscribers a receipt, unless they already know it.
func (h *hub) receipt(id int64, t receipt) {
	h.within(id, func(ch *channel) { ch.tell(t, nil) })
}

// greet tells a conversation's other subscribers the receipts that a subscriber's hello is about to show. If they
// know later ones, the subscriber gets those once it is live.
func (h *hub) greet(s *subscriber, all ...receipt) {
	h.within(s.channel.id, func(ch *channel) {
		s.untold = false
		for _, t := range all {
			ch.tell(t, s)
			s.untold = s.untold || ch.toldOf(t.user).Cursors != t.Cursors
		}
	})
}

// tell (with mu held) sends a receipt, if it is new, to all live subscribers but one. Those that are still catching
// up get it once they are live.
func (ch *channel) tell(t receipt, but *subscriber) {
	was := ch.toldOf(t.user)
	t.Delivered, t.Read = max(t.Delivered, was.Delivered), max(t.Read, was.Read)
	if t.Cursors == was.Cursors {
		return
	}
	*was = t
	for s := range ch.subscribers {
		switch {
		case s == but:
		case s.live:
			s.sink.deliver(t.frame())
		default:
			s.untold = true
		}
	}
}

// toldOf (with mu held) is what subscribers were last told about a user. There are usually two users, so a list is
// smaller than a map.
func (ch *channel) toldOf(user int64) *receipt {
	for i := range ch.told {
		if ch.told[i].user == user {
			return &ch.told[i]
		}
	}
	ch.told = append(ch.told, receipt{user: user})
	return &ch.told[len(ch.told)-1]
}

// catchUpReceipts (with mu held) returns the receipts that a subscriber going live has not been sent.
func (s *subscriber) catchUpReceipts() (frames []wire) {
	if !s.untold {
		return nil
	}
	s.untold = false
	for _, t := range s.channel.told {
		if t.Cursors != (conversation.Cursors{}) {
			frames = append(frames, t.frame())
		}
	}
	return frames
}
