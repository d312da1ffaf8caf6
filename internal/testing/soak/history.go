// Package soak judges what clients of several instances have lived through while instances, Redis and network links
// failed: whether the chat kept every promise of its protocol. A History is the recorded run, Check finds the promises
// that it breaks, and Shrink the fewest entries that still show one. All of it is pure, and knows the service only by
// its protocol. The tests of this package make the runs.
package soak

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// What is the kind of an entry.
type What string

// What a history holds. Begin is written before the first byte of an action leaves the client, and every answer after
// it has arrived: an action took effect, if at all, between the two.
const (
	Member   What = "member"   // User takes part in Conversation; Role says as what
	Stranger What = "stranger" // User has no right to Conversation

	Begin   What = "begin"   // Device starts Action as Op; on a socket it is Conn
	Ack     What = "ack"     // a message, a retraction or a correction is committed
	Nack    What = "nack"    // it is refused, with Code
	Done    What = "done"    // the action of Op succeeded
	Refused What = "refused" // the action of Op was refused, with Code
	Lost    What = "lost"    // nobody knows what became of Op

	Hello   What = "hello"
	Shown   What = "shown" // Subject's cursors in the hello of Conn
	Live    What = "live"
	Reset   What = "reset"
	Got     What = "got"     // an event on Conn
	Page    What = "page"    // an event of a history page, of Op
	Receipt What = "receipt" // Subject's cursors, on Conn
	Bye     What = "bye"
	Gone    What = "gone" // Conn is over

	Nemesis What = "nemesis" // Text was done to the service
	Fault   What = "fault"   // Instance (0: any) could not act from Since until now
	Final   What = "final"   // Conn is the one over which Device followed the log to its end

	Log     What = "log"     // an event as PostgreSQL has it in the end, untouched by edits
	Head    What = "head"    // the conversation's counter in the end
	Cursors What = "cursors" // Subject's cursors in PostgreSQL in the end
	Unread  What = "unread"  // what the service says is unread for User in Conversation in the end
)

// Action is what a client does.
type Action string

// The actions.
const (
	Send      Action = "send"
	Retract   Action = "retract"
	Correct   Action = "correct"
	Read      Action = "read"
	Delivered Action = "delivered"
	Connect   Action = "connect"
	Browse    Action = "browse" // read a page of the history
	Logout    Action = "logout"
	Close     Action = "close"
	Open      Action = "open"
	Cancel    Action = "cancel"
)

// Event is an event of the protocol. Committed is its time on the run's clock.
type Event struct {
	Seq         int64         `json:"seq"`
	Kind        string        `json:"kind"`
	ClientID    string        `json:"clientId,omitempty"`
	Sender      string        `json:"sender,omitempty"`
	Text        string        `json:"text,omitempty"`
	Target      int64         `json:"target,omitempty"`
	Retracted   bool          `json:"retracted,omitempty"`
	CorrectedBy int64         `json:"correctedBy,omitempty"`
	Committed   time.Duration `json:"committed,omitempty"`
}

// Entry is one thing that happened. Which fields count depends on What.
type Entry struct {
	N    int           `json:"n,omitempty"` // its place in the whole history, kept when others are left out
	At   time.Duration `json:"at,omitempty"`
	What What          `json:"what"`

	Device       string `json:"device,omitempty"`
	User         string `json:"user,omitempty"`
	Session      int    `json:"session,omitempty"`
	Conversation string `json:"room,omitempty"`
	Instance     int    `json:"instance,omitempty"`
	Conn         int    `json:"conn,omitempty"`
	Op           int    `json:"op,omitempty"`
	Action       Action `json:"action,omitempty"`

	ClientID  string        `json:"clientId,omitempty"`
	Text      string        `json:"text,omitempty"`
	Target    int64         `json:"target,omitempty"`
	Seq       int64         `json:"seq,omitempty"`       // of an ack
	Duplicate bool          `json:"duplicate,omitempty"` // of an ack
	Code      string        `json:"code,omitempty"`
	Status    int           `json:"status,omitempty"` // of HTTP
	Role      string        `json:"role,omitempty"`
	After     int64         `json:"after,omitempty"` // where a connect or a page goes on; -1 without
	Head      int64         `json:"head,omitempty"`  // of hello, live, reset, head, page
	Subject   string        `json:"subject,omitempty"`
	Delivered int64         `json:"delivered,omitempty"`
	Read      int64         `json:"read,omitempty"`
	UpTo      int64         `json:"upTo,omitempty"`
	Count     int64         `json:"count,omitempty"`
	Since     time.Duration `json:"since,omitempty"`
	Event     *Event        `json:"event,omitempty"`
}

// String is the entry as a counterexample shows it: a line.
func (e Entry) String() string {
	at, n := e.At, e.N
	e.At, e.N = 0, 0
	body, err := json.Marshal(e)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%7d %9.3fs %s", n, at.Seconds(), body)
}

// Recorder keeps a history. It may be used from several goroutines: the order of the entries is an order in which
// things can have happened.
type Recorder struct {
	start time.Time

	mu      sync.Mutex // guards all below
	entries []Entry
	ops     int
	conns   int
}

// NewRecorder starts a clock.
func NewRecorder() *Recorder { return &Recorder{start: time.Now()} }

// Add notes that something happens now and gives its number.
func (r *Recorder) Add(e Entry) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.At = time.Since(r.start)
	e.N = len(r.entries) + 1
	r.entries = append(r.entries, e)
	return e.N
}

// Clock is a time on the run's clock.
func (r *Recorder) Clock(t time.Time) time.Duration { return t.Sub(r.start) }

// Op gives a new number for an action.
func (r *Recorder) Op() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops++
	return r.ops
}

// Conn gives a new number for a connection.
func (r *Recorder) Conn() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns++
	return r.conns
}

// Entries is what has been recorded so far.
func (r *Recorder) Entries() []Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Entry(nil), r.entries...)
}
