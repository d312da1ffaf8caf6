package account

import (
	"context"
	"time"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
)

// Invite makes an account without a password, in the caller's transaction, and a token with which its owner sets
// one, once, until expires. The token is a secret that is shown this one time, and mailed to him. What the role's room keeps about
// the user is the caller's to make. ErrEmailTaken where the address is in use.
func (s *Service) Invite(ctx context.Context, tx *postgres.Tx, by auth.Actor, name, email string, role auth.Role) (
	userID int64, publicID, invitationToken string, expires time.Time, err error,
) {
	u, err := newUser(name, email, role)
	if err != nil {
		return 0, "", "", time.Time{}, err
	}
	if u, err = insertNew(ctx, tx, u, ""); err != nil {
		return 0, "", "", time.Time{}, err
	}
	invitationToken, expires, err = s.invite(ctx, tx, by, u)
	return u.ID, u.PublicID, invitationToken, expires, err
}

// invite makes a new invitation; an older one of the user no longer counts.
func (s *Service) invite(ctx context.Context, tx *postgres.Tx, by auth.Actor, u User) (token string, expires time.Time, err error) {
	token, expires = newSecret(), tx.Now().Add(s.cfg.InviteTTL)
	if err := insertInvitation(ctx, tx, fingerprint(token), u.ID, expires); err != nil {
		return "", time.Time{}, err
	}
	if err := record(ctx, tx, by, "user.invite", u, map[string]any{"role": u.Role}); err != nil {
		return "", time.Time{}, err
	}
	return token, expires, s.ports.Mail.Invitation(ctx, tx, u.ID, token, expires)
}

// Reinvite gives an invited user who has not set a password yet a new token; the one before stops working.
// ErrAccepted where he has one.
func (s *Service) Reinvite(ctx context.Context, by auth.Actor, publicID string) (token string, expires time.Time, err error) {
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		u, err := lockUser(ctx, tx, publicID)
		if err != nil {
			return err
		}
		if !u.Invited {
			return ErrAccepted
		}
		token, expires, err = s.invite(ctx, tx, by, u)
		return err
	})
	return token, expires, err
}

// InvitationStands tells whether an invitation's token still works.
func (s *Service) InvitationStands(ctx context.Context, token string) (bool, error) {
	_, err := invitedUser(ctx, s.pool, fingerprint(token))
	return stands(err)
}

// AcceptInvitation sets the password of an invited user, who then can sign in, and has him verify his address: an
// administrator has seen the token too, so it proves nothing about mail. A token that is unknown, used or expired, or
// of a disabled user, is ErrInvitation.
func (s *Service) AcceptInvitation(ctx context.Context, token, password string, client httpd.Client) (User, error) {
	if err := s.throttleTokens(ctx, client); err != nil {
		return User{}, err
	}
	hashed := fingerprint(token)
	u, err := invitedUser(ctx, s.pool, hashed)
	if err != nil {
		return User{}, missingIs(ErrInvitation, err)
	}
	if err := checkPassword("body.password", password, u.Email, u.Name); err != nil {
		return User{}, err
	}
	hash, err := s.passwords.Hash(ctx, password)
	if err != nil {
		return User{}, err
	}
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		if u, err = useInvitation(ctx, tx, hashed); err != nil {
			return missingIs(ErrInvitation, err)
		}
		if u, err = updatePassword(ctx, tx, u.ID, hash); err != nil {
			return err
		}
		if err := record(ctx, tx, actorOf(u, 0), "user.accept", u, nil); err != nil || u.EmailVerified {
			return err
		}
		return s.sendVerification(ctx, tx, u, u.Email, 0)
	})
	return u, err
}

// missingIs words that a token was not found: how it came to that is nobody's business.
func missingIs(refusal, err error) error {
	if errs.KindOf(err) == errs.NotFound {
		return refusal
	}
	return err
}
