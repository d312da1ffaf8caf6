package hms

import (
	"net/http"
	"strings"
	"time"

	"housecall/internal/appointment"
	"housecall/internal/errs"
)

// envelope turns an error into the one message that the older pages show. They know few statuses: 400 for bad input,
// and 409 for a state that forbids the request.
func envelope(status int, e *errs.Error) (int, any) {
	switch status {
	case http.StatusUnprocessableEntity:
		status = http.StatusBadRequest
	case http.StatusPreconditionFailed:
		status = http.StatusConflict
	}
	return status, map[string]string{"message": sentence(e)}
}

// sentence returns everything that an error says as one text, with the field names of the older pages.
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

// olderNames maps other packages' field names to those of the older pages.
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

// offering adds free times to a refusal's message, in a doctor's zone: the older pages show nothing but the message.
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
