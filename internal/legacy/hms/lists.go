package hms

import (
	"context"
	"net/http"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/account"
	"housecall/internal/auth"
	"housecall/internal/doctor"
	"housecall/internal/patient"
)

// Lists of people are newest first, as the older server had them.

// listedPatient is a patient in a list of people.
type listedPatient struct {
	patientBody
	Role      string `json:"role"`
	CreatedAt string `json:"createdAt"`
}

// listedDoctor is a doctor in a list of people. Gender and age are not stored, so they are null.
type listedDoctor struct {
	doctorBody
	Role      string  `json:"role"`
	Gender    *string `json:"gender"`
	Age       *int    `json:"age"`
	CreatedAt string  `json:"createdAt"`
}

func (a api) doctorsForPatients(c *fiber.Ctx, _ auth.Actor) error {
	return a.answerDoctors(c, "Doctors Fetched Successfully", "data")
}

func (a api) allDoctors(c *fiber.Ctx, _ auth.Actor) error {
	return a.answerDoctors(c, "All Doctors Fetched Successfully", "doctors")
}

// answerDoctors lists the newest listMost doctors who can be booked.
func (a api) answerDoctors(c *fiber.Ctx, message, name string) error {
	found, err := newest(func(before int64) ([]doctor.Doctor, bool, error) {
		return a.Doctors.Newest(c.UserContext(), before, pageSize)
	}, doctorID)
	if err != nil {
		return err
	}
	accounts, err := accountsOf(c.UserContext(), a, found, doctorID)
	if err != nil {
		return err
	}
	out := make([]listedDoctor, len(found))
	for i, d := range found {
		u := accounts[d.ID]
		out[i] = listedDoctor{
			doctorBody: doctorOf(d, u.Email), Role: account.RoleWord(u.Role), CreatedAt: moment(u.CreatedAt),
		}
	}
	return answer(c, http.StatusOK, message, name, out)
}

// allPatients lists the newest listMost entries of the registry.
func (a api) allPatients(c *fiber.Ctx, by auth.Actor) error {
	found, err := newest(func(before int64) ([]patient.Patient, bool, error) {
		return a.Patients.Newest(c.UserContext(), by, before, pageSize)
	}, patientID)
	if err != nil {
		return err
	}
	accounts, err := accountsOf(c.UserContext(), a, found, patientID)
	if err != nil {
		return err
	}
	out := make([]listedPatient, len(found))
	for i, p := range found {
		u := accounts[p.ID]
		out[i] = listedPatient{
			patientBody: patientOf(p, u.Email, a.Now()), Role: account.RoleWord(u.Role), CreatedAt: moment(u.CreatedAt),
		}
	}
	return answer(c, http.StatusOK, "All Patients Fetched Successfully", "patients", out)
}

func doctorID(d doctor.Doctor) int64    { return d.ID }
func patientID(p patient.Patient) int64 { return p.ID }

// newest reads up to listMost people page by page. A page holds those before an id, 0 for the first.
func newest[T any](page func(before int64) (part []T, more bool, err error), id func(T) int64) ([]T, error) {
	var found []T
	before := int64(0)
	for len(found) < listMost {
		part, more, err := page(before)
		if err != nil {
			return nil, err
		}
		found = append(found, part...)
		if !more {
			break
		}
		before = id(part[len(part)-1])
	}
	return found, nil
}

// accountsOf returns the accounts of people by id.
func accountsOf[T any](ctx context.Context, a api, all []T, id func(T) int64) (map[int64]account.User, error) {
	ids := make([]int64, len(all))
	for i, one := range all {
		ids[i] = id(one)
	}
	return a.Accounts.ByIDs(ctx, ids...)
}
