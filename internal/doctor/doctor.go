// Package doctor keeps the doctors' profiles, the public directory, and the routes for hours and booking rules
// (schedule holds those).
package doctor

import (
	"housecall/internal/errs"
	"housecall/internal/text"
)

// Bounds of a profile, in characters and years.
const (
	MaxText       = 200
	MaxExperience = 80
)

// Doctor is a doctor's profile, with what others need to know about their user and schedule.
type Doctor struct {
	ID             int64  // users.id
	UserID         string // public id
	Name           string
	Specialization string
	Qualification  string
	Experience     int    // years
	Phone          string // as typed; not for the public
	PhoneE164      string // "" if it cannot be told
	TimeZone       string // IANA
	SlotMinutes    int
	Version        int  // of the profile; hours and rules have another
	Active         bool // has the role and is not disabled, so can be found and booked
	Invited        bool // has not accepted the invitation yet, so cannot answer
}

func (d Doctor) brief() Brief {
	return Brief{
		ID: d.ID, UserID: d.UserID, Name: d.Name, Specialization: d.Specialization, Active: d.Active, Invited: d.Invited,
	}
}

// Brief is who a doctor is, without profile and schedule: enough for a name in a list.
type Brief struct {
	ID             int64  // users.id
	UserID         string // public id
	Name           string
	Specialization string
	Active         bool // as in Doctor
	Invited        bool // as in Doctor
}

// Profile is what doctors can say about themselves.
type Profile struct {
	Specialization string
	Qualification  string
	Experience     int // years
	Phone          string

	phoneE164 string
}

// folded is what a profile is searched by, and what that was made from.
func (p Profile) folded() (folded, from string) {
	return text.Fold(p.Specialization) + "\n" + text.Fold(p.Qualification), p.Specialization + "\n" + p.Qualification
}

// Change is a change of a profile: nil leaves a field as it is.
type Change struct {
	Specialization *string
	Qualification  *string
	Experience     *int
	Phone          *string
}

// apply returns the profile after the change.
func (c Change) apply(p Profile) Profile {
	set(&p.Specialization, c.Specialization)
	set(&p.Qualification, c.Qualification)
	set(&p.Experience, c.Experience)
	set(&p.Phone, c.Phone)
	return p
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// normalize trims the texts and reads the phone number (see text.ReadPhone for region); its error names every field
// that is out of bounds.
func (p Profile) normalize(region string) (Profile, error) {
	var bad []errs.Field
	clean := func(s *string, path string) {
		var err error
		if *s, err = (text.Rule{Max: MaxText}).Clean(*s); err != nil {
			bad = append(bad, errs.Field{Path: path, Message: err.Error()})
		}
	}
	clean(&p.Specialization, "body.specialization")
	clean(&p.Qualification, "body.qualification")
	phone, err := text.PhoneField("body.phone", p.Phone, region)
	if err != nil {
		bad = append(bad, *err)
	}
	p.Phone, p.phoneE164 = phone.Typed, phone.E164
	if p.Experience < 0 || p.Experience > MaxExperience {
		bad = append(bad, errs.Field{Path: "body.experience", Message: "must be between 0 and 80 years"})
	}
	if len(bad) > 0 {
		return p, errs.InvalidFields(bad...)
	}
	return p, nil
}
