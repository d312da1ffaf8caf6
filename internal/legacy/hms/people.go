package hms

import (
	"context"
	"slices"
	"strings"
	"time"

	"housecall/internal/account"
	"housecall/internal/auth"
	"housecall/internal/doctor"
	"housecall/internal/errs"
	"housecall/internal/patient"
)

// userBody is a signed-in patient or doctor, as their own pages show them.
type userBody struct {
	UserID    string  `json:"userId"`
	Name      string  `json:"name"`
	Email     string  `json:"email"`
	Role      string  `json:"role"`
	PhoneNo   *string `json:"phoneNo"`
	Gender    *string `json:"gender"`
	Age       *int    `json:"age"`
	CreatedAt string  `json:"createdAt"`
}

// adminBody is an administrator.
type adminBody struct {
	AdminID string `json:"adminId"`
	Role    string `json:"role"`
}

// patientBody is a patient as others see them. All but the name is null for those who may not see it.
type patientBody struct {
	UserID  string  `json:"userId"`
	Name    string  `json:"name"`
	Email   *string `json:"email"`
	PhoneNo *string `json:"phoneNo"`
	Gender  *string `json:"gender"`
	Age     *int    `json:"age"`
}

// doctorBody is a doctor. It has the id under three names, since the older pages use different ones.
type doctorBody struct {
	ID             string  `json:"id"`
	DoctorID       string  `json:"doctorId"`
	UserID         string  `json:"userId"`
	Name           string  `json:"name"`
	Email          *string `json:"email"`
	PhoneNo        *string `json:"phoneNo"`
	Specialization string  `json:"specialization"`
	Experience     int     `json:"experience"`
	Qualification  string  `json:"qualification"`
}

func doctorOf(d doctor.Doctor, email string) doctorBody {
	return doctorBody{
		ID: d.UserID, DoctorID: d.UserID, UserID: d.UserID, Name: d.Name, Email: orNull(email), PhoneNo: orNull(d.Phone),
		Specialization: d.Specialization, Experience: d.Experience, Qualification: d.Qualification,
	}
}

func patientOf(p patient.Patient, email string, now time.Time) patientBody {
	return patientBody{
		UserID: p.UserID, Name: p.Name, Email: orNull(email), PhoneNo: orNull(p.Phone), Gender: genderOf(p.Gender),
		Age: ageOf(p, now),
	}
}

func ageOf(p patient.Patient, now time.Time) *int {
	if years, known := p.Age(now); known {
		return &years
	}
	return nil
}

// genderOf returns Male for male and so on; nil if the gender is unknown.
func genderOf(s string) *string {
	if s == "" {
		return nil
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	return &s
}

// gender reads Male or Female, or Other, which genderOf may have returned.
func (f *form) gender() *string {
	g := f.maybe("gender")
	if g == nil {
		return nil
	}
	lower := strings.ToLower(strings.TrimSpace(*g))
	if !slices.Contains([]string{"", patient.GenderMale, patient.GenderFemale, patient.GenderOther}, lower) {
		f.refuse("gender", "must be Male or Female")
		return nil
	}
	return &lower
}

// userOf returns an account's user, with what other packages store for patients and doctors.
func (a api) userOf(ctx context.Context, by auth.Actor, u account.User) (any, error) {
	b := userBody{
		UserID: u.PublicID, Name: u.Name, Email: u.Email, Role: account.RoleWord(u.Role), CreatedAt: moment(u.CreatedAt),
	}
	switch u.Role {
	case auth.Admin:
		return adminBody{AdminID: u.PublicID, Role: b.Role}, nil
	case auth.Doctor:
		d, err := a.Doctors.Get(ctx, u.PublicID)
		if err != nil {
			return nil, err
		}
		b.PhoneNo = orNull(d.Phone)
	case auth.Patient:
		p, err := a.Patients.Get(ctx, by, u.PublicID)
		if errs.KindOf(err) == errs.NotFound {
			return b, nil // the user is not yet registered as a patient
		}
		if err != nil {
			return nil, err
		}
		b.PhoneNo, b.Gender, b.Age = orNull(p.Phone), genderOf(p.Gender), ageOf(p, a.Now())
	}
	return b, nil
}

// actorOf returns the user as an actor, while they are signing in or registering.
func actorOf(u account.User) auth.Actor {
	return auth.Actor{ID: u.ID, UserID: u.PublicID, Name: u.Name, Role: u.Role, MustChangePassword: u.MustChangePassword}
}
