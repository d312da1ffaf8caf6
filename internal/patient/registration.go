package patient

import (
	"context"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// Whoever signs up with the older PMS API is a user without an entry until somebody at the clinic registers them. Until
// then, what they said about themselves is kept in a table of its own, so that whoever has an entry is a patient.

// What registering is refused with.
var (
	ErrNotRegistered = errs.New(errs.NotFound, "not_registered",
		"This user is not registered as a patient yet. The clinic does the registration.")
	ErrRegistered = errs.New(errs.Conflict, "already_registered", "This user is already registered as a patient.")
	ErrOneself    = errs.New(errs.Forbidden, "own_account",
		"You cannot register yourself. Ask somebody else at the clinic.")
	ErrNoUser = errs.New(errs.Conflict, "not_a_user",
		"Only a user who is neither a doctor nor an administrator, and not disabled, can be registered.")
)

// KeepSignup keeps what new users say about themselves until they are registered.
func (s *Service) KeepSignup(ctx context.Context, tx *postgres.Tx, userID int64, d Details) error {
	d, err := d.normalize(tx.Now())
	if err != nil {
		return err
	}
	return insertSignup(ctx, tx, userID, d)
}

// Register enters a user into the registry, with what they said when they signed up. Doctors and admins may;
// errs.NotFound for an id that is nobody's, ErrRegistered for one who is in it, and also ErrOneself and ErrNoUser.
func (s *Service) Register(ctx context.Context, by auth.Actor, userID int64) (p Patient, err error) {
	if by.Role != auth.Admin && by.Role != auth.Doctor {
		return Patient{}, errs.ErrForbidden
	}
	if userID == by.ID {
		return Patient{}, ErrOneself
	}
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		c, err := lockCandidate(ctx, tx, userID)
		if err != nil {
			return err
		}
		if c.Role != auth.Patient || !c.Active {
			return ErrNoUser
		}
		told, _, err := deleteSignup(ctx, tx, userID)
		if err != nil {
			return err
		}
		fresh, err := insertEntry(ctx, tx, userID, told)
		if err != nil {
			return err
		}
		if !fresh {
			return ErrRegistered
		}
		if p, err = selectEntry(ctx, tx, c.UserID); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Actor: by, Action: "patient.register", Subject: c.UserID, PatientID: userID})
	})
	return p, err
}
