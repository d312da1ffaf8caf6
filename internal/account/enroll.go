package account

import (
	"context"
	"crypto/rand"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// Enroll makes an account with a password made up for it, in the caller's transaction, and has its owner verify his
// address by mail. The password is a secret that is shown this one time, to whoever enrolls; its owner must change it
// before anything else. What the role's room keeps about the user is the caller's to make. ErrEmailTaken where the address is in use. Call it first in its
// transaction: hashing takes a while, and should hold up nobody.
func (s *Service) Enroll(ctx context.Context, tx *postgres.Tx, by auth.Actor, name, email string, role auth.Role) (
	userID int64, publicID, password string, err error,
) {
	u, err := newUser(name, email, role)
	if err != nil {
		return 0, "", "", err
	}
	password = madeUpPassword()
	hash, err := s.passwords.Hash(ctx, password)
	if err != nil {
		return 0, "", "", err
	}
	u.MustChangePassword = true
	if u, err = insertNew(ctx, tx, u, hash); err != nil {
		return 0, "", "", err
	}
	if err := audit.Record(ctx, tx, event(by, "user.enroll", u, map[string]any{"role": u.Role})); err != nil {
		return 0, "", "", err
	}
	return u.ID, u.PublicID, password, s.sendVerification(ctx, tx, u, u.Email, 0)
}

// madeUpPassword makes one of 80 random bits that can be read out over the telephone: no letter is taken for a digit.
func madeUpPassword() string {
	const alphabet = "abcdefghjkmnpqrstuvwxyz23456789-"
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails since Go 1.24
	out := make([]byte, len(raw))
	for i, b := range raw {
		out[i] = alphabet[b&31]
	}
	return string(out)
}

// ReplacePassword is ChangePassword for clients that do not ask for the present password: those of an older API. The
// new one must be another.
func (s *Service) ReplacePassword(ctx context.Context, by auth.Actor, next string) error {
	if err := s.throttlePassword(ctx, by.UserID); err != nil {
		return err
	}
	c, err := credentialsByID(ctx, s.pool, by.ID)
	if err != nil {
		return err
	}
	if err := checkPassword("body.newPassword", next, c.Email, c.Name); err != nil {
		return err
	}
	same, err := s.passwords.Matches(ctx, next, c.PasswordHash)
	if err != nil {
		return err
	}
	if same {
		return errs.InvalidField("body.newPassword", "must differ from the present one")
	}
	return s.setPassword(ctx, by, c, next)
}
