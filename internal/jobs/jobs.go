// Package jobs runs work for which no request waits: emails, timers. A job is a row (of River, riverqueue.com) written
// in the transaction of the change that causes it, so there is never one without the other. One instance at a time
// runs it, and again after growing pauses if it fails.
package jobs

import (
	"errors"
	"time"

	"github.com/riverqueue/river/rivertype"

	"housecall/internal/errs"
)

// Args is what a job is about: a struct that encodes as JSON. Kind names what is to be done and must never change,
// since rows outlive a release. Secrets and addresses in it are sealed: rows are kept after the work is done. Once
// compares the fields with the tag river:"unique", or all fields if none has it. Administrators see two of its fields:
// "notice", the kind of an email, and "publicId", the id of the appointment that it is about.
type Args interface{ Kind() string }

// Terms say when and how a job is run.
type Terms struct {
	// At is the earliest time; zero means at once.
	At time.Time
	// Once drops the job if there already is one of the same kind with the same unique fields, in whatever state,
	// finished ones included. Rows of finished jobs are kept for a day, of failed ones for a week.
	Once bool
	// Urgent runs the job, once it is due, before those that are not urgent: for work that is of no use later.
	Urgent bool
	// MaxAttempts bounds how often a job that fails is tried; 0 means Attempts.
	MaxAttempts int
}

// Attempts is how often a job is tried before it counts as dead, over about a day.
const Attempts = 10

// pauses are how long a job waits after its first failure, its second, and so on.
var pauses = [Attempts - 1]time.Duration{
	30 * time.Second, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 6 * time.Hour, 13 * time.Hour,
}

// pause is the wait after the given number of failures, from 1.
func pause(failures int) time.Duration {
	return pauses[min(max(failures, 1), len(pauses))-1]
}

// State is the state of a job, as administrators see it.
type State string

// The states (those of River). A Discarded job has failed too often, a Cancelled one cannot succeed: both are dead
// until an administrator retries them.
const (
	Available State = "available"
	Cancelled State = "cancelled"
	Completed State = "completed"
	Discarded State = "discarded"
	Pending   State = "pending"
	Retryable State = "retryable"
	Running   State = "running"
	Scheduled State = "scheduled"
)

// Job is a job as administrators see it, without its Args.
type Job struct {
	ID          int64
	Kind        string
	Notice      string // the kind of email, "" for other work
	Appointment string // APP…, "" for work that is not about one
	State       State
	Attempt     int
	MaxAttempts int
	CreatedAt   time.Time
	ScheduledAt time.Time
	FinalizedAt *time.Time
	LastError   string // without anything about a person
}

// Failed reports whether the job is dead or has failed and will be tried again.
func (j Job) Failed() bool {
	return j.State == Discarded || j.State == Cancelled || j.State == Retryable
}

// Errors that people see.
var (
	ErrMissing   = errs.Missing("job")
	ErrNotFailed = errs.New(errs.Conflict, "not_failed", "Only a job that has failed can be retried.")
)

// reason is an error whose text may be kept in the job's row.
type reason struct {
	text  string
	cause error
	dead  bool
}

// Error implements error.
func (r *reason) Error() string { return r.text }

// Unwrap returns the cause.
func (r *reason) Unwrap() error { return r.cause }

// Because returns a failure for a reason that administrators may read: text must name no person and no address. The
// job is tried again. The cause, which may be nil, is logged.
func Because(text string, cause error) error { return &reason{text: text, cause: cause} }

// Dead is Because for a failure that trying again cannot mend: the job is not tried again unless an administrator says
// so.
func Dead(text string, cause error) error { return &reason{text: text, cause: cause, dead: true} }

// later is what Later returns.
type later struct{ at time.Time }

// Error implements error.
func (later) Error() string { return "not yet" }

// Later returns the error with which work asks to be run at another time; that does not count as an attempt.
func Later(at time.Time) error { return later{at} }

// kept returns the text about err that may be stored in a job's row. An *errs.Error is worded for people and names
// nobody; any other is only logged.
func kept(err error) string {
	var r *reason
	var own *errs.Error
	switch {
	case errors.As(err, &r):
		return r.text
	case errors.As(err, &own) && own.Kind != errs.Internal:
		return own.Code + ": " + own.Message
	default:
		return "internal error, see the log"
	}
}

// everyState has the states in which Once looks for a job.
var everyState = rivertype.JobStates()
