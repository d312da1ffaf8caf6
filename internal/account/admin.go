package account

import (
	"context"
	"slices"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// Filter narrows a list of users; the zero value matches all.
type Filter struct {
	Query    string    // part of the name, the email address or the public id
	Role     auth.Role // "" is any
	Disabled *bool
}

// Users lists accounts, newest first. cursor is 0 or the one returned with the page before; the last page returns 0.
func (s *Service) Users(ctx context.Context, f Filter, cursor int64, limit int) (users []User, next int64, err error) {
	users, err = listUsers(ctx, s.pool, f, cursor, limit)
	if err != nil {
		return nil, 0, err
	}
	if len(users) > limit {
		users = users[:limit]
		next = users[limit-1].ID
	}
	return users, next, nil
}

// User returns one account.
func (s *Service) User(ctx context.Context, publicID string) (User, error) {
	return userByPublicID(ctx, s.pool, publicID)
}

// ByID returns one account by its inner key, which only the older PMS API shows. It checks no rights.
func (s *Service) ByID(ctx context.Context, id int64) (User, error) { return userByID(ctx, s.pool, id) }

// Leave says what happens to the future appointments of a user who stops being a doctor: they are cancelled, or handed
// over to another doctor (a public id). With the zero value there must be none.
type Leave struct {
	CancelAppointments bool
	HandOverTo         string
}

// check refuses to do both.
func (l Leave) check() error {
	if l.CancelAppointments && l.HandOverTo != "" {
		return errs.InvalidField("body.handOverTo", "cannot be combined with cancelAppointments")
	}
	return nil
}

// SetRole makes a user a patient, a doctor or an administrator, and ends their sessions. A doctor who stops being one
// must have no future appointments, unless l says what happens to them. Nobody can change their own role
// (ErrOwnAccount), and the last administrator stays one (ErrLastAdmin).
func (s *Service) SetRole(
	ctx context.Context, by auth.Actor, publicID string, role auth.Role, l Leave,
) (u User, err error) {
	if err := l.check(); err != nil {
		return User{}, err
	}
	if !role.Valid() {
		return User{}, errs.InvalidField("body.role", "must be PATIENT, DOCTOR or ADMIN")
	}
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		before, err := lockTarget(ctx, tx, by, publicID)
		if err != nil {
			return err
		}
		if u = before; before.Role == role {
			return nil
		}
		if u, err = updateRole(ctx, tx, before.ID, role); err != nil {
			return err
		}
		if err := s.ensureProfile(ctx, tx, by, u.ID, role); err != nil {
			return err
		}
		if err := s.endAll(ctx, tx, u, EndRole); err != nil {
			return err
		}
		if err := audit.Record(ctx, tx,
			event(by, "user.role", u, map[string]any{"from": before.Role, "to": role})); err != nil {
			return err
		}
		if role == auth.Doctor && u.DisabledAt == nil {
			return s.ports.Doctors.Return(ctx, tx, u.ID)
		}
		return s.releaseDoctor(ctx, tx, by, before, l)
	})
	return u, err
}

// Disable ends a user's sessions and keeps them from signing in; it deletes nothing. The rules are those of SetRole.
// It does nothing to a user who is already disabled.
func (s *Service) Disable(ctx context.Context, by auth.Actor, publicID string, l Leave) (u User, err error) {
	if err := l.check(); err != nil {
		return User{}, err
	}
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		if u, err = lockTarget(ctx, tx, by, publicID); err != nil || u.DisabledAt != nil {
			return err
		}
		now := tx.Now()
		if u, err = updateDisabled(ctx, tx, u.ID, &now); err != nil {
			return err
		}
		if err := s.endAll(ctx, tx, u, EndDisabled); err != nil {
			return err
		}
		if err := audit.Record(ctx, tx, event(by, "user.disable", u, nil)); err != nil {
			return err
		}
		return s.releaseDoctor(ctx, tx, by, u, l)
	})
	return u, err
}

// Enable lets a disabled user sign in again; a doctor's unfinished conversations reopen.
func (s *Service) Enable(ctx context.Context, by auth.Actor, publicID string) (u User, err error) {
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		if u, err = lockTarget(ctx, tx, by, publicID); err != nil || u.DisabledAt == nil {
			return err
		}
		if u, err = updateDisabled(ctx, tx, u.ID, nil); err != nil {
			return err
		}
		if err := audit.Record(ctx, tx, event(by, "user.enable", u, nil)); err != nil || u.Role != auth.Doctor {
			return err
		}
		return s.ports.Doctors.Return(ctx, tx, u.ID)
	})
	return u, err
}

// lockTarget reads the user whom an administrator is about to change, and locks them and all administrators until the
// transaction ends. The actor must still be an administrator: if two demote each other, the second is refused. So an
// administrator always remains.
func lockTarget(ctx context.Context, tx *postgres.Tx, by auth.Actor, publicID string) (User, error) {
	admins, err := lockAdmins(ctx, tx)
	if err != nil {
		return User{}, err
	}
	if !by.IsSystem() && !slices.Contains(admins, by.ID) {
		return User{}, errs.ErrForbidden
	}
	u, err := lockUser(ctx, tx, publicID)
	if err != nil {
		return User{}, err
	}
	if u.ID == by.ID {
		return User{}, ErrOwnAccount
	}
	if len(admins) == 1 && admins[0] == u.ID {
		return User{}, ErrLastAdmin
	}
	return u, nil
}

func (s *Service) endAll(ctx context.Context, tx *postgres.Tx, u User, reason EndReason) error {
	ended, err := endSessionsOf(ctx, tx, u.ID, 0, reason)
	if err != nil {
		return err
	}
	s.announce(tx, ended...)
	return nil
}

// releaseDoctor deals with the appointments of a former doctor. It comes last, since it locks conversations.
func (s *Service) releaseDoctor(ctx context.Context, tx *postgres.Tx, by auth.Actor, was User, l Leave) error {
	if was.Role != auth.Doctor {
		return nil
	}
	return s.ports.Doctors.Release(ctx, tx, auth.Departure{
		DoctorID: was.ID, By: by, CancelAppointments: l.CancelAppointments, HandOverTo: l.HandOverTo,
	})
}
