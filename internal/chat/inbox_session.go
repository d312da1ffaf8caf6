package chat

import (
	"context"
)

// serveInbox runs an inbox connection from hello to its end. The connection is registered already.
func (s *Service) serveInbox(c *conn) {
	b := &box{user: c.actor.Load().ID, sink: c}
	opened := make(chan struct{})
	go func() { // on its own goroutine for the same reason as in serve
		defer close(opened)
		defer s.guard(c)
		if err := s.openInbox(b, c); err != nil {
			c.end(closeFault, "the inbox could not be loaded", 0)
		}
	}()
	<-opened
	defer s.inboxes.close(b)
	c.receive(func(data []byte) { s.handleInbox(c, data) })
}

// openInbox sends hello. All later changes follow it.
func (s *Service) openInbox(b *box, c *conn) error {
	ctx, cancel := context.WithTimeout(s.ctx, s.d.Options.RequestTimeout)
	defer cancel()
	s.inboxes.load()
	defer s.inboxes.loaded()
	all, err := standingsOf(ctx, s.d.Pool, b.user)
	if err != nil {
		return err
	}
	b.marks = make(map[int64]mark, len(all))
	unread := []UnreadItem{}
	more := false
	for _, n := range s.newsOf(all) {
		b.marks[n.ID] = n.mark
		if n.Unread > 0 {
			if more = len(unread) == inboxLimit; !more {
				unread = append(unread, n.unreadItem())
			}
		}
	}
	actor := *c.actor.Load()
	s.inboxes.open(b, func(total int64) wire {
		return encode(inboxHelloFrame{
			Connection: c.id, You: personOf(actor),
			Unread: unread, Total: total, More: more, Limits: s.limits(), HeartbeatSeconds: int(heartbeat.Seconds()),
		})
	})
	c.warned.Store(false) // hello has been sent, so authExpiring may follow
	return nil
}

// handleInbox answers one frame. Inboxes only receive: to write in a conversation, a client connects to it.
func (s *Service) handleInbox(c *conn, data []byte) {
	in, ok := c.understand(data)
	if !ok {
		return
	}
	frame := clientFrameOf(in.Type)
	if frame.onConnection == nil {
		c.deliver(encode(errorFrame{Code: "unknown_type", Detail: "This type of frame cannot be sent to an inbox."}))
		return
	}
	frame.onConnection(s, c, in)
}
