// Package appointment is the life cycle of an appointment, from the request to its end, and the only writer of
// who holds which time. Booking twice is made impossible by the database (two exclusion constraints over
// slot_claims); this package words the refusal.
package appointment

import (
	"context"
	"strings"
	"time"

	"housecall/internal/auth"
	"housecall/internal/doctor"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// Conversations is what a change of an appointment needs from its conversation.
type Conversations interface {
	// Append adds a system event to the appointment's conversation, making the conversation if it has none yet.
	// It locks the conversation's row, so a transaction calls it last, with the appointment's row locked before.
	Append(ctx context.Context, tx *postgres.Tx, appointmentID int64, text string) error
	// Regroup is Append for an event after which others take part: everybody who listens must prove their right to once
	// more.
	Regroup(ctx context.Context, tx *postgres.Tx, appointmentID int64, text string) error
	// Close closes the appointment's conversation on behalf of the clinic, with a system event that says why; one that is
	// closed, or was never made, stays as it is. It locks like Append.
	Close(ctx context.Context, tx *postgres.Tx, appointmentID int64, text string) error
	// Reopen undoes Close, with a system event that says so; what a doctor closed, or is open, stays as it is. It locks
	// like Append.
	Reopen(ctx context.Context, tx *postgres.Tx, appointmentID int64, text string) error
	// Closings tells which of the conversations are closed, and by whom; those that are open are not in the map.
	Closings(ctx context.Context, db postgres.DB, appointmentIDs []int64) (map[int64]Closing, error)
	// Unread counts what others have written in conversations and the user has not read, leaving out those in which they
	// take no part.
	Unread(ctx context.Context, db postgres.DB, userID int64, appointmentIDs []int64) (map[int64]int64, error)
}

// Closing is how a conversation was closed; the zero value is that of an open one.
type Closing struct {
	At       time.Time
	ByClinic bool // because the doctor was no longer available; otherwise by the doctor
}

// Notifications tells people outside the conversation what became of their appointments. Both methods are called in the
// transaction of the event, and must not lock anything that a booking locks.
type Notifications interface {
	// Moved tells of a move.
	Moved(ctx context.Context, tx *postgres.Tx, n Notification) error
	// Offered tells a waiting patient that a time is kept for them.
	Offered(ctx context.Context, tx *postgres.Tx, o Offer) error
}

// Notification is a move that was made: Appointment is as it is afterwards.
type Notification struct {
	Appointment
	Action Move
	Before Status // empty for a new one
	By     int64  // users.id of who did it; 0: the system
	// FormerDoctor is who handed it over, 0 unless it was.
	FormerDoctor int64
	// FormerStart is when it was to begin before the move, nil for no time.
	FormerStart *time.Time
}

// Status is where an appointment stands in its life. It is stored and sent as is.
type Status string

// The statuses. Only Pending and Booked are live: the others are ends and hold no time.
const (
	Pending   Status = "PENDING"   // asked for, not yet answered by the doctor; may have no time
	Booked    Status = "BOOKED"    // confirmed
	Rejected  Status = "REJECTED"  // refused by the doctor
	Cancelled Status = "CANCELLED" // called off by either side
	Expired   Status = "EXPIRED"   // never answered in time
	Completed Status = "COMPLETED" // it took place
	NoShow    Status = "NO_SHOW"   // the patient did not come
)

// Statuses are all of them, in the order of a life.
var Statuses = []Status{Pending, Booked, Rejected, Cancelled, Expired, Completed, NoShow}

// Valid tells whether s is one of Statuses.
func (s Status) Valid() bool {
	for _, known := range Statuses {
		if s == known {
			return true
		}
	}
	return false
}

// Live tells whether an appointment in this status holds its time.
func (s Status) Live() bool { return s == Pending || s == Booked }

// Move is what is done to an appointment; history keeps it by this name.
type Move string

// The moves.
const (
	MoveBook       Move = "book"
	MoveConfirm    Move = "confirm"
	MoveReject     Move = "reject"
	MoveCancel     Move = "cancel"
	MoveExpire     Move = "expire"
	MoveReschedule Move = "reschedule"
	MoveAskAnew    Move = "reschedule_request" // by the patient: the doctor confirms anew
	MoveComplete   Move = "complete"
	MoveNoShow     Move = "no_show"
	MoveHandOver   Move = "hand_over"
)

// Moves are all of them.
var Moves = []Move{
	MoveBook, MoveConfirm, MoveReject, MoveCancel, MoveExpire, MoveReschedule, MoveAskAnew, MoveComplete, MoveNoShow,
	MoveHandOver,
}

// transitions is the whole life cycle: which move leads from which status to which. What is not in it is refused.
// A booking begins at Pending, or at Booked where nobody has to confirm it, and so has no row.
var transitions = []struct {
	move     Move
	from, to Status
}{
	{MoveConfirm, Pending, Booked},
	{MoveReject, Pending, Rejected},
	{MoveCancel, Pending, Cancelled},
	{MoveCancel, Booked, Cancelled},
	{MoveExpire, Pending, Expired},
	{MoveReschedule, Pending, Pending},
	{MoveReschedule, Booked, Booked},
	{MoveAskAnew, Pending, Pending},
	{MoveAskAnew, Booked, Pending},
	{MoveComplete, Booked, Completed},
	{MoveNoShow, Booked, NoShow},
	{MoveHandOver, Pending, Pending},
	{MoveHandOver, Booked, Booked},
}

// after gives the status to which m leads from s, or the 409 invalid_transition that names the current status as
// currentStatus.
func (s Status) after(m Move) (Status, error) {
	for _, t := range transitions {
		if t.move == m && t.from == s {
			return t.to, nil
		}
	}
	return s, errs.New(errs.Conflict, "invalid_transition",
		"This appointment is "+s.words()+", so that is no longer possible.").With("currentStatus", s)
}

// words is the status as a person reads it.
func (s Status) words() string { return strings.ReplaceAll(strings.ToLower(string(s)), "_", "-") }

// Person is a participant as the other side may see them.
type Person struct {
	ID             int64  // users.id, never shown outside
	UserID         string // public id
	Name           string
	Specialization string // of a doctor only
}

func personOf(d doctor.Brief) Person {
	return Person{ID: d.ID, UserID: d.UserID, Name: d.Name, Specialization: d.Specialization}
}

// Appointment is one appointment with its two participants. StartsAt and EndsAt are both nil for a request
// without a time; Reason is the patient's, Note the doctor's at confirmation, EndReason that of a rejection or
// cancellation, Summary (clinical) and FollowUpOn the doctor's at completion. Version grows by one with every change.
type Appointment struct {
	ID                      int64  // never shown outside
	PublicID                string // APP…
	Status                  Status
	Patient, Doctor         Person
	doctorLeft              bool // the doctor is no longer one, and so takes no part
	StartsAt, EndsAt        *time.Time
	Reason, Note, EndReason string
	Summary                 string
	FollowUpOn              *time.Time // a date: midnight in UTC
	CompletedAt             *time.Time
	Version                 int
	CreatedAt, UpdatedAt    time.Time
}

// Participant is a person in an appointment with the role in which they take part, whatever they are otherwise. One
// who is not Active no longer takes part: they are shown to the others, but neither read, write nor hear anything.
type Participant struct {
	Person
	Role   auth.Role
	Active bool
}

// Participants lists everybody in the appointment, the patient first.
func (a Appointment) Participants() []Participant {
	return []Participant{
		{Person: a.Patient, Role: auth.Patient, Active: true},
		{Person: a.Doctor, Role: auth.Doctor, Active: !a.doctorLeft},
	}
}

// roleOf gives the role in which a user takes part now, "" for those who do not. It is the judgement in Go of who takes
// part, as the view participants is in SQL, from which an appointment's participants have been read.
func (a Appointment) roleOf(userID int64) auth.Role {
	for _, p := range a.Participants() {
		if p.Active && p.ID == userID && userID != 0 {
			return p.Role
		}
	}
	return ""
}

// IsParticipant tells whether the user takes part in the appointment now.
func (a Appointment) IsParticipant(userID int64) bool { return a.roleOf(userID) != "" }

// over tells whether an appointment has taken place, or its time has passed.
func (a Appointment) over(now time.Time) bool {
	return a.Status == Completed || a.EndsAt != nil && !a.EndsAt.After(now)
}

// Reply tells whether the participants may write in the conversation now, and until when (zero: no end by the
// clock). When they may not, why is a stable word: pending, rejected, cancelled, expired, no_show,
// follow_up_over, closed_by_doctor or doctor_unavailable. followUp is how long after completion a conversation stays
// open.
func (a Appointment) Reply(
	now time.Time, followUp time.Duration, closed Closing,
) (can bool, until time.Time, why string) {
	switch a.Status {
	case Booked:
	case Completed:
		end := a.UpdatedAt
		if a.CompletedAt != nil {
			end = *a.CompletedAt
		}
		if until = end.Add(followUp); !now.Before(until) {
			return false, time.Time{}, "follow_up_over"
		}
	default:
		return false, time.Time{}, strings.ToLower(string(a.Status))
	}
	switch {
	case closed.At.IsZero():
		return true, until, ""
	case closed.ByClinic:
		return false, time.Time{}, "doctor_unavailable"
	default:
		return false, time.Time{}, "closed_by_doctor"
	}
}

// View is an appointment as of now, and as somebody sees it: with it goes whether its conversation is open (see Reply),
// and for participants how much they have not read there.
type View struct {
	Appointment
	CanReply   bool
	ReplyUntil time.Time // zero: no end by the clock
	WhyNot     string
	Unread     *int64 // nil for those who take no part
}

// side is on whose behalf somebody acts in an appointment, as people read it.
type side string

const (
	nobody      side = ""
	patientSide side = "patient"
	doctorSide  side = "doctor"
	clinicSide  side = "clinic"
	systemSide  side = "system" // time alone
)

// sideOf tells where the actor stands: participants first, then admins, who act for the clinic.
func (a Appointment) sideOf(actor auth.Actor) side {
	switch a.roleOf(actor.ID) {
	case auth.Patient:
		return patientSide
	case auth.Doctor:
		return doctorSide
	}
	if actor.Role == auth.Admin {
		return clinicSide
	}
	return nobody
}

// visibleTo gives the appointment to its participants and to admins; to anyone else it is not there.
func (a Appointment) visibleTo(actor auth.Actor) (Appointment, error) {
	if a.sideOf(actor) == nobody {
		return Appointment{}, errs.Missing("appointment")
	}
	return a, nil
}
