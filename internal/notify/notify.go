// Package notify tells people by e-mail what happened to their appointments and accounts, and reminds them. A mail is a
// job that is written in the transaction of the change it tells of; when its turn comes it is judged again, so that
// nobody hears of what is no longer so. Mails name people, times and the clinic, and nothing clinical: no reason, no
// note, no message, not even a specialization.
package notify

import (
	"context"
	"time"
)

// Kind is what a mail says. It is stored, and what preferences speak of.
type Kind string

// The kinds.
const (
	RequestReceived Kind = "request_received" // to the doctor, who answers, and to the patient as a receipt
	Confirmed       Kind = "confirmed"
	Rejected        Kind = "rejected"
	Cancelled       Kind = "cancelled"
	Rescheduled     Kind = "rescheduled"
	HandedOver      Kind = "handed_over"
	Expired         Kind = "expired"
	ReminderDay     Kind = "reminder_day"  // a day before
	ReminderHour    Kind = "reminder_hour" // an hour before
	Unread          Kind = "unread"        // messages wait in conversations
	WaitlistOffer   Kind = "waitlist_offer"

	// Security mail goes to unverified addresses too, and nobody can turn it off.
	Invitation    Kind = "invitation"
	PasswordReset Kind = "password_reset"
	VerifyEmail   Kind = "verify_email"
	EmailChanged  Kind = "email_changed"
)

// Kinds are those that preferences may switch, in the order in which a person would want to see them.
var Kinds = []Kind{RequestReceived, Confirmed, Rejected, Cancelled, Rescheduled, HandedOver, Expired, ReminderDay, ReminderHour, Unread, WaitlistOffer}

// Security tells whether k is mail about the account itself.
func (k Kind) Security() bool {
	return k == Invitation || k == PasswordReset || k == VerifyEmail || k == EmailChanged
}

// Urgent tells whether k is of no use later, and so does not wait for the end of quiet hours.
func (k Kind) Urgent() bool { return k.Security() || k == WaitlistOffer || k == ReminderHour }

// Appointment is what mails need to know of one.
type Appointment struct {
	ID       int64
	PublicID string
	// Version grows with every change: a mail about an older one is not sent any more.
	Version int
	// Status is PENDING, BOOKED and so on.
	Status string
	// StartsAt and EndsAt are nil for a request without a time.
	StartsAt, EndsAt *time.Time
	// TimeZone is the doctor's, an IANA name.
	TimeZone                string
	PatientID, DoctorID     int64
	PatientName, DoctorName string
	UpdatedAt               time.Time
	// WasBooked says that it has been BOOKED at some time before the move, so that calendars may have it; FormerDoctorID
	// who handed it over, FormerStart when it was to begin before. Only Moved reads them.
	WasBooked      bool
	FormerDoctorID int64
	FormerStart    *time.Time
}

// Addressee is a person who may get mail.
type Addressee struct {
	ID          int64
	Name, Email string
	Verified    bool // the address is known to be his
	Active      bool // the account is not disabled
}

// Appointments tell how an appointment stands when a mail's turn comes.
type Appointments interface {
	// Appointment gives one by its key; errs.NotFound where it is gone.
	Appointment(ctx context.Context, id int64) (Appointment, error)
}

// People tell who gets mail.
type People interface {
	// Addressee gives a user by his key; errs.NotFound where he is gone.
	Addressee(ctx context.Context, userID int64) (Addressee, error)
}

// Preferences tell what a person wants.
type Preferences interface {
	// Decide tells whether a mail of a kind, due at the time, is wanted at all, and not before when. A notBefore that
	// is not after at means now.
	Decide(ctx context.Context, userID int64, kind string, urgent bool, at time.Time) (send bool, notBefore time.Time, err error)
	// Zone is the time zone that the person has chosen, nil for none.
	Zone(ctx context.Context, userID int64) (*time.Location, error)
}

// Inbox tells what still waits to be read.
type Inbox interface {
	// Unread gives the number of a user's conversations with unread messages.
	Unread(ctx context.Context, userID int64) (conversations int, err error)
}

// Standing tells whether what a mail leads to is still to be had.
type Standing interface {
	// Stands tells it of the token of an Invitation, a PasswordReset or a VerifyEmail, and of the id of a WaitlistOffer.
	Stands(ctx context.Context, kind Kind, key string) (bool, error)
}

// Calendar makes calendar objects.
type Calendar interface {
	// Message gives the appointment as text/calendar with a METHOD (REQUEST or CANCEL; RFC 5546). A later version
	// has a higher SEQUENCE, so that calendars replace what they have.
	Message(method string, a Appointment, recipient Addressee) ([]byte, error)
}

// Statuses of an appointment that mails depend on.
const (
	pending   = "PENDING"
	booked    = "BOOKED"
	rejected  = "REJECTED"
	cancelled = "CANCELLED"
	expired   = "EXPIRED"
)

// statusOf is how an appointment must stand for a mail about it still to be true.
var statusOf = map[Kind]string{
	RequestReceived: pending, Confirmed: booked, Rescheduled: booked, HandedOver: booked, Rejected: rejected, Cancelled: cancelled, Expired: expired,
	ReminderDay: booked, ReminderHour: booked,
}

// ahead is how long before the start a reminder is due.
var ahead = map[Kind]time.Duration{ReminderDay: 24 * time.Hour, ReminderHour: time.Hour}

// still tells whether a mail about a, written for another state of it, is worth sending at the time now.
func still(m moveArgs, a Appointment, now time.Time) bool {
	if m.Former {
		return m.Recipient != a.DoctorID // else it is his again; no later mail would tell him that it is not
	}
	waits := (m.Notice == Rescheduled || m.Notice == HandedOver) && a.Status == pending // for the doctor's answer
	if a.Status != statusOf[m.Notice] && !waits || m.Recipient != a.PatientID && m.Recipient != a.DoctorID {
		return false
	}
	if a.Status == booked && a.EndsAt != nil && !now.Before(*a.EndsAt) {
		return false // it is over
	}
	if ahead[m.Notice] == 0 {
		return a.Version == m.Version
	}
	if a.StartsAt == nil || !a.StartsAt.Equal(m.StartsAt) {
		return false
	}
	// The day's reminder gives way to the hour's, that one to the appointment itself.
	return now.Before(useless(m.Notice, m.StartsAt))
}

// soonest is the start, before or after the move, that comes first: whoever is told only then has gone there in vain, or not
// at all. Zero where there is none.
func soonest(a Appointment) (first time.Time) {
	for _, start := range []*time.Time{a.FormerStart, a.StartsAt} {
		if start != nil && (first.IsZero() || start.Before(first)) {
			first = start.UTC()
		}
	}
	return first
}

// useless is from when on a reminder has nothing more to say.
func useless(k Kind, start time.Time) time.Time {
	if k == ReminderDay {
		return start.Add(-ahead[ReminderHour])
	}
	return start
}

// recipients are who hears of a move: everybody whom it concerns, less whoever knows because he did it. actorID is 0
// for the system.
func recipients(k Kind, a Appointment, actorID int64) []int64 {
	switch k {
	case Rejected, Expired:
		if !a.WasBooked { // else the doctor's calendar may still have it
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
