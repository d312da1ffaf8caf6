package appointment

import (
	"context"

	"housecall/internal/patient"
	"housecall/internal/postgres"
)

// name fills in the participants of a page in a constant number of statements, whatever its length.
func (s *Service) name(ctx context.Context, page []Appointment) error {
	var doctorIDs, patientIDs []int64
	for _, a := range page {
		doctorIDs, patientIDs = append(doctorIDs, a.Doctor.ID), append(patientIDs, a.Patient.ID)
	}
	doctors, err := s.doctors.ByIDs(ctx, s.pool, doctorIDs...)
	if err != nil {
		return err
	}
	patients, err := s.patients.ByIDs(ctx, s.pool, patientIDs...)
	if err != nil {
		return err
	}
	for i := range page {
		a := &page[i]
		d, p := doctors[a.Doctor.ID], patients[a.Patient.ID]
		a.Doctor = Person{ID: a.Doctor.ID, UserID: d.UserID, Name: d.Name, Specialization: d.Specialization}
		a.Patient = Person{ID: a.Patient.ID, UserID: p.UserID, Name: p.Name}
	}
	return nil
}

func (s *Service) named(ctx context.Context, a Appointment) (Appointment, error) {
	page := []Appointment{a}
	err := s.name(ctx, page)
	return page[0], err
}

// Care answers whose patient somebody is by appointment: a doctor's own patient is one with whom he has or had a
// BOOKED or COMPLETED appointment. It holds nothing, so that patient can be made before the service, which
// stands on patient.
type Care struct{}

var _ patient.Care = Care{}

// PatientsOf gives up to limit ids of a doctor's own patients above after, rising and each once.
func (Care) PatientsOf(ctx context.Context, db postgres.DB, doctorID, after int64, limit int) ([]int64, error) {
	return patientsOf(ctx, db, doctorID, after, limit)
}

// CaresFor tells whether the patient is the doctor's own.
func (Care) CaresFor(ctx context.Context, db postgres.DB, doctorID, patientID int64) (bool, error) {
	return caresFor(ctx, db, doctorID, patientID)
}
