package hms

import (
	"net/http"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/auth"
	"housecall/internal/doctor"
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
