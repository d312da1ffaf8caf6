package account

import (
	"context"
	"time"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
)

// forgotPace is the least time that ForgotPassword takes. It hides that queueing an email takes a few milliseconds
// longer than finding no account.
const forgotPace = 300 * time.Millisecond

// ForgotPassword emails the user of a login (email address or public id) a link with which to choose a new password;
// an earlier one stops working. Neither the answer nor the time it takes reveals whether there is such an account, or
// whether it may sign in at all. 429 after too many requests for a login or from an address.
func (s *Service) ForgotPassword(ctx context.Context, login string, client httpd.Client) error {
	pace := time.NewTimer(s.forgotPace)
	defer pace.Stop()
	if err := s.throttleForgotAddress(ctx, client); err != nil {
		return err
	}
	login, c, err := s.meant(ctx, login)
	if err != nil {
		return err
	}
	if err := s.throttleForgotName(ctx, login); err != nil {
		return err
	}
	if mayReset(c) {
		if err := s.sendReset(ctx, c.ID, client); err != nil {
			return err
		}
	}
	select {
	case <-pace.C:
	case <-ctx.Done(): // nobody is waiting for the answer any more
	}
	return nil
}

// mayReset reports whether the password of an account can be reset by mail. Users who have not set one yet use their
// invitation.
func mayReset(c credentials) bool { return c.PasswordHash != "" && c.DisabledAt == nil }

func (s *Service) sendReset(ctx context.Context, id int64, client httpd.Client) error {
	return s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		c, err := lockCredentials(ctx, tx, id, false)
		if err != nil || !mayReset(c) {
			return err
		}
		l := auth.NewLink(tx.Now().Add(s.options.ResetTTL))
		err = insertMailToken(ctx, tx, mailToken{
			Hash: l.Fingerprint(), User: c.ID, Purpose: purposeReset, Address: c.Email, Expires: l.Expires,
		})
		if err != nil {
			return err
		}
		asked := event(auth.System, "user.forgot", c.User, map[string]any{"address": client.Address})
		if err := audit.Record(ctx, tx, asked); err != nil {
			return err
		}
		return s.ports.Mail.PasswordReset(ctx, tx, c.ID, l)
	})
}

// ResetStands reports whether the token of an email that resets a password still works.
func (s *Service) ResetStands(ctx context.Context, token string) (bool, error) {
	_, err := mailTokenOwner(ctx, s.pool, auth.Fingerprint(token), purposeReset)
	return stands(err)
}

// stands reads from err whether a token was found.
func stands(err error) (bool, error) {
	if errs.KindOf(err) == errs.NotFound {
		return false, nil
	}
	return err == nil, err
}

// ResetPassword sets the password of the user to whom a link was emailed, and ends all their sessions. Having the link
// verifies the address; a requested change of it is dropped. ErrReset for a token that is unknown, used, withdrawn or
// expired, whose user is disabled, or that went to an address that is no longer the user's.
func (s *Service) ResetPassword(ctx context.Context, token, password string, client httpd.Client) (err error) {
	settle, err := s.throttleTokens(ctx, client)
	if err != nil {
		return err
	}
	defer func() { settle(err) }()
	hashed := auth.Fingerprint(token)
	u, err := mailTokenOwner(ctx, s.pool, hashed, purposeReset)
	if err != nil {
		return missingIs(ErrReset, err)
	}
	if err := checkPassword("body.password", password, u.Email, u.Name); err != nil {
		return err
	}
	hash, err := s.passwords.Hash(ctx, password)
	if err != nil {
		return err
	}
	return s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		u, err := lockMailTokenOwner(ctx, tx, hashed, purposeReset)
		if err != nil {
			return missingIs(ErrReset, err)
		}
		if _, err := useMailToken(ctx, tx, hashed, purposeReset); err != nil {
			return missingIs(ErrReset, err)
		}
		if _, err := updatePassword(ctx, tx, u.ID, hash); err != nil {
			return err
		}
		if _, err := markVerified(ctx, tx, u.ID); err != nil {
			return err
		}
		if err := s.endAll(ctx, tx, u, EndPassword); err != nil {
			return err
		}
		return audit.Record(ctx, tx, event(actorOf(u, 0), "user.reset", u, nil))
	})
}
