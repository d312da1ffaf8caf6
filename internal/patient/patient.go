// Package patient is the registry of patients: who they are and which doctor is assigned to them. It has no medical
// data.
package patient

import (
	"time"

	"housecall/internal/errs"
	"housecall/internal/text"
)

// MaxAddress is the longest address, in characters.
const MaxAddress = 500

// earliestBirth is the first year of birth that is accepted: nobody alive was born before.
const earliestBirth = 1900

// Genders as they are stored and sent; the empty one is unknown.
const (
	GenderMale   = "male"
	GenderFemale = "female"
	GenderOther  = "other"
)

// AnyVersion makes a change apply to any version. Versions begin at 1.
const AnyVersion = 0

// Patient is an entry of the registry.
type Patient struct {
	ID          int64  // users.id
	UserID      string // public id
	Name        string
	Phone       string     // as typed
	PhoneE164   string     // "" if it cannot be told
	Gender      string     // male, female, other or empty
	DateOfBirth *time.Time // midnight UTC of the day; nil: unknown
	StatedAge   *StatedAge // nil: none
	Address     string
	Doctor      *Assigned // nil: none
	Active      bool      // the user is not disabled
	Version     int
	CreatedAt   time.Time
	UpdatedAt   time.Time
	CreatedBy   int64 // users.id of who made the entry, and who changed it last; 0: the system, or not known
	UpdatedBy   int64
}

// Assigned names a patient's assigned doctor.
type Assigned struct {
	ID     int64
	UserID string
	Name   string
}

// Details are what patients tell about themselves.
type Details struct {
	Phone       string
	Gender      string
	DateOfBirth *time.Time
	StatedAge   *StatedAge
	Address     string

	phoneE164 string
}

// Change is a change of details: nil leaves a field as it is. A zero DateOfBirth clears it. Age is stated today.
type Change struct {
	Phone       *string
	Gender      *string
	DateOfBirth *time.Time
	Age         *int
	Address     *string
}

func (p Patient) details() Details {
	return Details{
		Phone: p.Phone, Gender: p.Gender, DateOfBirth: p.DateOfBirth, StatedAge: p.StatedAge, Address: p.Address,
	}
}

// apply returns the details after the change, made today.
func (c Change) apply(d Details, today time.Time) (Details, error) {
	if c.Phone != nil {
		d.Phone = *c.Phone
	}
	if c.Gender != nil {
		d.Gender = *c.Gender
	}
	if c.Address != nil {
		d.Address = *c.Address
	}
	if c.DateOfBirth != nil {
		if d.DateOfBirth = c.DateOfBirth; c.DateOfBirth.IsZero() {
			d.DateOfBirth = nil
		}
	}
	if c.Age != nil {
		return d.stateAge(*c.Age, today)
	}
	return d, nil
}

// normalize trims the texts and reads the phone number (see text.ReadPhone for region); its error names every field
// that breaks a rule. now is the latest date of birth.
func (d Details) normalize(now time.Time, region string) (Details, error) {
	var bad []errs.Field
	refuse := func(path, message string) { bad = append(bad, errs.Field{Path: path, Message: message}) }
	phone, wrong := text.PhoneField("body.phone", d.Phone, region)
	if wrong != nil {
		bad = append(bad, *wrong)
	}
	d.Phone, d.phoneE164 = phone.Typed, phone.E164
	switch d.Gender {
	case "", GenderMale, GenderFemale, GenderOther:
	default:
		refuse("body.gender", "must be male, female, other or empty")
	}
	var err error
	if d.Address, err = (text.Rule{Max: MaxAddress}).Clean(d.Address); err != nil {
		refuse("body.address", err.Error())
	}
	if b := d.DateOfBirth; b != nil {
		// The day may already have begun in the patient's zone: zones reach 14 hours ahead of UTC.
		if b.Year() < earliestBirth || b.After(now.UTC().Add(14*time.Hour)) {
			refuse("body.dateOfBirth", "must be between 1900 and today")
		}
	}
	if a := d.StatedAge; a != nil {
		if a.Years < 0 || a.Years > MaxAge {
			refuse("body.age", "must be between 0 and 130 years")
		}
		if a.On.IsZero() {
			d.StatedAge = &StatedAge{Years: a.Years, On: dayOf(now)}
		}
	}
	if len(bad) > 0 {
		return d, errs.InvalidFields(bad...)
	}
	return d, nil
}

// ParseDate reads a date of birth, "YYYY-MM-DD", as midnight UTC. It is never the zero time, which would clear one.
func ParseDate(s string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return time.Time{}, errs.InvalidField("body.dateOfBirth", "must be a date such as 1990-12-31")
	}
	if t.Year() < earliestBirth {
		return time.Time{}, errs.InvalidField("body.dateOfBirth", "must be between 1900 and today")
	}
	return t, nil
}
