package account

import (
	"context"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
)

// Invite creates an account without a password, in the caller's transaction, and a link with which its owner can set
// one, once, until it expires. The link's token is a secret: it is returned only here, and emailed to the owner. The
// caller creates whatever else the role needs. ErrEmailTaken if the address is in use.
func (s *Service) Invite(ctx context.Context, tx *postgres.Tx, by auth.Actor, n auth.Newcomer) (
	auth.Account, auth.Link, error,
) {
	u, err := newUser(n.Name, n.Email, n.Role)
	if err != nil {
		return auth.Account{}, auth.Link{}, err
	}
	if u, err = insertNew(ctx, tx, u, ""); err != nil {
		return auth.Account{}, auth.Link{}, err
	}
	l, err := s.sendInvitation(ctx, tx, by, u)
	return auth.Account{ID: u.ID, PublicID: u.PublicID}, l, err
}

// sendInvitation emails a user a new invitation; an earlier one stops working.
func (s *Service) sendInvitation(ctx context.Context, tx *postgres.Tx, by auth.Actor, u User) (auth.Link, error) {
	l := auth.NewLink(tx.Now().Add(s.options.InviteTTL))
	if err := insertInvitation(ctx, tx, l.Fingerprint(), u.ID, l.Expires); err != nil {
		return auth.Link{}, err
	}
	if err := audit.Record(ctx, tx, event(by, "user.invite", u, map[string]any{"role": u.Role})); err != nil {
		return auth.Link{}, err
	}
	return l, s.ports.Mail.Invitation(ctx, tx, u.ID, l)
}

// Reinvite sends an invited user who has not set a password yet a new invitation; the earlier one stops working.
// ErrAccepted if the user has a password.
func (s *Service) Reinvite(ctx context.Context, by auth.Actor, publicID string) (l auth.Link, err error) {
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		u, err := lockUser(ctx, tx, publicID)
		if err != nil {
			return err
		}
		if !u.Invited {
			return ErrAccepted
		}
		l, err = s.sendInvitation(ctx, tx, by, u)
		return err
	})
	return l, err
}

// InvitationStands reports whether an invitation's token still works.
func (s *Service) InvitationStands(ctx context.Context, token string) (bool, error) {
	_, err := invitedUser(ctx, s.pool, auth.Fingerprint(token))
	return stands(err)
}

// AcceptInvitation sets the password of an invited user, who can sign in from then on, and emails a link that verifies
// the address: an administrator has seen the token too, so it proves nothing about who reads the email. ErrInvitation
// for a token that is unknown, used or expired, or whose user is disabled.
func (s *Service) AcceptInvitation(
	ctx context.Context, token, password string, client httpd.Client,
) (u User, err error) {
	settle, err := s.throttleTokens(ctx, client)
	if err != nil {
		return User{}, err
	}
	defer func() { settle(err) }()
	hashed := auth.Fingerprint(token)
	u, err = invitedUser(ctx, s.pool, hashed)
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
		if err := audit.Record(ctx, tx, event(actorOf(u, 0), "user.accept", u, nil)); err != nil || u.EmailVerified {
			return err
		}
		return s.sendVerification(ctx, tx, u, u.Email, 0)
	})
	return u, err
}

// missingIs turns a token that was not found into a refusal that does not say why.
func missingIs(refusal, err error) error {
	if errs.KindOf(err) == errs.NotFound {
		return refusal
	}
	return err
}
