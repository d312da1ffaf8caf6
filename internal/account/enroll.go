package account

import (
	"context"
	"crypto/rand"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// Enroll creates an account with a generated password, in the caller's transaction, and emails its owner their public
// id and a link with which to choose a password, for as long as an invitation lasts. The generated password is a secret
// that is returned only here; the owner must change it before doing anything else. The caller creates whatever else the
// role needs. ErrEmailTaken if the address is in use. Call it first in the transaction: hashing takes a while, and no
// locks should be held meanwhile.
func (s *Service) Enroll(ctx context.Context, tx *postgres.Tx, by auth.Actor, n auth.Newcomer) (
	made auth.Account, password string, err error,
) {
	u, err := newUser(n.Name, n.Email, n.Role)
	if err != nil {
		return auth.Account{}, "", err
	}
	password = generatePassword()
	hash, err := s.passwords.Hash(ctx, password)
	if err != nil {
		return auth.Account{}, "", err
	}
	u.MustChangePassword = true
	if u, err = insertNew(ctx, tx, u, hash); err != nil {
		return auth.Account{}, "", err
	}
	if err := audit.Record(ctx, tx, event(by, "user.enroll", u, map[string]any{"role": u.Role})); err != nil {
		return auth.Account{}, "", err
	}
	return auth.Account{ID: u.ID, PublicID: u.PublicID}, password, s.sendEnrolled(ctx, tx, u)
}

// sendEnrolled emails a new user a link with which to choose a password. Unlike that of an invitation, nobody else has
// seen it, so it verifies the address, too.
func (s *Service) sendEnrolled(ctx context.Context, tx *postgres.Tx, u User) error {
	l := auth.NewLink(tx.Now().Add(s.options.InviteTTL))
	err := insertMailToken(ctx, tx, mailToken{
		Hash: l.Fingerprint(), User: u.ID, Purpose: purposeReset, Address: u.Email, Expires: l.Expires,
	})
	if err != nil {
		return err
	}
	return s.ports.Mail.Enrolled(ctx, tx, u.ID, l)
}

// generatePassword returns a password of 80 random bits that can be read out over the telephone: no letter looks like
// a digit.
func generatePassword() string {
	const alphabet = "abcdefghjkmnpqrstuvwxyz23456789-"
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails since Go 1.24
	out := make([]byte, len(raw))
	for i, b := range raw {
		out[i] = alphabet[b&31]
	}
	return string(out)
}

// ReplacePassword is ChangePassword for clients that do not ask for the current password: those of an older API. The
// new one must be different.
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
		return errs.InvalidField("body.newPassword", "must differ from your current password")
	}
	return s.setPassword(ctx, by, c, next)
}
