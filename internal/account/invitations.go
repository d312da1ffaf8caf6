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
// one, once, until expires. The token is a secret that is shown this one time. What the role's room keeps about
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
	return token, expires, record(ctx, tx, by, "user.invite", u, map[string]any{"role": u.Role})
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

// AcceptInvitation sets the password of an invited user, who then can sign in. A token that is unknown, used or
// expired, or of a disabled user, is ErrInvitation.
func (s *Service) AcceptInvitation(ctx context.Context, token, password string, client httpd.Client) (User, error) {
	if err := s.allow(ctx, "invitation:"+network(client.Address), s.cfg.LoginsPerAddress, loginWindow); err != nil {
		return User{}, err
	}
	hashed := fingerprint(token)
	u, err := invitedUser(ctx, s.pool, hashed)
	if err != nil {
		return User{}, orInvalid(err)
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
			return orInvalid(err)
		}
		if err := updatePassword(ctx, tx, u.ID, hash); err != nil {
			return err
		}
		return record(ctx, tx, actorOf(u, 0), "user.accept", u, nil)
	})
	return u, err
}

func orInvalid(err error) error {
	if errs.KindOf(err) == errs.NotFound {
		return ErrInvitation
	}
	return err
}
