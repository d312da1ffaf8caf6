package client

import "context"

// handle handles one frame after hello. An error ends the connection.
func (c *Conversation) handle(ctx context.Context, l *link, f *Frame) error {
	switch f.Type {
	case "event":
		return c.event(f.Event)
	case "ack":
		c.acked(f)
	case "nack":
		c.refused(f)
	case "live":
		c.live(l, f.HeadSeq)
	case "reset":
		return c.reload(ctx, f.HeadSeq, f.Reason)
	case "authExpiring":
		select {
		case l.expiring <- struct{}{}:
		default:
		}
	case "bye":
		l.noteBye(f)
	default:
		c.tell(f)
	}
	return nil
}

// tell passes on the frames that change nothing here. It ignores unknown types: a later version of the protocol may
// have added them.
func (c *Conversation) tell(f *Frame) {
	h := &c.opts.Handler
	switch {
	case f.Type == "receipt" && h.Receipt != nil:
		h.Receipt(f.UserID, f.DeliveredSeq, f.ReadSeq)
	case f.Type == "typing" && h.Typing != nil:
		h.Typing(f.UserID, f.Active)
	case f.Type == "presence" && h.Presence != nil:
		h.Presence(f.UserID, f.Online)
	case f.Type == "appointment" && f.Appointment != nil && h.Appointment != nil:
		h.Appointment(*f.Appointment, f.CanReply, f.WhyNot)
	case f.Type == "error" && h.Complaint != nil:
		h.Complaint(string(f.Code), f.Detail)
	}
}

// event passes on each event once, in order.
func (c *Conversation) event(e Event) error {
	if c.at.Set {
		switch {
		case e.Seq <= c.at.Seq:
			c.duplicates.Add(1)
			return nil
		case e.Seq > c.at.Seq+1:
			c.holes.Add(1)
			return errHole
		}
	}
	c.at.Seq, c.at.Set = e.Seq, true
	if h := c.opts.Handler.Event; h != nil {
		h(e)
	}
	return nil
}

func (c *Conversation) live(l *link, head int64) {
	if !c.at.Set {
		c.at.Seq, c.at.Set = head, true // the log has no events, or none were shown
	}
	l.liveAt = c.opts.Clock.Now()
	c.move(Live, nil)
}

func (c *Conversation) acked(f *Frame) {
	d := c.waiting(f.ClientID)
	if d == nil {
		return // the answer to an earlier attempt came first
	}
	if h := c.opts.Handler.Ack; h != nil {
		h(Ack{ClientID: f.ClientID, Seq: f.Seq, At: f.At, Duplicate: f.Duplicate})
	}
	c.settle(d, result{seq: f.Seq})
}

func (c *Conversation) refused(f *Frame) {
	if f.Retry == "later" {
		c.mu.Lock()
		c.out.putBack(f.ClientID, c.opts.Clock.Now().Add(deferPause))
		c.mu.Unlock()
		c.stir()
		if h := c.opts.Handler.Deferred; h != nil {
			h(f.ClientID, string(f.Code))
		}
		return
	}
	d := c.waiting(f.ClientID)
	if d == nil {
		return
	}
	no := Refusal{ClientID: f.ClientID, Code: string(f.Code), Detail: f.Detail}
	if h := c.opts.Handler.Refused; h != nil {
		h(no)
	}
	c.settle(d, result{err: &no})
}

// waiting returns a message of the ack queue; nil if it is no longer there.
func (c *Conversation) waiting(clientID string) *draft {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.byID[clientID]
}

// settle removes a message from the ack queue. The handler is told first, so that an empty queue means that it knows
// every outcome.
func (c *Conversation) settle(d *draft, r result) {
	c.mu.Lock()
	_ = c.out.settle(d.clientID) // Close may have removed it already
	c.changed()
	c.mu.Unlock()
	if d.result != nil {
		d.result <- r
	}
}
