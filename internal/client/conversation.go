package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// State is the state of a conversation's connection.
type State uint8

// The states. A conversation moves between the first three until it is Closed, which is final.
const (
	Connecting State = iota // no connection yet, or no hello on it
	CatchingUp              // receiving what it missed
	Live                    // receiving what happens
	Closed                  // by Close, or by a refusal that a retry would not change
)

// String names the state for people.
func (s State) String() string {
	return [...]string{"connecting", "catching up", "live", "closed"}[s]
}

// Errors of a conversation's methods.
var (
	ErrClosed    = errors.New("the conversation is closed")
	ErrQueueFull = errors.New("too many messages are waiting for the service")
	ErrPending   = errors.New("a message with that client id is already waiting")
)

// Refusal is the service's permanent refusal of a message (nack with retry never).
type Refusal struct {
	ClientID string
	Code     string
	Detail   string
}

// Error implements error.
func (r *Refusal) Error() string { return r.Code + ": " + r.Detail }

// Ack confirms that a message is committed.
type Ack struct {
	ClientID  string
	Seq       int64
	At        time.Time
	Duplicate bool
}

// Handler is told what happens in a conversation. All functions may be nil. One goroutine calls them, one after
// another, in the order in which things happened; a slow function delays everything after it. They may call any method
// but Close, SendWait, WaitLive, WaitSpace and Drain, which would wait for themselves.
type Handler struct {
	Hello       func(*Hello)                               // a connection opened; events it missed follow
	Event       func(Event)                                // in seq order, each once, without gaps
	Ack         func(Ack)                                  // a message is committed
	Refused     func(Refusal)                              // a message will never be committed
	Deferred    func(clientID, code string)                // a message was deferred; it is sent again automatically
	Reset       func(reason string)                        // forget the events shown: the log starts over
	State       func(s State, why error)                   // why the last connection, or the conversation, ended
	Retry       func(in time.Duration)                     // the next attempt to connect starts after this
	Receipt     func(userID string, delivered, read int64) // a cursor of a participant moved
	Typing      func(userID string, active bool)           // lasts 6 s unless repeated
	Presence    func(userID string, online *bool)          // nil: unknown
	Appointment func(s AppointmentState, canReply bool, whyNot string)
	Complaint   func(code, detail string) // the service did not understand one of our frames
}

// Options are the options of Open. The zero value is valid.
type Options struct {
	Handler
	// Resume is where an earlier conversation stopped (Cursor); zero: the last 50 events.
	Resume Cursor
	// QueueMax limits how many messages may wait for the service; 0 means 1,000.
	QueueMax int
	// Clock and Random (in [0,1)) are for tests.
	Clock  Clock
	Random func() float64
}

// Stats counts connections and what should be rare.
type Stats struct {
	Connections int64 // that said hello
	Duplicates  int64 // events dropped because they had come before
	Holes       int64 // events out of sequence: the connection was dropped and resumed
	Resets      int64
}

// Conversation is one user's part in one conversation. It connects, reconnects after every fault from which
// PROTOCOL.md lets a client recover, resumes where it was, and sends each message again until the service has
// committed or permanently refused it. Its methods may be called from several goroutines.
//
// Messages are committed in the order in which they were sent, except that a message that the service defers (nack
// with retry later) may be overtaken by later ones that were already under way.
type Conversation struct {
	api  *API
	id   string
	opts Options

	cancel context.CancelFunc
	done   chan struct{} // closed when the last goroutine has ended
	wake   chan struct{} // the writer has something to do

	connections, duplicates, holes, resets atomic.Int64

	mu      sync.Mutex // guards what follows
	state   State
	why     error
	watch   chan struct{} // closed when state changes or the outbox shrinks; nil unless someone waits
	hello   *Hello
	out     outbox
	pace    *rate.Limiter // of messages, as hello asks
	signals signals

	// Only the goroutine of run uses the rest.
	at        Cursor
	rewritten bool // the epoch of the log changed while we were away
}

