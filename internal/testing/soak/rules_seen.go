package soak

// ruleSame: what everyone gets of an event is what the log has, apart from what edits change.
func ruleSame(x *index, v *verdict) {
	for i, e := range x.entries {
		if e.What != Got && e.What != Page || e.Event == nil || !x.conversations[e.Conversation].logged {
			continue
		}
		r, got := x.conversations[e.Conversation], *e.Event
		have, ok := r.log[got.Seq]
		switch {
		case !ok:
			v.broken(at(i), "%s: %s got %d (entry %d), but the log has no such event", e.Conversation, e.Device, got.Seq, e.N)
		case have.Kind != got.Kind || have.ClientID != got.ClientID || have.Sender != got.Sender || have.Target != got.Target:
			v.broken(at(i, r.where[got.Seq]), "%s: %s got a different %d (entry %d) than the log has",
				e.Conversation, e.Device, got.Seq,
				e.N)
		}
	}
}

// resetBeyond is how many events a client may be behind when it resumes without getting a reset.
const resetBeyond = 500

// recent is how many events a client gets that joins without a cursor.
const recent = 50

// stream follows one connection through the protocol.
type stream struct {
	x    *index
	v    *verdict
	conn int

	after                  int64 // -1: without a cursor
	hello, live, reset     int   // positions; -1: not yet
	next                   int64 // seq of the event that must come
	last                   int   // position of the last event
	helloHead, resumedFrom int64
}

// ruleOrder: the frames of each connection come as the protocol says, and the events in order, without gaps or
// duplicates.
func ruleOrder(x *index, v *verdict) {
	for _, n := range x.order {
		c := x.conns[n]
		if c.begin < 0 || len(c.frames) == 0 {
			continue
		}
		s := &stream{x: x, v: v, conn: n, after: x.entries[c.begin].After, hello: -1, live: -1, reset: -1, last: c.begin}
		for _, i := range c.frames {
			s.frame(i, x.entries[i])
		}
	}
	x.pagesInOrder(v)
}

// pagesInOrder: a page of the history starts where the client asked, has no gaps, and unless it is full, has
// everything that had been seen before.
func (x *index) pagesInOrder(v *verdict) {
	known, last, next := x.known(), map[int]int{}, map[int]int64{}
	for i, e := range x.entries {
		begin := x.opOf(e.Op).begin
		switch {
		case begin < 0 || e.Op == 0:
		case e.What == Begin && e.Action == Browse:
			last[e.Op], next[e.Op] = i, e.After+1
		case e.What == Page && e.Event != nil:
			if e.Event.Seq != next[e.Op] {
				v.broken(at(begin, last[e.Op], i), "%s: the history (op %d) has %d where %d was expected",
					e.Conversation, e.Op, e.Event.Seq,
					next[e.Op])
			}
			last[e.Op], next[e.Op] = i, e.Event.Seq+1
		case e.What == Done && e.Action == Browse:
			if got := next[e.Op] - 1; got < known[begin] && got-x.entries[begin].After < pageSize {
				v.broken(at(begin, last[e.Op], i, x.firstHeard(e.Conversation, known[begin])),
					"%s: the history (op %d) ends with %d, but %d had been seen before", e.Conversation, e.Op, got, known[begin])
			}
		}
	}
}

// pageSize is how many events of the history clients ask for at once.
const pageSize = 100

func (s *stream) frame(i int, e Entry) {
	switch e.What {
	case Hello:
		s.greet(i, e)
	case Reset:
		s.turnBack(i, e)
	case Live:
		s.goLive(i, e)
	case Got:
		s.event(i, e)
	case Receipt:
		if s.live < 0 {
			s.v.broken(at(i), "connection %d: a receipt came before live (entry %d)", s.conn, e.N)
		}
	default: // bye and the end may come at any time
	}
}

func (s *stream) greet(i int, e Entry) {
	if s.hello >= 0 {
		s.v.broken(at(s.hello, i), "connection %d: a second hello", s.conn)
	}
	s.hello, s.helloHead = i, e.Head
	s.resumedFrom = s.after
	if s.after < 0 {
		s.resumedFrom = max(0, e.Head-recent)
	}
	s.next = s.resumedFrom + 1
}

func (s *stream) turnBack(i int, e Entry) {
	if s.after >= 0 && s.helloHead-s.after <= resetBeyond && s.after <= s.helloHead {
		s.v.broken(at(s.last, s.hello, i), "connection %d: a reset, although %d is not too far behind %d", s.conn, s.after,
			s.helloHead)
	}
	if e.Head < s.helloHead {
		s.v.broken(at(s.hello, i), "connection %d: reset to %d after a hello with %d", s.conn, e.Head, s.helloHead)
	}
	s.reset, s.next = i, e.Head+1
}

