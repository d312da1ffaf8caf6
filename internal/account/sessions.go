package account

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
	"housecall/internal/text"
)

const (
	// refreshGrace is how long a used refresh token still yields its successor, for lost answers and parallel tabs.
	refreshGrace = 30 * time.Second
	// commitSlack is how much longer than its request's deadline a transaction may take.
	commitSlack = 5 * time.Second
)

// SignIn is what a client needs to act for a user. Both tokens are secrets.
type SignIn struct {
	AccessToken  string
	ExpiresIn    time.Duration // of the access token, from now
	RefreshToken string
	User         User
}

// Login signs a user in with their email address or public id. An account that does not exist, is disabled, or has no
// password is answered like a wrong password and takes as long: ErrBadCredentials. 429 after too many attempts.
func (s *Service) Login(ctx context.Context, login, password string, client httpd.Client) (SignIn, error) {
	c, err := s.prove(ctx, login, password, client)
	if err != nil {
		return SignIn{}, err
	}
	return s.open(ctx, c, client)
}

// prove finds the user of a login and compares the password, within the throttles.
func (s *Service) prove(
	ctx context.Context, login, password string, client httpd.Client,
) (c credentials, err error) {
	settle, err := s.throttleAddress(ctx, client)
	if err != nil {
		return credentials{}, err
	}
	defer func() { settle(err) }()
	login, c, err = s.meant(ctx, login)
	if err != nil {
		return credentials{}, err
	}
	if err := s.throttleAccount(ctx, login, c.User, client); err != nil {
		return credentials{}, err
	}
	hash := c.PasswordHash
	if c.DisabledAt != nil {
		hash = "" // compared with the decoy
	}
	ok, err := s.passwords.Matches(ctx, password, hash)
	if err != nil {
		return credentials{}, err
	}
	if !ok {
		return credentials{}, ErrBadCredentials
	}
	return c, nil
}

// meant finds the account that a login refers to, the zero value if there is none, and returns the login as the
// throttles count it: trimmed, in lower case, an internationalized domain as its A-label. Any other login outside ASCII
// belongs to nobody and its case is not changed: that would turn ſ and the Kelvin sign into S and k, and the login into
// somebody else's.
func (s *Service) meant(ctx context.Context, login string) (string, credentials, error) {
	login = text.ASCIIEmail(strings.TrimSpace(login))
	known := "" // looked up all the same, so that every login costs the same work
	if !strings.ContainsFunc(login, func(r rune) bool { return r > unicode.MaxASCII }) {
		login = strings.ToLower(login)
		known = login
	}
	c, err := credentialsByLogin(ctx, s.pool, known)
	if errs.KindOf(err) == errs.NotFound {
		return login, credentials{}, nil
	}
	return login, c, err
}

// open begins a native session for a user who has just proved who they are with the password of c.
func (s *Service) open(ctx context.Context, c credentials, client httpd.Client) (SignIn, error) {
	var made opened
	refresh, fingerprint := auth.NewSecret()
	err := s.pool.InTx(ctx, func(tx *postgres.Tx) (err error) {
		if c, made, err = s.begin(ctx, tx, c, client, s.options.RefreshTTL); err != nil {
			return err
		}
		return insertRefreshToken(ctx, tx, fingerprint, made.ID)
	})
	if err != nil {
		return SignIn{}, err
	}
	return s.signIn(c.User, made.ID, refresh)
}

// begin stores a session that lives for ttl, and returns the user as they are now.
func (s *Service) begin(
	ctx context.Context, tx *postgres.Tx, c credentials, client httpd.Client, ttl time.Duration,
) (credentials, opened, error) {
	// The user may have changed while the password was hashed; from here on they cannot.
	now, err := lockCredentials(ctx, tx, c.ID, true)
	if err != nil {
		return c, opened{}, err
	}
	if now.PasswordHash != c.PasswordHash || now.DisabledAt != nil {
		return c, opened{}, ErrBadCredentials
	}
	made, err := insertSession(ctx, tx, newSession{
		User: now.ID, Device: client.UserAgent, Address: client.Address, Expires: tx.Now().Add(ttl),
	})
	if err != nil {
		return c, opened{}, err
	}
	return now, made, audit.Record(ctx, tx, event(actorOf(now.User, made.ID), "session.open", now.User,
		map[string]any{"session": made.PublicID, "address": client.Address}))
}

