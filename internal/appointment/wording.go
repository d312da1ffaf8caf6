package appointment

import (
	"time"
)

// Longest texts, in characters.
const (
	MaxReason    = 1000 // of a request, from the patient
	MaxNote      = 1000 // of a confirmation, from the doctor
	MaxEndReason = 500  // of a rejection or cancellation
	MaxSummary   = 4000 // of a completion, from the doctor
)

// event is what the conversation says about a move, with times in the doctor's zone. It contains nothing that anyone
// typed, because the log is shown in more places than the appointment.
func event(m made) string {
	if m.a.Proposal != nil || m.read.Proposal != nil {
		if said := proposalEvent(m); said != "" {
			return said
		}
	}
	a, by, when := m.a, string(m.side), m.when(m.a.StartsAt)
	at := ""
	if when != "" {
		at = " for " + when
	}
	switch m.move {
	case MoveBook:
		switch {
		case at == "":
			return "Appointment requested. The doctor will set the time."
		case a.Status == Booked:
			return "Appointment booked" + at + "."
		}
		return "Appointment requested" + at + "."
	case MoveConfirm:
		return "Appointment confirmed" + at + "."
	case MoveReject:
		return "The request" + at + " was declined by the " + by + "."
	case MoveExpire:
		return "The request" + at + " expired without an answer."
	case MoveReschedule:
		return "The appointment was moved by the " + by + m.from() + " to " + when + "."
	case MoveAskAnew:
		return "The " + by + " changed the requested time" + m.from() + " to " + when + ". The doctor has to confirm it."
	case MoveComplete:
		return "The appointment was completed."
	case MoveNoShow:
		return "The patient did not come to the appointment" + at + "."
	case MoveHandOver:
		said := "The appointment was handed over to another doctor, " + a.Doctor.Name + "."
		if m.read.Proposal != nil {
			said += " The other time that the patient asked for is no longer kept."
		}
		return said
	default:
		return "The appointment" + at + " was cancelled by the " + by + "."
	}
}

// proposalEvent is event for moves that make, answer or end a proposal; "" for others, even if they end one.
func proposalEvent(m made) string {
	by, stands := string(m.side), ""
	if m.a.Status == Booked {
		stands = " It stays on " + m.when(m.a.StartsAt) + "."
	}
	was := ""
	if m.read.Proposal != nil {
		was = m.when(&m.read.Proposal.StartsAt)
	}
	switch m.move {
	case MoveAskAnew:
		return "The " + by + " asked to move the appointment from " + m.when(m.a.StartsAt) + " to " +
			m.when(&m.a.Proposal.StartsAt) + ". Until the doctor has confirmed it, the appointment stays where it is."
	case MovePropose:
		return "The " + by + " proposed another time, " + m.when(&m.a.Proposal.StartsAt) + ". The patient has to accept it."
	case MoveConfirm:
		return "The appointment was moved from " + m.when(m.read.StartsAt) + " to " + m.when(m.a.StartsAt) + "."
	case MoveAccept:
		return "The proposed time was accepted. Appointment confirmed for " + m.when(m.a.StartsAt) + "."
	case MoveDecline:
		return "The proposed time, " + was + ", was declined by the " + by + "." + stands
	case MoveWithdraw:
		return "The proposed time, " + was + ", was withdrawn by the " + by + "." + stands
	case MoveLapse:
		return "The proposed time, " + was + ", was not answered in time." + stands
	}
	return ""
}

// from names the time before the move, "" if there was none.
func (m made) from() string {
	if m.read.StartsAt == nil {
		return ""
	}
	return " from " + m.when(m.read.StartsAt)
}

// when words a time in the doctor's zone, "" for nil.
func (m made) when(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.In(m.zone).Format("Mon 2 Jan 2006, 15:04") + " (" + m.zone.String() + ")"
}
