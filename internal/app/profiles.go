package app

import (
	"context"
	"time"

	"housecall/internal/account"
	"housecall/internal/auth"
	"housecall/internal/doctor"
	"housecall/internal/patient"
	"housecall/internal/postgres"
)

// profiles makes what a role needs in addition to the account.
type profiles struct {
	doctors  *doctor.Service
	patients *patient.Service
}

var _ account.Profiles = profiles{}

// CreatePatient implements account.Profiles.
func (p profiles) CreatePatient(
	ctx context.Context, tx *postgres.Tx, by auth.Actor, userID int64, d account.PatientDetails,
) error {
	return p.patients.Create(ctx, tx, by, userID, detailsOf(d))
}

func detailsOf(d account.PatientDetails) patient.Details {
	entry := patient.Details{Phone: d.Phone, Gender: d.Gender, DateOfBirth: d.DateOfBirth, Address: d.Address}
	if d.Age != nil {
		entry.StatedAge = &patient.StatedAge{Years: *d.Age}
	}
	return entry
}

// CheckPatient implements account.Profiles.
func (p profiles) CheckPatient(d account.PatientDetails) error {
	return p.patients.Check(detailsOf(d), time.Now())
}

// KeepSignup implements account.Profiles.
func (p profiles) KeepSignup(ctx context.Context, tx *postgres.Tx, userID int64, d account.PatientDetails) error {
	return p.patients.KeepSignup(ctx, tx, userID, detailsOf(d))
}

// CreateDoctor implements account.Profiles.
func (p profiles) CreateDoctor(ctx context.Context, tx *postgres.Tx, userID int64) error {
	return p.doctors.Create(ctx, tx, userID)
}