func (s *Service) signIn(u User, session int64, refresh string) (SignIn, error) {
	access, expires, err := s.tokens.Issue(actorOf(u, session))
	if err != nil {
		return SignIn{}, err
	}
	return SignIn{AccessToken: access, ExpiresIn: expires.Sub(s.now()), RefreshToken: refresh, User: u}, nil
}

// Refresh exchanges a refresh token for its successor and a new access token. The same token yields the same successor
// for half a minute; later use of it means that two parties hold it, and the session ends (RFC 9700, 4.14.2).
// ErrRefreshToken for any token that is not valid.
func (s *Service) Refresh(ctx context.Context, token string) (SignIn, error) {
	var f family
	var user User
	var successor string
	err := s.pool.InTx(ctx, func(tx *postgres.Tx) (err error) {
		hash := auth.Fingerprint(token)
		if f, err = lockFamily(ctx, tx, hash); err != nil {
			return err
		}
		if user, err = userByID(ctx, tx, f.User); err != nil {
			return err
		}
		t, err := refreshTokenOf(ctx, tx, hash)
		if err != nil {
			return err
		}
		if t.UsedAt == nil {
			successor = s.successors.of(token)[0]
			return rotateRefreshToken(ctx, tx, rotation{
				Session: f.Session, Used: hash, Successor: auth.Fingerprint(successor),
				Expires: tx.Now().Add(s.options.RefreshTTL),
			})
		}
		if tx.Now().Sub(*t.UsedAt) <= refreshGrace {
			successor, err = s.givenSuccessor(ctx, tx, token, f.Session)
			return err
		}
		successor = ""
		return s.endReused(ctx, tx, f, user) // an error here would roll the ending back
	})
	if errs.KindOf(err) == errs.NotFound || (err == nil && successor == "") {
		return SignIn{}, ErrRefreshToken
	}
	if err != nil {
		return SignIn{}, err
	}
	return s.signIn(user, f.Session, successor)
}

// givenSuccessor finds the successor for which a used token was exchanged; "" if it was derived from a secret that is
// no longer configured.
func (s *Service) givenSuccessor(ctx context.Context, tx *postgres.Tx, token string, session int64) (string, error) {
	for _, candidate := range s.successors.of(token) {
		exists, err := refreshTokenExists(ctx, tx, auth.Fingerprint(candidate), session)
		if err != nil || exists {
			return candidate, err
		}
	}
	return "", nil
}

func (s *Service) endReused(ctx context.Context, tx *postgres.Tx, f family, u User) error {
	if _, err := endSessionByID(ctx, tx, f.Session, EndReuse); err != nil {
		return err
	}
	s.announce(tx, f.Session)
	return audit.Record(ctx, tx, event(auth.System, "session.reuse", u, map[string]any{"session": f.SessionPublic}))
}

// Authenticate returns the user of an access token, and when the token expires, if its session still counts: it has
// not ended or expired, the user is not disabled, and the role is still the token's. Otherwise
// errs.ErrUnauthenticated. It costs one query by primary key, and an update once a minute.
func (s *Service) Authenticate(ctx context.Context, token string) (auth.Actor, time.Time, error) {
	claims, err := s.tokens.Verify(token)
	if err != nil {
		return auth.Actor{}, time.Time{}, errs.ErrUnauthenticated
	}
	a, err := s.present(ctx, claims)
	if err != nil {
		return auth.Actor{}, time.Time{}, err
	}
	if a.Role != claims.Role {
		return auth.Actor{}, time.Time{}, errs.ErrUnauthenticated
	}
	return a, claims.Expires, nil
}

