// Package appointment is the life cycle of an appointment, from the request to its end. It alone writes who holds
// which time. The database makes double bookings impossible (two exclusion constraints on slot_claims); this package
// words the refusal.
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
	// Append adds a system event to the appointment's conversation, and creates the conversation if there is none
	// yet. It locks the conversation's row, so call it last in a transaction, with the appointment's row already
	// locked.
	Append(ctx context.Context, tx *postgres.Tx, appointmentID int64, text string) error
	// Regroup is Append for an event that changes the participants: the right of every connected reader is checked
	// again.
	Regroup(ctx context.Context, tx *postgres.Tx, appointmentID int64, text string) error
	// Close closes the appointment's conversation on behalf of the clinic, with a system event that says why. It does
	// nothing if the conversation is closed or does not exist. It locks like Append.
	Close(ctx context.Context, tx *postgres.Tx, appointmentID int64, text string) error
	// Reopen undoes Close, with a system event that says so. It does nothing if a doctor closed the conversation or
	// it is open. It locks like Append.
	Reopen(ctx context.Context, tx *postgres.Tx, appointmentID int64, text string) error
	// Closings returns which of the conversations are closed, and how. Open ones are not in the map.
	Closings(ctx context.Context, db postgres.DB, appointmentIDs []int64) (map[int64]Closing, error)
	// Unread counts, for each conversation, the messages from others that the user has not read. It leaves out
	// conversations in which they take no part.
	Unread(ctx context.Context, db postgres.DB, userID int64, appointmentIDs []int64) (map[int64]int64, error)
}

// Closing says how a conversation was closed; the zero value means open.
type Closing struct {
	At       time.Time
	ByClinic bool // closed because the doctor was no longer available; otherwise the doctor closed it
}

// Notifications tells people outside the conversation about changes of their appointments. Both methods are called in
// the transaction of the change, and must not lock anything that a booking locks.
type Notifications interface {
	// Moved announces a move.
	Moved(ctx context.Context, tx *postgres.Tx, n Notification) error
	// Offered announces to a waiting patient that a time is kept for them.
	Offered(ctx context.Context, tx *postgres.Tx, o Offer) error
}

// Notification describes a move. Appointment is its state after the move.
type Notification struct {
	Appointment
	Action Move
	Before Status // empty for a new appointment
	By     int64  // users.id of the actor; 0: the system
	// FormerDoctor is the doctor from whom a hand-over took it; 0 for other moves.
	FormerDoctor int64
	// FormerStart and FormerEnd are the time before the move; nil if it had none.
	FormerStart, FormerEnd *time.Time
	// Settled is the proposal that the move answered, replaced or ended; nil if there was none.
	Settled *Proposal
}

// Status is an appointment's state in its life cycle. It is stored and sent as is.
type Status string

// The statuses. Only Pending and Booked are live; the others are final and hold no time.
const (
	Pending   Status = "PENDING"   // requested, not yet answered by the doctor; may have no time
	Booked    Status = "BOOKED"    // confirmed
	Rejected  Status = "REJECTED"  // declined by the doctor
	Cancelled Status = "CANCELLED" // cancelled by either side
	Expired   Status = "EXPIRED"   // not answered in time
	Completed Status = "COMPLETED" // it took place
	NoShow    Status = "NO_SHOW"   // the patient did not come
)

// Statuses are all statuses, in the order of the life cycle.
var Statuses = []Status{Pending, Booked, Rejected, Cancelled, Expired, Completed, NoShow}

// Valid reports whether s is one of Statuses.
func (s Status) Valid() bool {
	for _, known := range Statuses {
		if s == known {
			return true
		}
	}
	return false
}

// Live reports whether an appointment in this status holds its time.
func (s Status) Live() bool { return s == Pending || s == Booked }

// Move is a change of an appointment; the history stores it under this name.
type Move string

// The moves.
const (
	MoveBook       Move = "book"
	MoveConfirm    Move = "confirm"
	MoveReject     Move = "reject"
	MoveCancel     Move = "cancel"
	MoveExpire     Move = "expire"
	MoveReschedule Move = "reschedule"
	MoveAskAnew    Move = "reschedule_request" // by the patient: the doctor has to confirm the other time
	MovePropose    Move = "propose"            // by the doctor: another time, for a request that ran out
	MoveAccept     Move = "accept"             // by the patient: the time that the doctor proposed
	MoveDecline    Move = "decline"            // the other side does not want the proposed time
	MoveWithdraw   Move = "withdraw"           // whoever proposed the time takes it back
	MoveLapse      Move = "lapse"              // nobody answered the proposal in time
	MoveComplete   Move = "complete"
	MoveNoShow     Move = "no_show"
	MoveHandOver   Move = "hand_over"
)

// Moves are all moves.
var Moves = []Move{
	MoveBook, MoveConfirm, MoveReject, MoveCancel, MoveExpire, MoveReschedule, MoveAskAnew, MoveComplete, MoveNoShow,
	MoveHandOver, MovePropose, MoveAccept, MoveDecline, MoveWithdraw, MoveLapse,
}

// answers says that a move needs a proposal, because it answers or ends it.
const answers = true

