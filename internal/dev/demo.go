package dev

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"housecall/internal/app"
	"housecall/internal/auth"
	"housecall/internal/client"
	"housecall/internal/doctor"
	"housecall/internal/schedule"
)

// DemoPassword is the password of all demo users. Only dev creates them.
const DemoPassword = "housecall-demo-1"

// DemoUser is one of the people that dev creates.
type DemoUser struct {
	Email, Name string
	Role        auth.Role
	profile     doctor.Profile
	hours       []schedule.Interval
	slotMinutes int
}

// DemoUsers are an administrator, three doctors of different specializations, and three patients.
var DemoUsers = []DemoUser{
	{Email: "admin@demo.test", Name: "Alex Admin", Role: auth.Admin},
	{
		Email: "doctor1@demo.test", Name: "Dr. Ada Okafor", Role: auth.Doctor, slotMinutes: 60, hours: week(9*60, 17*60),
		profile: doctor.Profile{Specialization: "General practice", Qualification: "MD", Experience: 12},
	},
	{
		Email: "doctor2@demo.test", Name: "Dr. Ben Lindqvist", Role: auth.Doctor, slotMinutes: 30, hours: week(10*60, 14*60),
		profile: doctor.Profile{Specialization: "Cardiology", Qualification: "MD, FESC", Experience: 20},
	},
	{
		Email: "doctor3@demo.test", Name: "Dr. Chitra Rao", Role: auth.Doctor, slotMinutes: 20, hours: week(12*60, 18*60),
		profile: doctor.Profile{Specialization: "Dermatology", Qualification: "MBBS, MD", Experience: 7},
	},
	{Email: "patient1@demo.test", Name: "Pat Morgan", Role: auth.Patient},
	{Email: "patient2@demo.test", Name: "Quinn Silva", Role: auth.Patient},
	{Email: "patient3@demo.test", Name: "Robin Tanaka", Role: auth.Patient},
}

// week is the same hours on every day, so that a demo has slots on any day.
func week(from, to int) []schedule.Interval {
	var out []schedule.Interval
	for day := 1; day <= 7; day++ {
		out = append(out, schedule.Interval{Weekday: day, From: from, To: to})
	}
	return out
}

// seedUsers creates the demo users that do not exist yet; zone is their clinic's.
func seedUsers(ctx context.Context, a *app.App, zone string) error {
	for _, u := range DemoUsers {
		if err := seedUser(ctx, a, u, zone); err != nil {
			return fmt.Errorf("create demo user %s: %w", u.Email, err)
		}
	}
	return nil
}

func seedUser(ctx context.Context, a *app.App, u DemoUser, zone string) error {
	who, made, err := a.EnsureUser(ctx, app.NewUser{Name: u.Name, Email: u.Email, Role: u.Role, Password: DemoPassword})
	if err != nil || !made || u.Role != auth.Doctor {
		return err
	}
	return u.setTimetable(ctx, a.Doctors(), who, zone)
}

// setTimetable sets a new doctor's profile and hours.
func (u DemoUser) setTimetable(ctx context.Context, doctors *doctor.Service, who auth.Actor, zone string) error {
	d, err := doctors.Get(ctx, who.UserID)
	if err != nil {
		return err
	}
	p := u.profile
	change := doctor.Change{
		Specialization: &p.Specialization, Qualification: &p.Qualification, Experience: &p.Experience,
	}
	if _, err := doctors.Change(ctx, who, who.UserID, d.Version, change); err != nil {
		return err
	}
	rules, err := doctors.SetRules(ctx, who, who.UserID, schedule.FirstVersion,
		schedule.RuleChange{TimeZone: &zone, SlotMinutes: &u.slotMinutes})
	if err != nil {
		return err
	}
	_, err = doctors.SetHours(ctx, who, who.UserID, rules.Version, u.hours)
	return err
}