// present returns the user of a token's session as they are now; errs.ErrUnauthenticated if it no longer counts.
func (s *Service) present(ctx context.Context, claims auth.Claims) (auth.Actor, error) {
	p, err := sessionPresence(ctx, s.pool, claims.Session)
	if errs.KindOf(err) == errs.NotFound {
		return auth.Actor{}, errs.ErrUnauthenticated
	}
	if err != nil {
		return auth.Actor{}, err
	}
	if p.PublicID != claims.UserID {
		return auth.Actor{}, errs.ErrUnauthenticated
	}
	if p.Idle {
		if err := touchSession(ctx, s.pool, claims.Session); err != nil {
			return auth.Actor{}, err
		}
	}
	return auth.Actor{
		ID: p.UserID, UserID: p.PublicID, Name: p.Name, Role: p.Role, Session: claims.Session,
		MustChangePassword: p.MustChangePassword,
	}, nil
}

// Logout ends the actor's session, if it has not ended yet.
func (s *Service) Logout(ctx context.Context, by auth.Actor) error {
	return s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		ended, err := endSessionByID(ctx, tx, by.Session, EndLogout)
		if errs.KindOf(err) == errs.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		return s.recordEnd(ctx, tx, by, ended, EndLogout)
	})
}

// Sessions lists where a user is signed in, newest first. cursor is 0 or the one returned with the page before; the
// last page returns 0.
func (s *Service) Sessions(ctx context.Context, by auth.Actor, cursor int64, limit int) ([]Session, int64, error) {
	stored, err := listSessions(ctx, s.pool, by.ID, cursor, limit)
	if err != nil {
		return nil, 0, err
	}
	next := int64(0)
	if len(stored) > limit {
		stored = stored[:limit]
		next = stored[limit-1].ID
	}
	out := make([]Session, len(stored))
	for i, r := range stored {
		out[i] = Session{
			PublicID: r.PublicID, Device: r.Device, Address: r.Address, CreatedAt: r.CreatedAt.UTC(),
			LastUsedAt: r.LastUsedAt.UTC(), Current: r.ID == by.Session,
		}
	}
	return out, next, nil
}

// RevokeSession ends one of the actor's own sessions; errs.NotFound for any other.
func (s *Service) RevokeSession(ctx context.Context, by auth.Actor, publicID string) error {
	return s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		ended, err := endSession(ctx, tx, by.ID, publicID, EndRevoked)
		if err != nil {
			return err
		}
		return s.recordEnd(ctx, tx, by, ended, EndRevoked)
	})
}

func (s *Service) recordEnd(
	ctx context.Context, tx *postgres.Tx, by auth.Actor, ended opened, reason EndReason,
) error {
	s.announce(tx, ended.ID)
	u := User{ID: by.ID, PublicID: by.UserID, Role: by.Role}
	return audit.Record(ctx, tx, event(by, "session.end", u, map[string]any{"session": ended.PublicID, "reason": reason}))
}

// announce tells the listener once tx has committed.
func (s *Service) announce(tx *postgres.Tx, sessions ...int64) {
	if len(sessions) == 0 || s.ports.Listener == nil {
		return
	}
	tx.AfterCommit(func() { s.ports.Listener.SessionsEnded(sessions) })
}

// EndedSessions returns the sessions that ended since a time of the database, and the time to pass to the next call.
// Begin with the zero time. A change becomes visible only when it commits, so the query reaches back by as long as a
// transaction can take: a session may be reported several times, but none is missed. Sessions that merely expired are
// not included.
func (s *Service) EndedSessions(ctx context.Context, since time.Time) (ended []int64, asOf time.Time, err error) {
	var from *time.Time
	if !since.IsZero() {
		from = &since
	}
	e, err := sessionsEndedSince(ctx, s.pool, from, s.options.RequestTimeout+commitSlack)
	if err != nil {
		return nil, time.Time{}, err
	}
	return e.Ended, e.AsOf.UTC(), nil
}

// PurgeExpired deletes refresh tokens, sessions, invitations and tokens of emails that ended longer ago than a session
// lives without use, and returns how many rows it deleted. Until then, a copied refresh token still gives its thief
// away.
func (s *Service) PurgeExpired(ctx context.Context) (int64, error) {
	const batch = 1000
	var total int64
	for {
		n, more, err := purge(ctx, s.pool, s.options.RefreshTTL, batch)
		total += n
		if err != nil {
			return total, fmt.Errorf("purge accounts: %w", err)
		}
		if !more {
			return total, nil
		}
	}
}
