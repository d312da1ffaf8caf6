package appointment

import (
	"context"

	"housecall/internal/patient"
	"housecall/internal/postgres"
)

// Care answers who a doctor's own patients are: those with whom they have or had a BOOKED or COMPLETED appointment.
// It has no state, so that package patient's service can be made before this package's, which needs it.
type Care struct{}

var _ patient.Care = Care{}

// PatientsOf returns up to limit ids of a doctor's own patients above after, in ascending order without duplicates.
func (Care) PatientsOf(ctx context.Context, db postgres.DB, doctorID, after int64, limit int) ([]int64, error) {
	return patientsOf(ctx, db, doctorID, after, limit)
}

// CaresFor reports whether the patient is the doctor's own.
func (Care) CaresFor(ctx context.Context, db postgres.DB, doctorID, patientID int64) (bool, error) {
	return caresFor(ctx, db, doctorID, patientID)
}
