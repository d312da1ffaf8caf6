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

// event is what the conversation says about a move that led to a, with times in the doctor's zone. It contains
// nothing that anyone typed, because the log is shown in more places than the appointment.
func event(m Move, by side, a Appointment, zone *time.Location) string {
	at, when := "", ""
	if a.StartsAt != nil {
		when = a.StartsAt.In(zone).Format("Mon 2 Jan 2006, 15:04") + " (" + zone.String() + ")"
		at = " for " + when
	}
	switch m {
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
		return "The request" + at + " was declined by the " + string(by) + "."
	case MoveExpire:
		return "The request" + at + " expired without an answer."
	case MoveReschedule:
		return "The appointment was moved by the " + string(by) + " to " + when + "."
	case MoveAskAnew:
		return "The " + string(by) + " asked to move the appointment to " + when + ". The doctor has to confirm it."
	case MoveComplete:
		return "The appointment was completed."
	case MoveNoShow:
		return "The patient did not come to the appointment" + at + "."
	case MoveHandOver:
		return "The appointment was handed over to another doctor, " + a.Doctor.Name + "."
	default:
		return "The appointment" + at + " was cancelled by the " + string(by) + "."
	}
}
