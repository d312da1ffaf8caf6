package chat

// reached is how far a room's sockets here have been told that somebody has got. News of it come by several roads, from
// several instances, and in any order; what goes out only ever rises.
type reached struct {
	user   int64
	userID string
	cursors
}

func (t reached) frame() wire {
	return encode(receiptFrame{Type: "receipt", UserID: t.userID, DeliveredSeq: t.delivered, ReadSeq: t.read})
}

// receipt tells a room how far somebody has got, unless it knows.
func (h *hub) receipt(id int64, t reached) {
	h.within(id, func(r *room) { r.tell(t, nil) })
}

// greet tells a room what a member's hello is about to say, and has the member hear later of what the hello lacks.
func (h *hub) greet(m *member, all ...reached) {
	h.within(m.room.id, func(r *room) {
		m.untold = false
		for _, t := range all {
			r.tell(t, m)
			m.untold = m.untold || r.toldOf(t.user).cursors != t.cursors
		}
	})
}

// tell (with mu held) sends what is news to live members but one. Who is still catching up hears of it once live.
func (r *room) tell(t reached, but *member) {
	was := r.toldOf(t.user)
	t.delivered, t.read = max(t.delivered, was.delivered), max(t.read, was.read)
	if t.cursors == was.cursors {
		return
	}
	*was = t
	for m := range r.members {
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
func (r *room) toldOf(user int64) *reached {
	for i := range r.told {
		if r.told[i].user == user {
			return &r.told[i]
		}
	}
	r.told = append(r.told, reached{user: user})
	return &r.told[len(r.told)-1]
}

// catchUpReceipts (with mu held) are the frames that a member who goes live has not been told.
func (m *member) catchUpReceipts() (frames []wire) {
	if !m.untold {
		return nil
	}
	m.untold = false
	for _, t := range m.room.told {
		if t.cursors != (cursors{}) {
			frames = append(frames, t.frame())
		}
	}
	return frames
}
