package patient

import (
	"context"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/text"
)

// Users who sign up through the older PMS API have no entry until someone at the clinic registers them. Until then,
// what they entered is kept in a separate table, so that everyone with an entry is a patient.

// Refusals to register a user.
var (
	ErrNotRegistered = errs.New(errs.NotFound, "not_registered",
		"This user is not registered as a patient yet. The clinic does the registration.")
	ErrRegistered = errs.New(errs.Conflict, "already_registered", "This user is already registered as a patient.")
	ErrOneself    = errs.New(errs.Forbidden, "own_account",
		"You cannot register yourself. Ask someone else at the clinic.")
	ErrNoUser = errs.New(errs.Conflict, "not_a_user",
		"Only a user who is neither a doctor nor an administrator, and not disabled, can be registered.")
)

// KeepSignup stores what new users enter about themselves until they are registered.
func (s *Service) KeepSignup(ctx context.Context, tx *postgres.Tx, userID int64, d Details) error {
	d, err := d.normalize(tx.Now(), s.options.PhoneRegion)
	if err != nil {
		return err
	}
	return insertSignup(ctx, tx, userID, d)
}

// takeSignup deletes and returns what a user entered at sign-up; ok is false if there is nothing.
func (s *Service) takeSignup(ctx context.Context, tx *postgres.Tx, userID int64) (told Details, ok bool, err error) {
	told, ok, err = deleteSignup(ctx, tx, userID)
	phone, _ := text.ReadPhone(told.Phone, s.options.PhoneRegion) // it was checked when it was entered
	told.phoneE164 = phone.E164
	return told, ok, err
}

// Register adds a user to the registry, with what they entered at sign-up. Only doctors and admins may call it. It
// returns errs.NotFound for an unknown id, ErrRegistered, ErrOneself or ErrNoUser.
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
		told, _, err := s.takeSignup(ctx, tx, userID)
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
