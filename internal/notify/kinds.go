package notify

import (
	"time"

	"housecall/internal/appointment"
)

// Kind says what an email is about. Jobs, preferences and templates refer to it by its text, which must never change.
type Kind string

// The kinds.
const (
	RequestReceived Kind = "request_received" // to the doctor, who answers, and to the patient as a receipt
	Confirmed       Kind = "confirmed"
	Rejected        Kind = "rejected"
	Cancelled       Kind = "cancelled"
	Rescheduled     Kind = "rescheduled"
	TimeProposed    Kind = "time_proposed"  // another time, to be answered
	ProposalEnded   Kind = "proposal_ended" // without an acceptance
	HandedOver      Kind = "handed_over"    // to another doctor
	Expired         Kind = "expired"        // a request that nobody answered in time
	ReminderDay     Kind = "reminder_day"   // a day before
	ReminderHour    Kind = "reminder_hour"  // an hour before
	Unread          Kind = "unread"         // there are unread messages
	WaitlistOffer   Kind = "waitlist_offer"

	Invitation    Kind = "invitation"
	Enrolled      Kind = "enrolled" // a new account, with a password that the clinic has
	PasswordReset Kind = "password_reset"
	VerifyEmail   Kind = "verify_email"
	EmailChanged  Kind = "email_changed"
)

// traits are the properties of a kind.
type traits struct {
	kind Kind
	// status is the one that an appointment must have for an email about it to be true; "" for mail about something else.
	status appointment.Status
	// proposal mail is about another time for an appointment, which stands meanwhile.
	proposal bool
	// ahead is how long before the start a reminder is due; 0 for other mail.
	ahead time.Duration
	// security mail is about the account itself: it goes to unverified addresses too, and nobody can turn it off.
	security bool
	// urgent mail is of no use later, so it does not wait for the end of quiet hours.
	urgent bool
	// fleeting mail leads to something that may be gone by the time it is sent; Standing knows.
	fleeting bool
}

// table is the one list of kinds, in the order in which a person would want to see them.
var table = []traits{
	{kind: RequestReceived, status: appointment.Pending},
	{kind: Confirmed, status: appointment.Booked},
	{kind: Rejected, status: appointment.Rejected},
	{kind: Cancelled, status: appointment.Cancelled},
	{kind: Rescheduled, status: appointment.Booked},
	{kind: TimeProposed, proposal: true},
	{kind: ProposalEnded, proposal: true},
	{kind: HandedOver, status: appointment.Booked},
	{kind: Expired, status: appointment.Expired},
	{kind: ReminderDay, status: appointment.Booked, ahead: 24 * time.Hour},
	{kind: ReminderHour, status: appointment.Booked, ahead: time.Hour, urgent: true},
	{kind: Unread},
	{kind: WaitlistOffer, urgent: true, fleeting: true},
	{kind: Invitation, security: true, urgent: true, fleeting: true},
	{kind: Enrolled, security: true, urgent: true, fleeting: true},
	{kind: PasswordReset, security: true, urgent: true, fleeting: true},
	{kind: VerifyEmail, security: true, urgent: true, fleeting: true},
	{kind: EmailChanged, security: true, urgent: true},
}

// Kinds returns all kinds.
func Kinds() []Kind { return kindsWith(func(traits) bool { return true }) }

// Optional returns the kinds that people can turn off, in the order in which they would want to see them.
func Optional() []Kind { return kindsWith(func(t traits) bool { return !t.security }) }

func kindsWith(wanted func(traits) bool) []Kind {
	var out []Kind
	for _, t := range table {
		if wanted(t) {
			out = append(out, t.kind)
		}
	}
	return out
}

// traits returns the traits of a kind; the zero value for a kind that does not exist.
func (k Kind) traits() traits {
	for _, t := range table {
		if t.kind == k {
			return t
		}
	}
	return traits{}
}

// Security reports whether k is mail about the account itself.
func (k Kind) Security() bool { return k.traits().security }

// Urgent reports whether k is of no use later, and so does not wait for the end of quiet hours.
func (k Kind) Urgent() bool { return k.traits().urgent }

// Fleeting reports whether k leads to something that may be gone by the time it is sent.
func (k Kind) Fleeting() bool { return k.traits().fleeting }

// move reports whether k is about a change of an appointment.
func (k Kind) move() bool { return k.traits().status != "" && !k.reminder() }

// reminder reports whether k is a reminder of an appointment.
func (k Kind) reminder() bool { return k.traits().ahead != 0 }

// template is the name of the file that words k.
func (k Kind) template() string { return string(k) + ".txt" }