func (s *stream) goLive(i int, e Entry) {
	switch {
	case s.hello < 0 || s.live >= 0:
		s.v.broken(at(s.live, i), "connection %d: live without a hello, or twice", s.conn)
	case e.Head != s.next-1:
		s.v.broken(at(s.hello, s.reset, s.last, i), "connection %d: live at %d, but %d was expected", s.conn, e.Head, s.next)
	case e.Head < s.helloHead:
		s.v.broken(at(s.hello, i), "connection %d: live at %d after a hello with %d", s.conn, e.Head, s.helloHead)
	}
	s.live = i
}

func (s *stream) event(i int, e Entry) {
	if s.hello < 0 || e.Event == nil {
		s.v.broken(at(i), "connection %d: an event before hello", s.conn)
		return
	}
	switch seq := e.Event.Seq; {
	case seq < s.next:
		s.v.broken(at(s.hello, s.reset, s.last, i),
			"connection %d: %d came instead of %d (entry %d): again, or before where it resumed", s.conn, seq, s.next, e.N)
	case seq > s.next:
		s.v.broken(at(s.hello, s.reset, s.last, i), "connection %d: %d came instead of %d (entry %d): a gap", s.conn,
			seq, s.next, e.N)
	}
	s.last, s.next = i, e.Event.Seq+1
}

// ruleFresh: a connection or a history page has everything that anybody had heard of when it began.
func ruleFresh(x *index, v *verdict) {
	known := x.known()
	for _, n := range x.order {
		c := x.conns[n]
		for _, i := range c.frames {
			e := x.entries[i]
			if e.What == Hello && c.begin >= 0 && e.Head < known[c.begin] {
				v.broken(at(c.begin, i, x.firstHeard(e.Conversation, known[c.begin])),
					"connection %d: hello says %d, but %d had been seen before", n, e.Head, known[c.begin])
			}
		}
	}
	for i, e := range x.entries {
		if e.What != Done || e.Action != Browse {
			continue
		}
		if o := x.opOf(e.Op); o.begin >= 0 && e.Head < known[o.begin] {
			v.broken(at(o.begin, i, x.firstHeard(e.Conversation, known[o.begin])),
				"%s: the history (op %d) ends with %d, but %d had been seen before", e.Conversation, e.Op, e.Head, known[o.begin])
		}
	}
}

// firstHeard returns the position at which a seq was first heard of.
func (x *index) firstHeard(conversation string, seq int64) int {
	for i, e := range x.entries {
		if e.Conversation != conversation {
			continue
		}
		switch e.What {
		case Ack:
			if e.Seq == seq {
				return i
			}
		case Hello, Live, Reset:
			if e.Head == seq {
				return i
			}
		case Got, Page:
			if e.Event != nil && e.Event.Seq == seq {
				return i
			}
		default:
		}
	}
	return -1
}

// ruleServed: an event is shown in a form that it had at some time after the earliest moment at which it can have been
// read. What a joining connection gets from the log is read after hello, so it reflects everything up to hello's head;
// a live event reflects at least everything up to itself.
func ruleServed(x *index, v *verdict) {
	known := x.known()
	for _, n := range x.order {
		c := x.conns[n]
		head, hello := int64(0), -1
		for _, i := range c.frames {
			switch e := x.entries[i]; {
			case e.What == Hello:
				head, hello = e.Head, i
				if c.begin >= 0 {
					head = max(head, known[c.begin])
				}
			case e.What == Got && e.Event != nil && e.Event.Seq <= head:
				x.shown(v, i, e, head, at(c.begin, hello))
			case e.What == Got && e.Event != nil:
				x.shown(v, i, e, e.Event.Seq, nil)
			}
		}
	}
	for i, e := range x.entries {
		if e.What != Page || e.Event == nil {
			continue
		}
		least := e.Event.Seq
		begin := x.opOf(e.Op).begin
		if begin >= 0 {
			least = max(least, known[begin])
		}
		x.shown(v, i, e, least, at(begin))
	}
}

// shown judges one event that was read when the head was at least `least`.
func (x *index) shown(v *verdict, i int, e Entry, least int64, evidence []int) {
	r, got := x.conversations[e.Conversation], *e.Event
	have, ok := r.log[got.Seq]
	if !ok {
		return // ruleSame says so
	}
	about := got.Seq
	if got.Kind == kindCorrection {
		about = have.Target
	}
	if looks(got, r.view(have, least)) {
		return
	}
	evidence = append(evidence, i, r.where[got.Seq])
	for _, edit := range r.edits[about] {
		if edit.Seq > least && looks(got, r.view(have, edit.Seq)) {
			return
		}
		evidence = append(evidence, r.where[edit.Seq])
		if at := x.firstHeard(e.Conversation, edit.Seq); at >= 0 && at < i {
			evidence = append(evidence, at)
		}
	}
	v.broken(evidence, "%s: %s got an outdated form of %d (entry %d)", e.Conversation, e.Device, got.Seq, e.N)
}

func looks(got, want Event) bool {
	return got.Text == want.Text && got.Retracted == want.Retracted && got.CorrectedBy == want.CorrectedBy
}
