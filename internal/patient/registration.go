package patient

import (
	"context"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// Who signs up over the older PMS API is a user without an entry until somebody of the clinic registers him. What he
// told of himself waits for that day in a table of its own, so that whoever has an entry is a patient.

// What registering is refused with.
var (
	ErrNotRegistered = errs.New(errs.NotFound, "not_registered",
		"This user is not registered as a patient yet. The clinic does that.")
	ErrRegistered = errs.New(errs.Conflict, "already_registered", "This user is registered as a patient already.")
	ErrOneself    = errs.New(errs.Forbidden, "own_account",
		"You cannot register yourself. Ask somebody else of the clinic.")
	ErrNoUser = errs.New(errs.Conflict, "not_a_user",
		"Only a user who is neither a doctor nor an administrator, and not disabled, can be registered.")
)

// KeepSignup keeps what a new user tells of himself until he is registered.
func (s *Service) KeepSignup(ctx context.Context, tx *postgres.Tx, userID int64, d Details) error {
	d, err := d.normalize(tx.Now())
	if err != nil {
		return err
	}
	return insertSignup(ctx, tx, userID, d)
}

// Register enters a user into the registry, with what he told at his sign-up. Doctors and admins may; errs.NotFound
// for an id that is nobody's, ErrRegistered for one who is in it, and also ErrOneself and ErrNoUser.
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
