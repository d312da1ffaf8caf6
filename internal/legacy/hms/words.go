package hms

import (
	"net/http"
	"strings"
	"time"

	"housecall/internal/appointment"
	"housecall/internal/errs"
)

// envelope words an error as the older pages show it: one message. They know few statuses; what is wrong with the
// input was always 400 to them, and what is wrong with the state 409.
func envelope(status int, e *errs.Error) (int, any) {
	switch status {
	case http.StatusUnprocessableEntity:
		status = http.StatusBadRequest
	case http.StatusPreconditionFailed:
		status = http.StatusConflict
	}
	return status, map[string]string{"message": sentence(e)}
}

// sentence is all that an error says, in one text: fields by the names that the older pages have for them.
func sentence(e *errs.Error) string {
	if len(e.Fields) == 0 || e.Code != "invalid" {
		return e.Message
	}
	said := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		said[i] = olderName(f.Path) + " " + f.Message + "."
	}
	return strings.Join(said, " ")
}

// olderNames are the fields of other packages that have another name here.
var olderNames = map[string]string{
	"phone": "phoneNo", "dateOfBirth": "age", "startsAt": "date and time", "note": "notes", "text": "message",
}

func olderName(path string) string {
	_, name, found := strings.Cut(path, ".")
	if !found {
		name = path
	}
	if older, ok := olderNames[name]; ok {
		return older
	}
	return name
}

// offering adds free times to a refusal, in a doctor's zone: the older pages show the message and nothing else.
func offering(e *errs.Error, free []appointment.Alternative, zone *time.Location) *errs.Error {
	said := *e
	if len(free) == 0 {
		return &said
	}
	times := make([]string, len(free))
	for i, a := range free {
		times[i] = a.StartsAt.In(zone).Format("2006-01-02 15:04")
	}
	said.Message += " Available times: " + strings.Join(times, ", ") + "."
	return &said
}
