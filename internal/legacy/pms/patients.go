package pms

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"housecall/internal/account"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/patient"
)

// pageSize is how many entries are read at a time. This API has no pages, so it reads all of them.
const pageSize = 500

// patientBody is an entry of the registry. Unknown values are left out.
type patientBody struct {
	PatientID   int64  `json:"patientId"`
	PatientName string `json:"patientName"`
	DoctorID    int64  `json:"doctorId,omitempty"`
	DoctorName  string `json:"doctorName,omitempty"`
	Status      string `json:"status"`
	Contact     string `json:"contact,omitempty"`
	Gender      string `json:"gender,omitempty"`
	DateOfBirth string `json:"dateOfBirth,omitempty"`
	Address     string `json:"address,omitempty"`
	Created     string `json:"created"`
	Updated     string `json:"updated"`
	CreatedBy   int64  `json:"createdBy,omitempty"` // numbers of users, for staff only
	UpdatedBy   int64  `json:"updatedBy,omitempty"`
}

func (a api) patientBody(p patient.Patient) patientBody {
	b := patientBody{
		PatientID: p.ID, PatientName: p.Name, Status: "Patient record created", Contact: p.Phone,
		Gender:  genderNumber(p.Gender),
		Address: p.Address, Created: a.stamp(p.CreatedAt), Updated: a.stamp(p.UpdatedAt),
	}
	if p.Doctor != nil {
		b.DoctorID, b.DoctorName, b.Status = p.Doctor.ID, p.Doctor.Name, "Doctor assigned"
	}
	if p.DateOfBirth != nil {
		b.DateOfBirth = p.DateOfBirth.Format(time.DateOnly)
	}
	return b
}

// registerPatient adds a user to the registry.
func (a api) registerPatient(ctx context.Context, c call) (reply, error) {
	id := c.id("id")
	if err := c.err(); err != nil {
		return reply{}, err
	}
	_, err := a.Patients.Register(ctx, c.actor, id)
	if errs.KindOf(err) == errs.NotFound {
		return reply{}, refusal(sayNotUser)
	}
	return reply{message: "Patient registered successfully"}, err
}

// listPatients answers staff with everyone whom they may see, and users with their own entry, not as a list.
func (a api) listPatients(ctx context.Context, c call) (reply, error) {
	all := []patientBody{}
	for after, more := int64(0), true; more; {
		page, next, err := a.Patients.List(ctx, c.actor, after, pageSize)
		if err != nil {
			return reply{}, err
		}
		for _, p := range page {
			b := a.patientBody(p)
			if c.actor.Role != auth.Patient {
				b.CreatedBy, b.UpdatedBy = p.CreatedBy, p.UpdatedBy
			}
			all = append(all, b)
		}
		if more = next; more {
			after = page[len(page)-1].ID
		}
	}
	r := reply{message: "Success", data: all}
	if c.actor.Role == auth.Patient {
		if r.data = nil; len(all) > 0 {
			r.data = all[0]
		}
	}
	return r, nil
}

// assignDoc assigns the doctor whom an admin names; doctors assign themselves.
func (a api) assignDoc(ctx context.Context, c call) (reply, error) {
	c.require("patientId")
	if c.actor.Role == auth.Admin && !c.given("docId") {
		c.refuse("docId", "is required")
	}
	patientID, docID := c.id("patientId"), c.id("docId")
	if err := c.err(); err != nil {
		return reply{}, err
	}
	doctor, err := a.assignable(ctx, c, docID)
	if err != nil {
		return reply{}, err
	}
	u, err := a.find(ctx, patientID, sayNoPatient)
	if err != nil {
		return reply{}, err
	}
	p, err := a.Patients.Assign(ctx, c.actor, u.PublicID, patient.AnyVersion, doctor.PublicID)
	switch errs.KindOf(err) {
	case errs.NotFound:
		return reply{}, refusal(sayNoPatient)
	case errs.Invalid: // somebody who was a doctor until a moment ago
		return reply{}, refusal(sayNoDoctor)
	default:
	}
	message := p.Name + " is assigned to you"
	if c.actor.Role == auth.Admin {
		message = fmt.Sprintf("%s is assigned for %s", titled(doctor.Name), p.Name)
	}
	return reply{message: message}, err
}

// assignable returns the doctor to assign.
func (a api) assignable(ctx context.Context, c call, docID int64) (account.User, error) {
	switch {
	case c.actor.Role == auth.Doctor && docID != 0 && docID != c.actor.ID:
		return account.User{}, refusal("docId is not required")
	case c.actor.Role == auth.Doctor:
		docID = c.actor.ID
	}
	return a.doctor(ctx, docID)
}

// doctor finds the doctor with a number.
func (a api) doctor(ctx context.Context, id int64) (account.User, error) {
	u, err := a.find(ctx, id, sayNoDoctor)
	if err == nil && (u.Role != auth.Doctor || u.DisabledAt != nil) {
		return account.User{}, refusal(sayNoDoctor)
	}
	return u, err
}

// titled puts the title that old clients expect before a doctor's name, unless the name begins with one.
func titled(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '.' || unicode.IsSpace(r) })
	if len(words) > 0 && slices.Contains(titles, strings.ToLower(words[0])) {
		return name
	}
	return "Dr." + name
}

// titles are the words of a title, in small letters and without their dots. "Drew" is a name.
var titles = []string{"dr", "doctor", "prof", "professor"}
