package account

import (
	"context"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
)

// sendVerification emails a link that verifies address, which is or may become that of u; an earlier link stops
// working. session is the one that requested it, 0 for none.
func (s *Service) sendVerification(ctx context.Context, tx *postgres.Tx, u User, address string, session int64) error {
	l := auth.NewLink(tx.Now().Add(s.options.VerifyTTL))
	err := insertMailToken(ctx, tx, mailToken{
		Hash: l.Fingerprint(), User: u.ID, Purpose: purposeVerify, Address: address, Session: session, Expires: l.Expires,
	})
	if err != nil {
		return err
	}
	if address != u.Email {
		// The owner of an address that has an account gets no email, and whoever asked must not learn that there is an
		// account. So everything else happens as usual, but nobody gets the token.
		if taken, err := emailInUse(ctx, tx, address); err != nil || taken {
			return err
		}
	}
	return s.ports.Mail.VerifyEmail(ctx, tx, u.ID, address, l)
}

// VerifyEmail accepts a token from an email as proof that a user receives mail at an address. If they asked to change
// to that address, it becomes theirs: the old address is notified, and their sessions end, except the one that asked
// for the change. ErrVerification for a token that is unknown, used, withdrawn or expired, or whose user is disabled;
// ErrEmailTaken if somebody else has taken the address in the meantime.
func (s *Service) VerifyEmail(ctx context.Context, token string, client httpd.Client) (err error) {
	settle, err := s.throttleTokens(ctx, client)
	if err != nil {
		return err
	}
	defer func() { settle(err) }()
	hash := auth.Fingerprint(token)
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
		return audit.Record(ctx, tx, event(actorOf(u, 0), "user.verify", u, nil))
	})
}

// VerificationStands reports whether the token of an email that verifies an address still works.
func (s *Service) VerificationStands(ctx context.Context, token string) (bool, error) {
	_, err := mailTokenOwner(ctx, s.pool, auth.Fingerprint(token), purposeVerify)
	return stands(err)
}

// moveTo makes the address that u has proved to be theirs the one of the account.
func (s *Service) moveTo(ctx context.Context, tx *postgres.Tx, u User, shown proof) error {
	if _, err := updateEmail(ctx, tx, u.ID, shown.Address); err != nil {
		return err
	}
	ended, err := endSessionsOf(ctx, tx, u.ID, shown.Session, EndEmail)
	if err != nil {
		return err
	}
	s.announce(tx, ended...)
	if err := audit.Record(ctx, tx,
		event(actorOf(u, 0), "user.email", u, map[string]any{"endedSessions": len(ended)})); err != nil {
		return err
	}
	return s.ports.Mail.EmailChanged(ctx, tx, u.ID, u.Email)
}

// ResendVerification emails the actor a new link for the address that still has to be verified: the requested one, or
// else their own. ErrVerified if there is none.
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
			// The change still belongs to the session that gave the password for it: only that session survives it.
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

// ChangeEmail requests another address for the actor, whose password must be right. Nothing changes until they have
// verified it (VerifyEmail); the current address is notified at once. Giving the current address withdraws an earlier
// request. The actor does not learn whether somebody else has the address.
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
		return errs.InvalidField("body.password", "is not your current password")
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

// want stores the address that u asks for, notifies the current one, and emails the link to the new one.
func (s *Service) want(ctx context.Context, tx *postgres.Tx, by auth.Actor, u User, address string) error {
	if address == u.Email {
		if u.PendingEmail == "" {
			return nil
		}
		if _, err := updatePendingEmail(ctx, tx, u.ID, ""); err != nil {
			return err
		}
		return audit.Record(ctx, tx, event(by, "user.email_withdraw", u, nil))
	}
	if _, err := updatePendingEmail(ctx, tx, u.ID, address); err != nil {
		return err
	}
	if err := audit.Record(ctx, tx, event(by, "user.email_request", u, nil)); err != nil {
		return err
	}
	if err := s.ports.Mail.EmailChanged(ctx, tx, u.ID, u.Email); err != nil {
		return err
	}
	return s.sendVerification(ctx, tx, u, address, by.Session)
}
