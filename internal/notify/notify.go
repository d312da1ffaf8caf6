// Package notify tells people by email what happened to their appointments and accounts, and reminds them. An email is
// a job that is queued in the transaction of the change it reports. When its turn comes it is judged again, so that
// nobody is told what is no longer true. Emails name people, times and the clinic, and nothing clinical: no reason, no
// note, no message, not even a specialization.
package notify

import (
	"context"
	"time"

	"housecall/internal/appointment"
)

// Appointment is what emails need to know about an appointment.
type Appointment struct {
	ID       int64
	PublicID string
	// Version grows with every change. Moved is the one of the last change of status, time or doctor: an email about an
	// earlier one is no longer sent. What came after it only proposed another time.
	Version, Moved int
	Status         appointment.Status
	// StartsAt and EndsAt are nil for a request without a time.
	StartsAt, EndsAt *time.Time
	// TimeZone is the doctor's, an IANA name.
	TimeZone                string
	PatientID, DoctorID     int64
	PatientName, DoctorName string
	UpdatedAt               time.Time
	// WasBooked means that it was BOOKED at some time before the move, so calendars may have it; FormerDoctorID is the
	// doctor who handed it over, FormerZone that doctor's zone, FormerStart and FormerEnd the time before the move,
	// GoneStart and GoneEnd the time in calendars if it was not BOOKED before the move, but earlier. Only Moved reads
	// them.
	WasBooked              bool
	FormerDoctorID         int64
	FormerZone             string
	FormerStart, FormerEnd *time.Time
	GoneStart, GoneEnd     *time.Time
}

// Addressee is a person who may get mail.
type Addressee struct {
	ID          int64
	UserID      string // public id
	Name, Email string
	Verified    bool // the address is known to be theirs
	Active      bool // the account is not disabled
}

// Appointments returns appointments as they are when an email's turn comes.
type Appointments interface {
	// Appointment returns one by its key; errs.NotFound if there is none.
	Appointment(ctx context.Context, id int64) (Appointment, error)
}

// People has the addressees of emails.
type People interface {
	// Addressee returns a user by key; errs.NotFound if there is none.
	Addressee(ctx context.Context, userID int64) (Addressee, error)
}

// Preferences knows which emails people want.
type Preferences interface {
	// Decide reports whether an email of a kind, due at a time, is wanted at all, and the earliest time to send it. A
	// notBefore that is not after at means now.
	Decide(ctx context.Context, userID int64, kind Kind, at time.Time) (send bool, notBefore time.Time, err error)
	// Zone is the time zone that the person has chosen, nil for none.
	Zone(ctx context.Context, userID int64) (*time.Location, error)
}

// Inbox counts what has not been read yet.
type Inbox interface {
	// UnreadConversations returns the number of a user's conversations with unread messages.
	UnreadConversations(ctx context.Context, userID int64) (conversations int, err error)
}

// Standing knows whether what an email leads to is still available.
type Standing interface {
	// Stands reports it for the Fleeting kinds. key is the token of the email's link, or the id of the offer.
	Stands(ctx context.Context, kind Kind, key string) (bool, error)
}

// Links makes the addresses of the pages that emails lead to. An address with a token is as secret as the token: do
// not log it.
type Links interface {
	// Home is where people sign in.
	Home() string
	// Appointment shows one appointment, by its public id.
	Appointment(publicID string) string
	// Inbox shows the conversations.
	Inbox() string
	// Offer shows a time that is kept for a waiting patient.
	Offer(id string) string
	// Invitation, PasswordReset and VerifyEmail take the token of such an email.
	Invitation(token string) string
	PasswordReset(token string) string
	VerifyEmail(token string) string
}

// Calendar makes calendar objects.
type Calendar interface {
	// Message returns the appointment as text/calendar with a METHOD (REQUEST or CANCEL; RFC 5546). A later version has a
	// higher SEQUENCE, so that calendars replace what they have.
	Message(method string, a Appointment, recipient Addressee) ([]byte, error)
}

// still reports whether an email about a, queued when it was in some earlier state, is still worth sending.
func still(m moveArgs, a Appointment, now time.Time) bool {
	if m.Former {
		return m.Recipient != a.DoctorID // if it is theirs again, no later email would correct this one
	}
	// waits: for the doctor's answer.
	waits := (m.MailKind == Rescheduled || m.MailKind == HandedOver) && a.Status == appointment.Pending
	if a.Status != m.MailKind.traits().status && !waits || m.Recipient != a.PatientID && m.Recipient != a.DoctorID {
		return false
	}
	if a.Status == appointment.Booked && a.EndsAt != nil && !now.Before(*a.EndsAt) {
		return false // it is over
	}
	if !m.MailKind.reminder() {
		return a.Moved == m.Version
	}
	if a.StartsAt == nil || !a.StartsAt.Equal(m.StartsAt) {
		return false
	}
	// The day's reminder gives way to the hour's, and that one to the appointment itself.
	return now.Before(useless(m.MailKind, m.StartsAt))
}

// soonest returns the earlier of the starts before and after the move: people must know by then, or they come in vain
// or not at all. One that has passed keeps nobody from coming. Zero if there is none ahead.
func soonest(a Appointment, now time.Time) (first time.Time) {
	for _, start := range []*time.Time{a.FormerStart, a.StartsAt} {
		if start != nil && start.After(now) && (first.IsZero() || start.Before(first)) {
			first = start.UTC()
		}
	}
	return first
}

// useless returns the time from which a reminder is of no use.
func useless(k Kind, start time.Time) time.Time {
	if k == ReminderDay {
		return start.Add(-ReminderHour.traits().ahead)
	}
	return start
}

// mover says who made a move: the user of that id, 0 for the system.
func mover(a Appointment, actorID int64) string {
	switch actorID {
	case a.PatientID:
		return byPatient
	case a.DoctorID:
		return byDoctor
	default:
		return byClinic
	}
}

// recipients returns who is told about a move: everyone it concerns, except those who have cancelled a request that
// was never booked. actorID is 0 for the system.
func recipients(k Kind, a Appointment, actorID int64) []int64 {
	switch k {
	case Rejected, Expired:
		if !a.WasBooked { // otherwise the doctor's calendar may still have it
			return []int64{a.PatientID}
		}
	case HandedOver:
		return []int64{a.PatientID, a.DoctorID, a.FormerDoctorID}
	case Cancelled:
		if !a.WasBooked && actorID == a.PatientID {
			return []int64{a.DoctorID}
		}
		if !a.WasBooked && actorID == a.DoctorID {
			return []int64{a.PatientID}
		}
	}
	return []int64{a.PatientID, a.DoctorID}
}
