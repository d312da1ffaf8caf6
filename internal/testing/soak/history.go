// Package soak judges what clients of several instances experienced while instances, Redis and network links failed:
// whether the chat kept every promise of its protocol. A history is the recorded run; Check finds the promises that it
// breaks, and Shrink the fewest entries that still show one. All of this is pure, and knows only the protocol of the
// service. The tests of this package make the runs.
package soak

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// What says what kind of entry an entry is.
type What string

// The kinds of entries. Begin is written before the first byte of an action leaves the client, and an answer after it
// has arrived: if an action took effect, then between the two.
const (
	Member   What = "member"   // User takes part in Conversation, as Role
	Stranger What = "stranger" // User has no right to Conversation

	Begin   What = "begin"   // Device starts Action as Op; on a socket, over Conn
	Ack     What = "ack"     // a message, a retraction or a correction is committed
	Nack    What = "nack"    // one of these is refused, with Code
	Done    What = "done"    // the action of Op succeeded
	Refused What = "refused" // the action of Op was refused, with Code
	Lost    What = "lost"    // the outcome of Op is unknown

	Hello   What = "hello"
	Shown   What = "shown" // Subject's cursors in the hello of Conn
	Live    What = "live"
	Reset   What = "reset"
	Got     What = "got"     // an event on Conn
	Page    What = "page"    // an event of a history page, in the answer to Op
	Receipt What = "receipt" // Subject's cursors, on Conn
	Bye     What = "bye"
	Gone    What = "gone" // Conn has ended

	Nemesis What = "nemesis" // the test did Text to the service
	Fault   What = "fault"   // Instance (0: any) could not act from Since until now
	Final   What = "final"   // Device followed the log to its end over Conn

	Log     What = "log"     // an event as PostgreSQL has it at the end, without edits
	Head    What = "head"    // the conversation's counter at the end
	Cursors What = "cursors" // Subject's cursors in PostgreSQL at the end
	Unread  What = "unread"  // what the service says is unread for User in Conversation at the end
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

// Event is an event of the protocol. Committed is its time since the run began.
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

// Entry is one thing that happened. Which fields apply depends on What.
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
	After     int64         `json:"after,omitempty"` // where a connect or a page resumes; -1: without a cursor
	Head      int64         `json:"head,omitempty"`  // of hello, live, reset, head, page
	Subject   string        `json:"subject,omitempty"`
	Delivered int64         `json:"delivered,omitempty"`
	Read      int64         `json:"read,omitempty"`
	UpTo      int64         `json:"upTo,omitempty"`
	Count     int64         `json:"count,omitempty"`
	Since     time.Duration `json:"since,omitempty"`
	Event     *Event        `json:"event,omitempty"`
}

// String returns the entry as one line of a counterexample.
func (e Entry) String() string {
	at, n := e.At, e.N
	e.At, e.N = 0, 0
	body, err := json.Marshal(e)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%7d %9.3fs %s", n, at.Seconds(), body)
}

// Recorder records a history. Several goroutines may use it: the order of the entries is one in which things can have
// happened.
type Recorder struct {
	start time.Time

	mu      sync.Mutex // guards all below
	entries []Entry
	ops     int
	conns   int
}

// NewRecorder makes a recorder and starts the run's clock.
func NewRecorder() *Recorder { return &Recorder{start: time.Now()} }

// Add adds an entry for now and returns its number.
func (r *Recorder) Add(e Entry) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.At = time.Since(r.start)
	e.N = len(r.entries) + 1
	r.entries = append(r.entries, e)
	return e.N
}

// Clock returns a time as the time since the run began.
func (r *Recorder) Clock(t time.Time) time.Duration { return t.Sub(r.start) }

// Op returns a new number for an action.
func (r *Recorder) Op() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops++
	return r.ops
}

// Conn returns a new number for a connection.
func (r *Recorder) Conn() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns++
	return r.conns
}

// Entries returns what has been recorded so far.
func (r *Recorder) Entries() []Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Entry(nil), r.entries...)
}
