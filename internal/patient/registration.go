package patient

import (
	"context"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/text"
)

// Users who sign up through the older PMS API have no entry until someone at the clinic registers them or they book for
// the first time. Until then, what they entered is kept in a separate table, so that everyone with an entry is a
// patient.

// Refusals to register a user.
var (
	ErrNotRegistered = errs.New(errs.NotFound, "not_registered",
		"This user is not registered as a patient yet. The clinic registers them, or they book an appointment themselves.")
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
		var fresh bool
		if p, fresh, err = s.addEntry(ctx, tx, by, userID); err == nil && !fresh {
			return ErrRegistered
		}
		return err
	})
	return p, err
}

// Enter returns the entry of a patient who is about to book, and adds them to the registry if they have none, as
// Register does: whoever signed up through the older PMS API would otherwise wait for a registration of which the
// clinic knows nothing. They stay in it if the booking is refused: the clinic can help whoever tried. Only patients may
// call it, for themselves.
func (s *Service) Enter(ctx context.Context, by auth.Actor) (p Patient, err error) {
	if by.Role != auth.Patient {
		return Patient{}, errs.ErrForbidden
	}
	if p, err = selectEntry(ctx, s.pool, by.UserID); errs.KindOf(err) != errs.NotFound {
		return p, err
	}
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		p, _, err = s.addEntry(ctx, tx, by, by.ID)
		return err
	})
	return p, err
}

// addEntry makes the entry of a user, with what they entered at sign-up. If there is one already, it changes nothing
// and fresh is false.
func (s *Service) addEntry(ctx context.Context, tx *postgres.Tx, by auth.Actor, userID int64) (
	p Patient, fresh bool, err error,
) {
	c, err := lockCandidate(ctx, tx, userID)
	if err != nil {
		return p, false, err
	}
	if c.Role != auth.Patient || !c.Active {
		return p, false, ErrNoUser
	}
	told, _, err := s.takeSignup(ctx, tx, userID)
	if err != nil {
		return p, false, err
	}
	if fresh, err = insertEntry(ctx, tx, by, userID, told); err != nil {
		return p, false, err
	}
	if p, err = selectEntry(ctx, tx, c.UserID); err != nil || !fresh {
		return p, false, err
	}
	return p, true, audit.Record(ctx, tx,
		audit.Event{Actor: by, Action: "patient.register", Subject: c.UserID, PatientID: userID})
}
