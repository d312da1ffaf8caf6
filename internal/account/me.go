package account

import (
	"context"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// Me returns the actor's own account.
func (s *Service) Me(ctx context.Context, by auth.Actor) (User, error) {
	return userByID(ctx, s.pool, by.ID)
}

// Change says what to change about one's own account; nil leaves a field as it is.
type Change struct {
	Name *string
}

// ChangeMe changes the actor's own account, if it still has the version; errs.ErrStale otherwise.
func (s *Service) ChangeMe(ctx context.Context, by auth.Actor, version int, c Change) (u User, err error) {
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		if u, err = lockUser(ctx, tx, by.UserID); err != nil {
			return err
		}
		if u.Version != version {
			return errs.ErrStale
		}
		if c.Name == nil {
			return nil
		}
		name, err := NormalizeName(*c.Name)
		if err != nil {
			return err
		}
		if u, err = updateName(ctx, tx, by.ID, name); err != nil {
			return err
		}
		return audit.Record(ctx, tx, event(by, "user.rename", u, nil))
	})
	return u, err
}

// ChangePassword replaces the actor's password and ends their other sessions. It drops an unverified change of their
// address, and links that reset the password. The current password must be right: finding an unlocked screen is not
// enough to take over the account.
func (s *Service) ChangePassword(ctx context.Context, by auth.Actor, current, next string) error {
	if err := s.throttlePassword(ctx, by.UserID); err != nil {
		return err
	}
	c, err := credentialsByID(ctx, s.pool, by.ID)
	if err != nil {
		return err
	}
	ok, err := s.passwords.Matches(ctx, current, c.PasswordHash)
	if err != nil {
		return err
	}
	if !ok {
		return errs.InvalidField("body.currentPassword", "is not your current password")
	}
	if current == next {
		return errs.InvalidField("body.newPassword", "must differ from your current password")
	}
	if err := checkPassword("body.newPassword", next, c.Email, c.Name); err != nil {
		return err
	}
	return s.setPassword(ctx, by, c, next)
}

// setPassword stores a password that has been checked, if the password of c is still the current one, and ends the
// actor's other sessions. Who has chosen a password without the link of the email about their new account has not
// verified the address, and that link no longer works, so they get another.
func (s *Service) setPassword(ctx context.Context, by auth.Actor, c credentials, next string) error {
	hash, err := s.passwords.Hash(ctx, next)
	if err != nil {
		return err
	}
	return s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		now, err := lockCredentials(ctx, tx, by.ID, false)
		if err != nil {
			return err
		}
		if now.PasswordHash != c.PasswordHash { // somebody else was faster, perhaps to lock this session out
			return errs.ErrStale
		}
		if _, err := updatePassword(ctx, tx, by.ID, hash); err != nil {
			return err
		}
		ended, err := endSessionsOf(ctx, tx, by.ID, by.Session, EndPassword)
		if err != nil {
			return err
		}
		s.announce(tx, ended...)
		done := event(by, "user.password", now.User, map[string]any{"endedSessions": len(ended)})
		if err := audit.Record(ctx, tx, done); err != nil || !now.MustChangePassword || now.EmailVerified {
			return err
		}
		return s.sendVerification(ctx, tx, now.User, now.Email, 0)
	})
}
