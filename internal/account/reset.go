package account

import (
	"context"
	"time"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
)

// forgotPace is how long the answer to a forgotten password takes, at the least. Writing a mail for an account takes a
// few milliseconds more than finding that there is none: far less than this.
const forgotPace = 300 * time.Millisecond

// ForgotPassword mails whom a login (e-mail address or public id) means a link with which he chooses a new password;
// an older one no longer works. Whether there is such an account, and whether it may sign in at all, neither the
// answer nor the time it takes reveals. 429 after too many for a name or from an address.
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
	case <-ctx.Done(): // nobody waits for the answer any more
	}
	return nil
}

// mayReset tells whether an account can be given a new password by mail. One that was only invited has its
// invitation for that.
func mayReset(c credentials) bool { return c.PasswordHash != "" && c.DisabledAt == nil }

func (s *Service) sendReset(ctx context.Context, id int64, client httpd.Client) error {
	return s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		c, err := lockCredentials(ctx, tx, id, false)
		if err != nil || !mayReset(c) {
			return err
		}
		token, expires := newSecret(), tx.Now().Add(s.cfg.ResetTTL)
		err = insertMailToken(ctx, tx, mailToken{
			Hash: fingerprint(token), User: c.ID, Purpose: purposeReset, Address: c.Email, Expires: expires,
		})
		if err != nil {
			return err
		}
		if err := record(ctx, tx, auth.System, "user.forgot", c.User, map[string]any{"address": client.Address}); err != nil {
			return err
		}
		return s.ports.Mail.PasswordReset(ctx, tx, c.ID, token, expires)
	})
}

// ResetStands tells whether the token of a mail that resets a password still works.
func (s *Service) ResetStands(ctx context.Context, token string) (bool, error) {
	_, err := mailTokenOwner(ctx, s.pool, fingerprint(token), purposeReset)
	return stands(err)
}

// stands reads from err whether a token was found.
func stands(err error) (bool, error) {
	if errs.KindOf(err) == errs.NotFound {
		return false, nil
	}
	return err == nil, err
}

// ResetPassword sets the password of the user whom a link was mailed to, and ends all his sessions. That he has the
// link verifies his address; a change of it that was asked for is dropped. ErrReset for a token that is unknown, used,
// withdrawn or expired, or of a disabled user, or went to an address that is not his any more.
func (s *Service) ResetPassword(ctx context.Context, token, password string, client httpd.Client) error {
	if err := s.throttleTokens(ctx, client); err != nil {
		return err
	}
	hashed := fingerprint(token)
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
		return record(ctx, tx, actorOf(u, 0), "user.reset", u, nil)
	})
}
