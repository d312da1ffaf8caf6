package appointment

import (
	"context"
	"errors"
	"strconv"
	"time"

	"housecall/internal/auth"
	"housecall/internal/doctor"
	"housecall/internal/errs"
	"housecall/internal/patient"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
)

// Booking is a request for an appointment. Doctor and Patient are public ids: a patient leaves Patient empty, a
// doctor may leave Doctor empty. StartsAt nil asks for any time.
type Booking struct {
	Doctor, Patient string
	StartsAt        *time.Time
	Reason          string
}

// Book opens a request: patients for themselves, doctors for a patient of theirs (see parties) with
// themselves, admins for anyone. It holds its time from then on. Refusals: the 422 of the rule that the time breaks (see schedule.Check) and 409
// slot_taken or patient_busy, all with alternatives; 409 open_request_limit; 409
// patient_unavailable for one who was disabled just now.
func (s *Service) Book(ctx context.Context, actor auth.Actor, b Booking) (Appointment, error) {
	reason, err := clean("body.reason", b.Reason, MaxReason)
	if err != nil {
		return Appointment{}, err
	}
	p, d, err := s.parties(ctx, actor, b)
	if err != nil {
		return Appointment{}, err
	}
	draft := Appointment{
		Status: Pending, StartsAt: utc(b.StartsAt), Reason: reason,
		Patient: Person{ID: p.ID, UserID: p.UserID, Name: p.Name},
		Doctor:  Person{ID: d.ID, UserID: d.UserID, Name: d.Name, Specialization: d.Specialization},
	}
	c := change{move: moveBook, actor: actor, side: draft.sideOf(actor)}
	var a Appointment
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		a, err = s.book(ctx, tx, draft, c)
		return err
	})
	if err != nil {
		return Appointment{}, s.worded(ctx, err, wish{doctorID: d.ID, patientID: p.ID, startsAt: b.StartsAt})
	}
	return a, nil
}

// parties tells who books with whom. A doctor's patients are those assigned to him and his own by appointment (see
// Care): anyone else is as if he were not there, so that public ids cannot be tried for names.
func (s *Service) parties(ctx context.Context, actor auth.Actor, b Booking) (patient.Patient, doctor.Doctor, error) {
	var none patient.Patient
	switch actor.Role {
	case auth.Patient:
		if b.Patient != "" && b.Patient != actor.UserID {
			return none, doctor.Doctor{}, errs.Missing("patient")
		}
		b.Patient = actor.UserID
	case auth.Doctor:
		if b.Doctor != "" && b.Doctor != actor.UserID {
			return none, doctor.Doctor{}, errs.New(errs.Forbidden, "forbidden", "A doctor books for patients with himself only.")
		}
		b.Doctor = actor.UserID
	}
	if b.Patient == "" {
		return none, doctor.Doctor{}, errs.InvalidField("body.patientId", "is required: say for whom to book")
	}
	if b.Doctor == "" {
		return none, doctor.Doctor{}, errs.InvalidField("body.doctorId", "is required")
	}
	d, err := s.doctors.Resolve(ctx, s.pool, b.Doctor)
	if err != nil {
		return none, doctor.Doctor{}, err
	}
	p, err := s.patients.Resolve(ctx, s.pool, b.Patient)
	if err != nil {
		return none, doctor.Doctor{}, err
	}
	if !p.Active {
		return none, doctor.Doctor{}, errs.Missing("patient")
	}
	if p.ID == d.ID {
		return none, doctor.Doctor{}, errs.InvalidField("body.patientId", "must not be the doctor himself")
	}
	if actor.Role == auth.Doctor {
		if err := s.ownPatient(ctx, d.ID, p); err != nil {
			return none, doctor.Doctor{}, err
		}
	}
	return p, d, nil
}

// ownPatient is errs.Missing unless the patient is assigned to the doctor or his by appointment.
func (s *Service) ownPatient(ctx context.Context, doctorID int64, p patient.Patient) error {
	if p.Doctor != nil && p.Doctor.ID == doctorID {
		return nil
	}
	cares, err := caresFor(ctx, s.pool, doctorID, p.ID)
	if err == nil && !cares {
		err = errs.Missing("patient")
	}
	return err
}

// book opens the request with the doctor's row and then, if he asks himself, the patient's requests held, in this order everywhere.
func (s *Service) book(ctx context.Context, tx *postgres.Tx, a Appointment, c change) (Appointment, error) {
	if err := s.doctors.Lock(ctx, tx, a.Doctor.ID); err != nil {
		return a, err
	}
	// Both may have left while we waited.
	if _, err := s.doctors.Find(ctx, tx, a.Doctor.UserID); err != nil {
		return a, err
	}
	if err := s.activePatient(ctx, tx, a.Patient.ID); err != nil {
		return a, err
	}
	rules, err := s.rules(ctx, tx, a.Doctor.ID)
	if err != nil {
		return a, err
	}
	if a.StartsAt != nil {
		if err := schedule.Check(rules, *a.StartsAt, s.now()); err != nil {
			return a, err
		}
		ends := a.StartsAt.Add(time.Duration(rules.SlotMinutes) * time.Minute)
		a.EndsAt = &ends
	}
	if c.side == patientSide {
		if err := s.limitRequests(ctx, tx, a.Patient.ID); err != nil {
			return a, err
		}
	}
	if a, err = insertNew(ctx, tx, a); err != nil {
		return a, err
	}
	if err := settleClaim(ctx, tx, a); err != nil {
		return a, err
	}
	return a, s.tell(ctx, tx, a, "", c, rules.Location)
}

// insertNew stores a new request under a fresh public id.
func insertNew(ctx context.Context, tx *postgres.Tx, a Appointment) (Appointment, error) {
	for range 3 { // two ids of 50 random bits hardly ever collide, three times in a row never
		a.PublicID = auth.NewPublicID(auth.PrefixAppointment)
		made, fresh, err := insert(ctx, tx, a)
		if err != nil || fresh {
			return made, err
		}
	}
	return Appointment{}, errors.New("no free public id")
}

// limitRequests refuses a patient who asks for one more than he may have open; what others book for him is theirs to
// bound.
func (s *Service) limitRequests(ctx context.Context, tx *postgres.Tx, patientID int64) error {
	open, err := lockRequests(ctx, tx, patientID, s.now())
	if err != nil {
		return err
	}
	if open >= s.cfg.MaxOpenRequests {
		return errs.New(errs.Conflict, "open_request_limit", "There are "+strconv.Itoa(open)+
			" open requests already. Wait for an answer, or cancel one of them.").With("limit", s.cfg.MaxOpenRequests)
	}
	return nil
}
