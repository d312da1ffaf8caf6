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

func (a api) doctorInfo(c *fiber.Ctx, by auth.Actor) error {
	d, err := a.Doctors.Get(c.UserContext(), by.UserID)
	if err != nil {
		return err
	}
	return a.answerDoctor(c, by, "Doctor info fetched successfully", d)
}

func (a api) answerDoctor(c *fiber.Ctx, by auth.Actor, message string, d doctor.Doctor) error {
	me, err := a.Accounts.Me(c.UserContext(), by)
	if err != nil {
		return err
	}
	d.Name = me.Name
	return answer(c, http.StatusOK, message, "doctor", doctorOf(d, me.Email))
}

// updateDoctorInfo is updateUser for a doctor's profile.
func (a api) updateDoctorInfo(c *fiber.Ctx, by auth.Actor) error {
	f, err := read(c)
	if err != nil {
		return err
	}
	wish := f.accountWish()
	change := doctor.Change{
		Specialization: f.maybe("specialization"), Qualification: f.maybe("qualification"),
		Experience: f.number("experience"),
		Phone:      f.maybe("phoneNo"),
	}
	if err := f.err(); err != nil {
		return err
	}
	me, err := a.begin(c.UserContext(), by, &wish)
	if err != nil {
		return err
	}
	d, err := a.changeProfile(c.UserContext(), by, change)
	if err != nil {
		return err
	}
	if err := a.rename(c.UserContext(), by, me, wish.name); err != nil {
		return err
	}
	return a.answerDoctor(c, by, "Doctor info updated successfully"+wish.note(), d)
}

func (a api) doctorCounts(c *fiber.Ctx, by auth.Actor) error {
	n, err := a.count(c.UserContext(), by)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, "Dashboard counts fetched successfully", "data", fiber.Map{
		"pendingAppointments": n[pending], "bookedAppointments": n[booked], "rejectedAppointments": n[rejected],
		"totalAppointments": n[pending] + n[booked] + n[rejected],
	})
}

func (a api) adminCounts(c *fiber.Ctx, by auth.Actor) error {
	n, err := a.count(c.UserContext(), by)
	if err != nil {
		return err
	}
	users, err := a.Accounts.CountByRole(c.UserContext())
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, "Dashboard counts fetched successfully", "data", fiber.Map{
		"pendingAppointments": n[pending], "bookedAppointments": n[booked], "rejectedAppointments": n[rejected],
		"totalDoctors": users[auth.Doctor], "totalPatients": users[auth.Patient],
	})
}

// createDoctor makes a doctor with a password that is shown only once, and that they must change.
func (a api) createDoctor(c *fiber.Ctx, by auth.Actor) error {
	f, err := read(c)
	if err != nil {
		return err
	}
	n := doctor.NewDoctor{Name: f.required("name"), Email: f.required("email"), Profile: doctor.Profile{
		Specialization: f.required("specialization"), Qualification: f.text("qualification"), Phone: f.text("phoneNo"),
	}}
	if years := f.number("experience"); years != nil {
		n.Experience = *years
	}
	if err := f.err(); err != nil {
		return err
	}
	d, password, err := a.Doctors.Enroll(c.UserContext(), by, n)
	if err != nil {
		return err
	}
	u, err := a.Accounts.User(c.UserContext(), d.UserID)
	if err != nil {
		return err
	}
	user, err := a.userOf(c.UserContext(), by, u)
	if err != nil {
		return err
	}
	return c.Status(http.StatusCreated).JSON(fiber.Map{
		"message": "Doctor Created Successfully", "users": user, "doctor": doctorOf(d, u.Email), "plainPassword": password,
	})
}

// directory lists the first listMost doctors who can be booked, by name.
func (a api) directory(ctx context.Context) ([]doctorBody, error) {
	var found []doctor.Doctor
	var after doctor.Position
	for len(found) < listMost {
		page, more, err := a.Doctors.Directory(ctx, doctor.Filter{}, after, pageSize)
		if err != nil {
			return nil, err
		}
		found = append(found, page...)
		if !more {
			break
		}
		last := page[len(page)-1]
		after = doctor.Position{Name: last.Name, UserID: last.UserID}
	}
	ids := make([]int64, len(found))
	for i, d := range found {
		ids[i] = d.ID
	}
	accounts, err := a.Accounts.ByIDs(ctx, ids...)
	if err != nil {
		return nil, err
	}
	out := make([]doctorBody, len(found))
	for i, d := range found {
		out[i] = doctorOf(d, accounts[d.ID].Email)
	}
	return out, nil
}

func (a api) doctorsForPatients(c *fiber.Ctx, _ auth.Actor) error {
	all, err := a.directory(c.UserContext())
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, "Doctors Fetched Successfully", "data", all)
}

func (a api) allDoctors(c *fiber.Ctx, _ auth.Actor) error {
	all, err := a.directory(c.UserContext())
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, "All Doctors Fetched Successfully", "doctors", all)
}

// allPatients lists the first listMost entries of the registry, oldest first.
func (a api) allPatients(c *fiber.Ctx, by auth.Actor) error {
	found, accounts, err := a.registry(c.UserContext(), by)
	if err != nil {
		return err
	}
	out := make([]patientBody, len(found))
	for i, p := range found {
		out[i] = patientOf(p, accounts[p.ID].Email, a.Now())
	}
	return answer(c, http.StatusOK, "All Patients Fetched Successfully", "patients", out)
}

func (a api) registry(ctx context.Context, by auth.Actor) ([]patient.Patient, map[int64]account.User, error) {
	var found []patient.Patient
	var ids []int64
	after := int64(0)
	for len(found) < listMost {
		page, more, err := a.Patients.List(ctx, by, after, pageSize)
		if err != nil {
			return nil, nil, err
		}
		for _, p := range page {
			found, ids, after = append(found, p), append(ids, p.ID), p.ID
		}
		if !more {
			break
		}
	}
	accounts, err := a.Accounts.ByIDs(ctx, ids...)
	return found, accounts, err
}