// transitions is the whole life cycle: which move leads from which status to which. Any other move is refused.
// Bookings have no row: they start at Pending, or at Booked if nobody has to confirm them.
var transitions = []struct {
	move     Move
	from, to Status
	proposal bool
}{
	{MoveConfirm, Pending, Booked, false},
	{MoveConfirm, Booked, Booked, answers},
	{MoveReject, Pending, Rejected, false},
	{MoveCancel, Pending, Cancelled, false},
	{MoveCancel, Booked, Cancelled, false},
	{MoveExpire, Pending, Expired, false},
	{MoveReschedule, Pending, Pending, false},
	{MoveReschedule, Booked, Booked, false},
	{MoveAskAnew, Pending, Pending, false},
	{MoveAskAnew, Booked, Booked, false},
	{MovePropose, Expired, Expired, false},
	{MoveAccept, Expired, Booked, answers},
	{MoveDecline, Booked, Booked, answers},
	{MoveDecline, Expired, Expired, answers},
	{MoveWithdraw, Booked, Booked, answers},
	{MoveWithdraw, Expired, Expired, answers},
	{MoveLapse, Booked, Booked, answers},
	{MoveLapse, Expired, Expired, answers},
	{MoveComplete, Booked, Completed, false},
	{MoveNoShow, Booked, NoShow, false},
	{MoveHandOver, Pending, Pending, false},
	{MoveHandOver, Booked, Booked, false},
}

// after returns the status to which m leads, or a 409 invalid_transition with the current status as currentStatus.
func (a Appointment) after(m Move) (Status, error) {
	for _, t := range transitions {
		if t.move == m && t.from == a.Status && (!t.proposal || a.Proposal != nil) {
			return t.to, nil
		}
	}
	return a.Status, a.NotPossible()
}

// NotPossible is the refusal of a move that the status does not allow: 409 invalid_transition with the status as
// currentStatus.
func (a Appointment) NotPossible() error {
	return errs.New(errs.Conflict, "invalid_transition",
		"This appointment is "+a.Status.words()+", so that is no longer possible.").With("currentStatus", a.Status)
}

// words returns the status in words for people.
func (s Status) words() string { return strings.ReplaceAll(strings.ToLower(string(s)), "_", "-") }

// Person is what the other side may see of a participant.
type Person struct {
	ID             int64  // users.id, never shown outside
	UserID         string // public id
	Name           string
	Specialization string // doctors only
}

func personOf(d doctor.Brief) Person {
	return Person{ID: d.ID, UserID: d.UserID, Name: d.Name, Specialization: d.Specialization}
}

// Appointment is an appointment with its two participants. StartsAt and EndsAt are both nil for a request without a
// time. The patient gives the Reason, the doctor the Note at confirmation and the Summary (clinical) and FollowUpOn
// at completion; EndReason is that of a rejection or cancellation. Version grows by one with every change.
type Appointment struct {
	ID                      int64  // never shown outside
	PublicID                string // APP…
	Status                  Status
	Patient, Doctor         Person
	doctorLeft              bool // a former doctor, who takes no part
	StartsAt, EndsAt        *time.Time
	Proposal                *Proposal // another time, not yet answered; nil: none
	Reason, Note, EndReason string
	Summary                 string
	FollowUpOn              *time.Time // a date: midnight in UTC
	CompletedAt             *time.Time
	Version                 int
	CreatedAt, UpdatedAt    time.Time
}

// Participant is a person in an appointment, with their role in it, whatever other role they have. One who is not
// Active no longer takes part: others still see their name, but they cannot read or write and get no events.
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

// roleOf returns the role in which a user takes part now; "" if they do not. It decides in Go who takes part, as the
// view participants does in SQL.
func (a Appointment) roleOf(userID int64) auth.Role {
	for _, p := range a.Participants() {
		if p.Active && p.ID == userID && userID != 0 {
			return p.Role
		}
	}
	return ""
}

// IsParticipant reports whether the user takes part in the appointment now.
func (a Appointment) IsParticipant(userID int64) bool { return a.roleOf(userID) != "" }

// over reports whether an appointment has taken place or its time has passed.
func (a Appointment) over(now time.Time) bool {
	return a.Status == Completed || a.EndsAt != nil && !a.EndsAt.After(now)
}

// Reply reports whether the participants can write in the conversation now, and until when (zero: it will not close
// by itself). If they cannot, why is a stable word: pending, rejected, cancelled, expired, no_show, follow_up_over,
// closed_by_doctor or doctor_unavailable. followUp is how long after completion a conversation stays open.
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

// View is an appointment as a certain user sees it now. It adds whether the conversation is open (see Reply) and, for
// participants, how many messages they have not read there.
type View struct {
	Appointment
	CanReply   bool
	ReplyUntil time.Time // zero: it will not close by itself
	WhyNot     string
	Unread     *int64 // nil for users who take no part
}

// side is on whose behalf a user acts in an appointment, in words for people.
type side string

const (
	nobody      side = ""
	patientSide side = "patient"
	doctorSide  side = "doctor"
	clinicSide  side = "clinic"
	systemSide  side = "system" // the passing of time
)

// sideOf returns the actor's side: a participant's own, or else the clinic's for admins.
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

// visibleTo returns the appointment to its participants and to admins, and errs.Missing to anyone else.
func (a Appointment) visibleTo(actor auth.Actor) (Appointment, error) {
	if a.sideOf(actor) == nobody {
		return Appointment{}, errs.Missing("appointment")
	}
	return a, nil
}
