package client

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// User is an account as its owner sees it.
type User struct {
	UserID             string `json:"userId"`
	Name               string `json:"name"`
	Email              string `json:"email"`
	Role               string `json:"role"`
	MustChangePassword bool   `json:"mustChangePassword"`
}

// ErrSignedOut means that there is no session, or that it has ended: sign in again.
var ErrSignedOut = errors.New("not signed in, or the session has ended: sign in again")

// tokens are the result of a sign-in; the zero value means signed out.
type tokens struct {
	access, refresh string
	expires         time.Time
	renewAt         time.Time
}

// refreshCall is one renewal, which all callers that need a new token wait for.
type refreshCall struct {
	done chan struct{} // closed when err is set
	err  error
}

// renewMargin is how long before it expires a token is renewed (but at most a third of its life). The service's own
// warning comes later, 60 s before the end.
const renewMargin = 90 * time.Second

type signIn struct {
	AccessToken  string `json:"accessToken"`
	ExpiresIn    int64  `json:"expiresIn"` // seconds
	RefreshToken string `json:"refreshToken"`
	User         User   `json:"user"`
}

// Register creates a patient's account. It does not sign in.
func (a *API) Register(ctx context.Context, name, email, password string) (User, error) {
	in := map[string]string{"name": name, "email": email, "password": password}
	var u User
	err := a.sendOnce(ctx, ask{method: http.MethodPost, path: "/auth/register", in: in, out: &u})
	return u, err
}

// AcceptInvitation sets the password of an account that an administrator created. It does not sign in.
func (a *API) AcceptInvitation(ctx context.Context, token, password string) error {
	in := map[string]string{"token": token, "password": password}
	return a.sendOnce(ctx, ask{method: http.MethodPost, path: "/auth/invitations/accept", in: in})
}

// Login signs in with an email address or a user id. From then on the API renews its access token automatically.
func (a *API) Login(ctx context.Context, login, password string) (User, error) {
	in := map[string]string{"login": login, "password": password}
	var out signIn
	if err := a.sendOnce(ctx, ask{method: http.MethodPost, path: "/auth/login", in: in, out: &out}); err != nil {
		return User{}, err
	}
	a.keep(out)
	return out.User, nil
}

// Logout ends the sign-in session. The API is signed out even if the service cannot be told.
func (a *API) Logout(ctx context.Context) error {
	a.mu.Lock()
	t := a.tokens
	a.tokens = tokens{}
	a.mu.Unlock()
	if t.access == "" {
		return nil
	}
	return a.sendOnce(ctx, ask{method: http.MethodPost, path: "/auth/logout", token: t.access})
}

// User returns the user who signed in.
func (a *API) User() User {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.user
}

// Token returns an access token that is valid for a while, renewing it first when it is about to expire.
func (a *API) Token(ctx context.Context) (string, error) {
	t := a.current()
	switch {
	case t.access == "":
		return "", ErrSignedOut
	case a.now().Before(t.renewAt):
		return t.access, nil
	}
	token, err := a.renew(ctx, t.access)
	if err == nil || errors.Is(err, ErrSignedOut) || a.now().After(t.expires) {
		return token, err
	}
	return t.access, nil // the service cannot be reached, but this token is still valid
}

// Expires returns when the access token expires; zero when signed out.
func (a *API) Expires() time.Time { return a.current().expires }

// renewDue returns when Token will renew.
func (a *API) renewDue() time.Time { return a.current().renewAt }

func (a *API) current() tokens {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tokens
}

// Refresh renews the access token now, or waits for a renewal that is under way.
func (a *API) Refresh(ctx context.Context) error {
	_, err := a.renew(ctx, a.current().access)
	return err
}

// renew replaces the token old, once for all callers: refresh tokens rotate, so two renewals at the same time would
// look like a stolen token. ErrSignedOut means that the service no longer knows the session.
func (a *API) renew(ctx context.Context, old string) (string, error) {
	a.mu.Lock()
	if a.tokens.access != old { // another caller has just renewed it
		defer a.mu.Unlock()
		return a.tokens.access, nil
	}
	if old == "" {
		a.mu.Unlock()
		return "", ErrSignedOut
	}
	call := a.refreshing
	if call == nil {
		call = &refreshCall{done: make(chan struct{})}
		a.refreshing = call
		go a.runRefresh(context.WithoutCancel(ctx), call, a.tokens.refresh)
	}
	a.mu.Unlock()
	select {
	case <-call.done:
		if call.err != nil {
			return "", call.err
		}
		return a.current().access, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// runRefresh needs a context that no single caller can cancel, since others wait for it; its own deadline ends it.
func (a *API) runRefresh(ctx context.Context, call *refreshCall, refresh string) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	var out signIn
	in := map[string]string{"refreshToken": refresh}
	err := a.sendOnce(ctx, ask{method: http.MethodPost, path: "/auth/refresh", in: in, out: &out})
	switch {
	case err == nil:
		a.keep(out)
	case isUnauthenticated(err):
		call.err = errors.Join(ErrSignedOut, err)
	default:
		call.err = err
	}
	a.mu.Lock()
	a.refreshing = nil
	a.mu.Unlock()
	close(call.done)
}

// keep stores the result of a sign-in or a renewal.
func (a *API) keep(s signIn) {
	life := time.Duration(s.ExpiresIn) * time.Second
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens = tokens{
		access: s.AccessToken, refresh: s.RefreshToken,
		expires: now.Add(life), renewAt: now.Add(life - min(renewMargin, life/3)),
	}
	if s.User.UserID != "" {
		a.user = s.User
	}
}

// Me reads the user's own account.
func (a *API) Me(ctx context.Context) (User, error) {
	var u User
	err := a.call(ctx, ask{method: http.MethodGet, path: "/me", out: &u})
	return u, err
}
