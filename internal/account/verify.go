package account

import (
	"context"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
)

// sendVerification mails to address, which is or may become that of u, a link that proves who reads it; an older one
// no longer works. session is whose wish it was, 0 for nobody's.
func (s *Service) sendVerification(ctx context.Context, tx *postgres.Tx, u User, address string, session int64) error {
	token, expires := newSecret(), tx.Now().Add(s.cfg.VerifyTTL)
	err := insertMailToken(ctx, tx, mailToken{
		Hash: fingerprint(token), User: u.ID, Purpose: purposeVerify, Address: address, Session: session, Expires: expires,
	})
	if err != nil {
		return err
	}
	if address != u.Email {
		// Its owner gets no mail, since he has his account; and whoever asked must not learn that there is one. So
		// all else is as ever: there is just nobody who knows the token.
		if taken, err := emailInUse(ctx, tx, address); err != nil || taken {
			return err
		}
	}
	return s.ports.Mail.VerifyEmail(ctx, tx, u.ID, address, token, expires)
}

// VerifyEmail takes a token from a mail as the proof that a user reads the mail of an address. If that is the one he
// wants to have instead of his, it becomes his from now on: the old one is told, and his sessions end, all but the one
// that asked for the change. ErrVerification for a token that is unknown, used, withdrawn or expired, or of a disabled
// user; ErrEmailTaken where somebody else has got the address meanwhile.
func (s *Service) VerifyEmail(ctx context.Context, token string, client httpd.Client) error {
	if err := s.throttleTokens(ctx, client); err != nil {
		return err
	}
	hash := fingerprint(token)
	return s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		u, err := lockMailTokenOwner(ctx, tx, hash, purposeVerify)
		if err != nil {
			return missingIs(ErrVerification, err)
		}
		shown, err := useMailToken(ctx, tx, hash, purposeVerify)
		if err != nil {
			return missingIs(ErrVerification, err)
		}
		if shown.Address != u.Email {
			return s.moveTo(ctx, tx, u, shown)
		}
		if _, err := markVerified(ctx, tx, u.ID); err != nil {
			return err
		}
		return record(ctx, tx, actorOf(u, 0), "user.verify", u, nil)
	})
}

// VerificationStands tells whether the token of a mail that verifies an address still works.
func (s *Service) VerificationStands(ctx context.Context, token string) (bool, error) {
	_, err := mailTokenOwner(ctx, s.pool, fingerprint(token), purposeVerify)
	return stands(err)
}

// moveTo gives u the address that he has shown to be his.
func (s *Service) moveTo(ctx context.Context, tx *postgres.Tx, u User, shown proof) error {
	if _, err := updateEmail(ctx, tx, u.ID, shown.Address); err != nil {
		return err
	}
	ended, err := endSessionsOf(ctx, tx, u.ID, shown.Session, EndEmail)
	if err != nil {
		return err
	}
	s.announce(tx, ended...)
	if err := record(ctx, tx, actorOf(u, 0), "user.email", u, map[string]any{"endedSessions": len(ended)}); err != nil {
		return err
	}
	return s.ports.Mail.EmailChanged(ctx, tx, u.ID, u.Email)
}

// ResendVerification mails the actor a new link for the address that he still has to verify: the one he wants, or else
// his own. ErrVerified where there is none.
func (s *Service) ResendVerification(ctx context.Context, by auth.Actor) error {
	if err := s.throttleVerification(ctx, by.UserID); err != nil {
		return err
	}
	return s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		u, err := lockUser(ctx, tx, by.UserID)
		if err != nil {
			return err
		}
		switch {
		case u.PendingEmail != "":
			// The change stays the wish of the session that gave the password for it: only that one outlives it.
			session, err := sessionBehind(ctx, tx, u.ID, u.PendingEmail)
			if err != nil {
				return err
			}
			return s.sendVerification(ctx, tx, u, u.PendingEmail, session)
		case !u.EmailVerified:
			return s.sendVerification(ctx, tx, u, u.Email, 0)
		default:
			return ErrVerified
		}
	})
}

// ChangeEmail asks for another address for the actor, whose password must be right. Nothing changes before he has
// shown, with VerifyEmail, that he reads its mail; the present address is told at once. His present address takes an
// earlier wish back. Whether somebody else has the address, he does not learn.
func (s *Service) ChangeEmail(ctx context.Context, by auth.Actor, password, email string) error {
	address, err := NormalizeEmail(email)
	if err != nil {
		return err
	}
	if err := s.throttlePassword(ctx, by.UserID); err != nil {
		return err
	}
	c, err := credentialsByID(ctx, s.pool, by.ID)
	if err != nil {
		return err
	}
	ok, err := s.passwords.Matches(ctx, password, c.PasswordHash)
	if err != nil {
		return err
	}
	if !ok {
		return errs.InvalidField("body.password", "is not your present password")
	}
	if err := s.throttleVerification(ctx, by.UserID); err != nil {
		return err
	}
	return s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		now, err := lockCredentials(ctx, tx, by.ID, false)
		if err != nil {
			return err
		}
		if now.PasswordHash != c.PasswordHash { // as in ChangePassword
			return errs.ErrStale
		}
		return s.want(ctx, tx, by, now.User, address)
	})
}

// want notes what address u asks for, tells the present one, and mails the proof to the new one.
func (s *Service) want(ctx context.Context, tx *postgres.Tx, by auth.Actor, u User, address string) error {
	if address == u.Email {
		if u.PendingEmail == "" {
			return nil
		}
		if _, err := updatePendingEmail(ctx, tx, u.ID, ""); err != nil {
			return err
		}
		return record(ctx, tx, by, "user.email_withdraw", u, nil)
	}
	if _, err := updatePendingEmail(ctx, tx, u.ID, address); err != nil {
		return err
	}
	if err := record(ctx, tx, by, "user.email_request", u, nil); err != nil {
		return err
	}
	if err := s.ports.Mail.EmailChanged(ctx, tx, u.ID, u.Email); err != nil {
		return err
	}
	return s.sendVerification(ctx, tx, u, address, by.Session)
}