// seedAppointment makes sure that patient1 and doctor1 have an appointment that is on now, with a short conversation.
// It goes through the API of running instances, as their clients would. If other bookings are in the way, it returns
// the latest appointment that the two have: its conversation is open too. If the accounts can no longer be used for
// this (another password or role, disabled), it returns none.
func seedAppointment(ctx context.Context, patientServer, doctorServer string) (id string, err error) {
	id, err = arrange(ctx, patientServer, doctorServer)
	if p, ok := client.AsProblem(err); ok {
		switch p.Status {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
			return "", nil
		}
	}
	return id, err
}

func arrange(ctx context.Context, patientServer, doctorServer string) (id string, err error) {
	patient, err := demoSignIn(ctx, patientServer, "patient1@demo.test")
	if err != nil {
		return "", err
	}
	defer leave(ctx, patient)
	doctor, err := demoSignIn(ctx, doctorServer, "doctor1@demo.test")
	if err != nil {
		return "", err
	}
	defer leave(ctx, doctor)
	now := time.Now()
	latest, on, err := demoAppointment(ctx, patient, doctor.User().UserID, now)
	if err != nil || on {
		return latest, err
	}
	asked, err := patient.Book(ctx, doctor.User().UserID, time.Time{}, "A cough that won't go away")
	if err == nil {
		if err = confirmNow(ctx, doctor, asked.ID); err == nil {
			return asked.ID, converse(ctx, asked.ID, patient, doctor)
		}
		if _, failed := patient.Cancel(ctx, asked.ID, "The demo appointment could not be confirmed"); failed != nil {
			err = errors.Join(err, failed)
		}
	}
	if p, ok := client.AsProblem(err); ok && p.Status == http.StatusConflict {
		return latest, nil
	}
	return "", fmt.Errorf("make the demo appointment: %w", err)
}

// confirmNow confirms for the current minute or, if that ends meanwhile, for the next.
func confirmNow(ctx context.Context, doctor *client.API, id string) error {
	var err error
	for range 2 {
		start := time.Now().Truncate(time.Minute)
		_, err = doctor.Confirm(ctx, id, &start)
		if p, ok := client.AsProblem(err); !ok || p.Status != http.StatusUnprocessableEntity {
			return err
		}
	}
	return err
}

// demoAppointment returns the latest booked appointment of a patient with a doctor, and whether it is on.
func demoAppointment(
	ctx context.Context, patient *client.API, doctor string, now time.Time,
) (id string, on bool, err error) {
	booked, _, err := patient.Appointments(ctx, "BOOKED", client.Page{Limit: 100})
	if err != nil {
		return "", false, fmt.Errorf("list demo appointments: %w", err)
	}
	for _, b := range booked {
		if b.Doctor.UserID != doctor || b.StartsAt == nil || b.EndsAt == nil {
			continue
		}
		if !b.StartsAt.After(now) && b.EndsAt.After(now) {
			return b.ID, true, nil
		}
		if id == "" {
			id = b.ID
		}
	}
	return id, false, nil
}

func converse(ctx context.Context, id string, patient, doctor *client.API) error {
	for _, line := range []struct {
		by   *client.API
		text string
	}{
		{patient, "Good morning, doctor. I still have the cough, mostly at night."},
		{doctor, "Good morning! Any fever, or shortness of breath when you climb stairs?"},
		{patient, "No fever. I do get a little short of breath."},
		{doctor, "Thank you. Let's talk it through here; I have time for you now."},
	} {
		if _, err := line.by.SendMessage(ctx, id, client.NewClientID(), line.text); err != nil {
			return fmt.Errorf("write the demo conversation: %w", err)
		}
	}
	return nil
}

func demoSignIn(ctx context.Context, server, email string) (*client.API, error) {
	api, err := client.New(server, client.WithUserAgent("housecall-dev"))
	if err != nil {
		return nil, err
	}
	if _, err := api.Login(ctx, email, DemoPassword); err != nil {
		api.CloseIdle()
		return nil, fmt.Errorf("sign in as %s: %w", email, err)
	}
	return api, nil
}

func leave(ctx context.Context, api *client.API) {
	_ = api.Logout(ctx) // the session ends by itself in time
	api.CloseIdle()
}
