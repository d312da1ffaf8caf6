package appointment

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"housecall/internal/errs"
)

// Longest texts, in characters.
const (
	MaxReason    = 1000 // of a request, by the patient
	MaxNote      = 1000 // of a confirmation, by the doctor
	MaxEndReason = 500  // of a rejection or cancellation
	MaxSummary   = 4000 // of a completion, by the doctor
)

// clean trims a text and refuses what cannot be stored or is too long; path as in errs.Field.
func clean(path, s string, most int) (string, error) {
	s = strings.TrimSpace(s)
	switch {
	case !utf8.ValidString(s) || strings.ContainsRune(s, 0):
		return "", errs.InvalidField(path, "must be valid UTF-8 without U+0000")
	case utf8.RuneCountInString(s) > most:
		return "", errs.InvalidField(path, "must have at most "+strconv.Itoa(most)+" characters")
	}
	return s, nil
}

// event is what the conversation says of a move that led to a, with times in the doctor's zone. It holds nothing
// that anybody typed: the log is shown in more places than the appointment is.
func event(m move, by side, a Appointment, zone *time.Location) string {
	at, when := "", ""
	if a.StartsAt != nil {
		when = a.StartsAt.In(zone).Format("Mon 2 Jan 2006, 15:04") + " (" + zone.String() + ")"
		at = " for " + when
	}
	switch m {
	case moveBook:
		switch {
		case at == "":
			return "Appointment requested. The doctor will set the time."
		case a.Status == Booked:
			return "Appointment booked" + at + "."
		}
		return "Appointment requested" + at + "."
	case moveConfirm:
		return "Appointment confirmed" + at + "."
	case moveReject:
		return "The request" + at + " was declined by the " + string(by) + "."
	case moveExpire:
		return "The request" + at + " expired without an answer."
	case moveReschedule:
		return "The appointment was moved by the " + string(by) + " to " + when + "."
	case moveAskAnew:
		return "The " + string(by) + " asked to move the appointment to " + when + ". The doctor has to confirm it."
	case moveComplete:
		return "The appointment is completed."
	case moveNoShow:
		return "The patient did not come to the appointment" + at + "."
	case moveHandOver:
		return "The appointment was handed over to another doctor, " + a.Doctor.Name + "."
	default:
		return "The appointment" + at + " was cancelled by the " + string(by) + "."
	}
}
