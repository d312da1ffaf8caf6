package appointment

import (
	"context"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/patient"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
)

// parties fills in the doctor and the patient of a booking, and returns the patient. The doctor is read once their
// row is locked, or chosen if a specialization was given. A doctor may book for patients assigned to them or theirs
// by appointment (see Care). Anyone else is errs.Missing, so that doctors cannot try public ids to learn names.
func (s *Service) parties(ctx context.Context, actor auth.Actor, b Booking) (Booking, patient.Patient, error) {
	b, err := onBehalf(actor, b)
	if err != nil {
		return b, patient.Patient{}, err
	}
	p, err := s.party(ctx, actor, b)
	if err != nil && b.Doctor != "" { // if both are missing, the error is about the doctor
		if _, gone := s.doctors.Find(ctx, s.pool, b.Doctor); gone != nil {
			err = gone
		}
	}
	return b, p, err
}

// party returns the patient of a booking, if the actor may book for them.
func (s *Service) party(ctx context.Context, actor auth.Actor, b Booking) (patient.Patient, error) {
	p, err := s.patientOf(ctx, actor, b.Patient)
	switch {
	case err != nil:
		return p, err
	case !p.Active:
		return p, errs.Missing("patient")
	case p.UserID == b.Doctor:
		return p, errs.InvalidField("body.patientId", "must not be the same person as the doctor")
	case actor.Role == auth.Doctor:
		return p, s.ownPatient(ctx, actor.ID, p)
	}
	return p, nil
}

// patientOf returns a patient's entry in the registry; patients who book for the first time may get theirs now.
func (s *Service) patientOf(ctx context.Context, actor auth.Actor, publicID string) (patient.Patient, error) {
	if actor.Role == auth.Patient {
		return s.patients.Enter(ctx, actor)
	}
	return s.patients.Resolve(ctx, s.pool, publicID)
}

// onBehalf fills in the actor's own part in a booking, and refuses bookings that they may not make.
func onBehalf(actor auth.Actor, b Booking) (Booking, error) {
	switch actor.Role {
	case auth.Patient:
		if b.Patient != "" && b.Patient != actor.UserID {
			return b, errs.Missing("patient")
		}
		b.Patient = actor.UserID
	case auth.Doctor:
		if b.Doctor != "" && b.Doctor != actor.UserID || b.Specialization != "" {
			return b, errs.New(errs.Forbidden, "forbidden", "Doctors can only book appointments with themselves.")
		}
		b.Doctor = actor.UserID
	}
	switch {
	case b.Patient == "":
		return b, errs.InvalidField("body.patientId", "is required: say whom the appointment is for")
	case b.Doctor == "" && b.Specialization == "":
		return b, errs.InvalidField("body.doctorId", "is required, unless a specialization is given")
	case b.Doctor != "" && b.Specialization != "":
		return b, errs.InvalidField("body.specialization", "cannot be combined with doctorId")
	}
	return b, nil
}

// ownPatient is errs.Missing unless the patient is assigned to the doctor or theirs by appointment.
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

// admit checks a patient again once the doctor's row is locked, because their account may have been disabled while we
// waited (409 patient_unavailable). It also locks the patient's requests, so that no other transaction opens one, and
// reads the doctor's rules in the same round trip.
func (s *Service) admit(ctx context.Context, tx *postgres.Tx, doctorID, patientID int64) (schedule.Rules, error) {
	b := &postgres.Batch{}
	rules := map[int64]schedule.Rules{}
	s.schedule.QueueRules(b, rules, doctorID)
	err := s.admitPatient(ctx, tx, b, patientID)
	return rules[doctorID], err
}

// admitPatient is admit for callers that already have the rules. It also sends what is already in the batch.
func (s *Service) admitPatient(ctx context.Context, tx *postgres.Tx, b *postgres.Batch, patientID int64) error {
	var active bool
	s.patients.QueueActive(b, patientID, &active)
	queueRequestsLock(b, patientID)
	if err := postgres.Send(ctx, tx, b); err != nil {
		return err
	}
	if !active {
		return errPatientGone
	}
	return nil
}