// Open starts a conversation and returns at once; WaitLive waits for it. It must be closed.
func Open(api *API, appointmentID string, opts Options) *Conversation {
	if opts.QueueMax == 0 {
		opts.QueueMax = 1000
	}
	if opts.Clock.Now == nil {
		opts.Clock = Clock{Now: time.Now, After: time.After}
	}
	if opts.Random == nil {
		opts.Random = rand.Float64 // jitter need not be secret
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Conversation{
		api: api, id: appointmentID, opts: opts, cancel: cancel, at: opts.Resume,
		done: make(chan struct{}), wake: make(chan struct{}, 1), pace: newPace(0),
	}
	go c.run(ctx)
	return c
}

// Close ends the conversation and returns when all its goroutines have ended. It drops messages that were not
// acknowledged: their SendWait returns ErrClosed. Call Drain first to have them sent.
func (c *Conversation) Close() {
	c.cancel()
	<-c.done
}

// Done returns a channel that is closed when the conversation has ended, by Close or by itself.
func (c *Conversation) Done() <-chan struct{} { return c.done }

// Send queues a message and returns its client id; Ack or Refused reports the outcome.
func (c *Conversation) Send(text string) (clientID string, err error) {
	clientID = NewClientID()
	return clientID, c.SendAs(clientID, text)
}

// SendAs is Send with a client id that the caller chooses (a UUID, in lower case), so that a program can send a
// message again after a restart without duplicating it.
func (c *Conversation) SendAs(clientID, text string) error {
	return c.enqueue(&draft{clientID: clientID, text: text})
}

// SendWait queues a message and waits until it is committed. A permanent refusal is a *Refusal. If ctx ends first, the
// message stays queued.
func (c *Conversation) SendWait(ctx context.Context, text string) (seq int64, err error) {
	answer := make(chan result, 1)
	if err := c.enqueue(&draft{clientID: NewClientID(), text: text, result: answer}); err != nil {
		return 0, err
	}
	select {
	case r := <-answer:
		return r.seq, r.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// SendFile sends a file that was uploaded (API.Upload); clientID is as for SendAs.
func (c *Conversation) SendFile(clientID, attachmentID string) error {
	return c.enqueue(&draft{clientID: clientID, file: attachmentID})
}

// Retract retracts the user's own message at target, a seq; Ack or Refused reports the outcome under clientID.
func (c *Conversation) Retract(clientID string, target int64) error {
	return c.enqueue(&draft{clientID: clientID, kind: "retract", target: target})
}

// Correct replaces the text of the user's own message at target, a seq; Ack or Refused reports the outcome under
// clientID.
func (c *Conversation) Correct(clientID string, target int64, text string) error {
	return c.enqueue(&draft{clientID: clientID, kind: "correct", target: target, text: text})
}

func (c *Conversation) enqueue(d *draft) error {
	c.mu.Lock()
	var err error
	switch {
	case c.state == Closed:
		err = ErrClosed
	case c.out.len() >= c.opts.QueueMax:
		err = ErrQueueFull
	case !c.out.add(d):
		err = ErrPending
	}
	c.mu.Unlock()
	if err == nil {
		c.stir()
	}
	return err
}

// Typing tells the other participant that the user is typing (repeat it while they are) or has stopped.
func (c *Conversation) Typing(active bool) {
	c.mu.Lock()
	due := c.signals.typed(active, c.opts.Clock.Now())
	c.mu.Unlock()
	if due {
		c.stir()
	}
}

// Delivered says that every event up to seq has reached this device; calls are batched.
func (c *Conversation) Delivered(seq int64) { c.moveReceipt(&c.signals.delivered, seq) }

// Read says that the user has seen every event up to seq; calls are batched. Read implies delivered.
func (c *Conversation) Read(seq int64) { c.moveReceipt(&c.signals.read, seq) }

func (c *Conversation) moveReceipt(r *upTo, seq int64) {
	c.mu.Lock()
	moved := seq > r.want
	r.want = max(r.want, seq)
	c.mu.Unlock()
	if moved {
		c.stir()
	}
}

// stir wakes the writer when there is something to write.
func (c *Conversation) stir() {
	select {
	case c.wake <- struct{}{}:
	default: // it has been told already
	}
}

// State returns the state of the conversation, and why its last connection, or the conversation itself, ended.
func (c *Conversation) State() (State, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state, c.why
}

// Hello returns the hello of the latest connection; nil before the first.
func (c *Conversation) Hello() *Hello {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hello
}

// Pending returns how many messages are neither committed nor refused.
func (c *Conversation) Pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.len()
}

// Stats returns the counts since Open.
func (c *Conversation) Stats() Stats {
	return Stats{
		Connections: c.connections.Load(), Duplicates: c.duplicates.Load(), Holes: c.holes.Load(), Resets: c.resets.Load(),
	}
}

// WaitLive waits until the conversation is live. If it closes instead, the error says why.
func (c *Conversation) WaitLive(ctx context.Context) error {
	return c.wait(ctx, func() bool { return c.state == Live })
}

// WaitSpace waits until another message can be queued. If the conversation closes instead, the error says why.
func (c *Conversation) WaitSpace(ctx context.Context) error {
	return c.wait(ctx, func() bool { return c.state != Closed && c.out.len() < c.opts.QueueMax })
}

// Drain waits until every message is committed or permanently refused, and the handler has been told.
func (c *Conversation) Drain(ctx context.Context) error {
	return c.wait(ctx, func() bool { return c.out.len() == 0 })
}

// wait returns when ok is true; it is called under the lock after every change.
func (c *Conversation) wait(ctx context.Context, ok func() bool) error {
	for {
		c.mu.Lock()
		switch {
		case ok():
			c.mu.Unlock()
			return nil
		case c.state == Closed:
			defer c.mu.Unlock()
			return c.why
		}
		if c.watch == nil {
			c.watch = make(chan struct{})
		}
		watch := c.watch
		c.mu.Unlock()
		select {
		case <-watch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// changed wakes the waiters; the caller holds the lock.
func (c *Conversation) changed() {
	if c.watch != nil {
		close(c.watch)
		c.watch = nil
	}
}
