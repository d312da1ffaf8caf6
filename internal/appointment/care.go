package appointment

import (
	"context"

	"housecall/internal/patient"
	"housecall/internal/postgres"
)

// Care answers whose patient somebody is by appointment: a doctor's own patient is one with whom they have or had a
// BOOKED or COMPLETED appointment. It has no state, so that package patient can be made before the service, which
// needs it.
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
