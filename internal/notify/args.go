package notify

import (
	"encoding/json"
	"fmt"
	"time"

	"housecall/internal/auth"
)

// moveArgs are an email about an appointment. The unique fields identify the email: for reminders they leave out the
// version, so an appointment that is moved away and back has one reminder.
type moveArgs struct {
	MailKind    Kind  `json:"notice" river:"unique"`
	Appointment int64 `json:"appointment" river:"unique"`
	Recipient   int64 `json:"recipient" river:"unique"`
	// Edition is the version, 0 for reminders; Due is when a reminder is due, zero for others.
	Edition int       `json:"edition" river:"unique"`
	Due     time.Time `json:"due" river:"unique"`
	Version int       `json:"version"`
	// StartsAt and EndsAt are the time that a reminder is about, or that a doctor has handed over; zero for others.
	StartsAt time.Time `json:"startsAt"`
	EndsAt   time.Time `json:"endsAt,omitzero"`
	// Was and WasEnd are the time before the move. Gone and GoneEnd are the one in calendars, if that is another because
	// the appointment was not BOOKED before the move, but earlier. Zero for none.
	Was       time.Time `json:"was,omitzero"`
	WasEnd    time.Time `json:"wasEnd,omitzero"`
	Gone      time.Time `json:"gone,omitzero"`
	GoneEnd   time.Time `json:"goneEnd,omitzero"`
	WasBooked bool      `json:"wasBooked"`
	ByPatient bool      `json:"byPatient,omitempty"` // the patient did it
	By        string    `json:"by,omitempty"`        // who did it: one of the by… below, "" in jobs of older releases
	// Asked means that it was a request when it was handed over; Zone is the doctor's who handed it over.
	Asked bool   `json:"asked,omitempty"`
	Zone  string `json:"zone,omitempty"`
	// Soonest is the start that a move is about (see soonest), zero for reminders: quiet hours that last longer do not
	// delay the email.
	Soonest time.Time `json:"soonest,omitzero"`
	Former  bool      `json:"former,omitempty"` // the recipient has handed the appointment over
	// PublicID is the appointment's, for administrators who look at jobs.
	PublicID string `json:"publicId,omitempty"`
}

// Who made a move.
const (
	byPatient = "patient"
	byDoctor  = "doctor"
	byClinic  = "clinic" // its staff, or the system
)

// Kind implements jobs.Args.
func (moveArgs) Kind() string { return "mail_appointment" }

// userArgs are an email to a user about something else. Ref identifies the email; if it is derived from a token, it
// does not reveal it. Sealed is the letter.
type userArgs struct {
	MailKind Kind   `json:"notice" river:"unique"`
	User     int64  `json:"user" river:"unique"`
	Ref      string `json:"ref" river:"unique"`
	Sealed   string `json:"sealed"`
}

// Kind implements jobs.Args.
func (userArgs) Kind() string { return "mail_user" }

// enrolledArgs are a userArgs of the kind Enrolled, as a kind of job that instances of the release before do not know:
// they leave it to others, while they would drop a mail_user of an unknown kind.
type enrolledArgs userArgs

// Kind implements jobs.Args.
func (enrolledArgs) Kind() string { return "mail_enrolled" }

// letter is what userArgs seal.
type letter struct {
	Token         string    `json:"token,omitempty"`
	Address       string    `json:"address,omitempty"` // where it goes, "" for the account's own
	Expires       time.Time `json:"expires,omitzero"`
	Conversations int       `json:"conversations,omitempty"`
	Offer         string    `json:"offer,omitempty"`
	Doctor        string    `json:"doctor,omitempty"`
	Zone          string    `json:"zone,omitempty"`
	StartsAt      time.Time `json:"startsAt,omitzero"`
}

// sealPurpose keeps what waits in jobs apart from whatever else is sealed.
const sealPurpose = "notify job"

func (s *Service) seal(l letter) (string, error) {
	plain, err := json.Marshal(l)
	if err != nil {
		return "", fmt.Errorf("encode a letter: %w", err)
	}
	return s.sealer.Seal(sealPurpose, plain), nil
}

func (s *Service) open(sealed string) (l letter, err error) {
	plain, err := s.sealer.Open(sealPurpose, sealed)
	if err != nil {
		return l, err
	}
	if err := json.Unmarshal(plain, &l); err != nil {
		return l, fmt.Errorf("decode a letter: %w", err)
	}
	return l, nil
}

// ref returns a short name for what identifies an email, without revealing it.
func ref(parts ...string) string { return auth.Reference("mail", parts...) }
