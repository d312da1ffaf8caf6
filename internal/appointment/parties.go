package appointment

import (
	"context"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/patient"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
)

// parties fills in who books with whom, and gives the patient. The doctor is read once their row is held, or chosen
// where a specialization stands in their place. A doctor's patients are those assigned to them and theirs by
// appointment (see Care): anyone else is not there, so that public ids cannot be tried for names.
func (s *Service) parties(ctx context.Context, actor auth.Actor, b Booking) (Booking, patient.Patient, error) {
	b, err := onBehalf(actor, b)
	if err != nil {
		return b, patient.Patient{}, err
	}
	p, err := s.party(ctx, actor, b)
	if err != nil && b.Doctor != "" { // where both are missing, the doctor is named
		if _, gone := s.doctors.Find(ctx, s.pool, b.Doctor); gone != nil {
			err = gone
		}
	}
	return b, p, err
}

// party gives the patient of a booking, if it is one whom the actor may book for.
func (s *Service) party(ctx context.Context, actor auth.Actor, b Booking) (patient.Patient, error) {
	p, err := s.patients.Resolve(ctx, s.pool, b.Patient)
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

// onBehalf fills in who an actor is in their booking, and refuses one that is not theirs to make.
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

// admit looks at a patient again with the doctor's row held, since their account may have been disabled while we waited
// (409 patient_unavailable), and makes the transaction the only one that opens requests for them. In the same round
// trip it reads the doctor's rules.
func (s *Service) admit(ctx context.Context, tx *postgres.Tx, doctorID, patientID int64) (schedule.Rules, error) {
	b := &postgres.Batch{}
	rules := map[int64]schedule.Rules{}
	s.schedule.QueueRules(b, rules, doctorID)
	err := s.admitPatient(ctx, tx, b, patientID)
	return rules[doctorID], err
}

// admitPatient is admit where the rules are known. It sends what is in the batch, too.
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
