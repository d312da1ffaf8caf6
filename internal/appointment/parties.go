package appointment

import (
	"context"

	"housecall/internal/auth"
	"housecall/internal/doctor"
	"housecall/internal/errs"
	"housecall/internal/patient"
)

// parties tells who books with whom; with a specialization the doctor is left to be chosen. A doctor's patients are those
// assigned to him and his own by appointment (see Care): anyone else is as if he were not there, so that public ids cannot be tried for names.
func (s *Service) parties(ctx context.Context, actor auth.Actor, b Booking) (p patient.Patient, d doctor.Doctor, err error) {
	if b, err = onBehalf(actor, b); err != nil {
		return p, d, err
	}
	if b.Doctor != "" {
		if d, err = s.doctors.Resolve(ctx, s.pool, b.Doctor); err != nil {
			return p, d, err
		}
	}
	if p, err = s.patients.Resolve(ctx, s.pool, b.Patient); err != nil {
		return p, d, err
	}
	if !p.Active {
		return p, d, errs.Missing("patient")
	}
	if p.ID == d.ID {
		return p, d, errs.InvalidField("body.patientId", "must not be the doctor himself")
	}
	if actor.Role == auth.Doctor {
		err = s.ownPatient(ctx, d.ID, p)
	}
	return p, d, err
}

// onBehalf fills in who an actor is in his booking, and refuses one that is not his to make.
func onBehalf(actor auth.Actor, b Booking) (Booking, error) {
	switch actor.Role {
	case auth.Patient:
		if b.Patient != "" && b.Patient != actor.UserID {
			return b, errs.Missing("patient")
		}
		b.Patient = actor.UserID
	case auth.Doctor:
		if b.Doctor != "" && b.Doctor != actor.UserID || b.Specialization != "" {
			return b, errs.New(errs.Forbidden, "forbidden", "A doctor books for patients with himself only.")
		}
		b.Doctor = actor.UserID
	}
	switch {
	case b.Patient == "":
		return b, errs.InvalidField("body.patientId", "is required: say for whom to book")
	case b.Doctor == "" && b.Specialization == "":
		return b, errs.InvalidField("body.doctorId", "is required, or a specialization in its place")
	case b.Doctor != "" && b.Specialization != "":
		return b, errs.InvalidField("body.specialization", "cannot stand beside doctorId")
	}
	return b, nil
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
