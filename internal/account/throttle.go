package account

import (
	"context"
	"encoding/hex"
	"sync"
	"time"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/httpd/ratelimit"
)

const (
	loginWindow = 15 * time.Minute
	// mailsPerHour is how many emails of one kind can be requested for one name or by one user in an hour.
	mailsPerHour = 5
	// othersFactor times LoginsPerAccount is how many attempts all addresses together have for one account.
	othersFactor = 5
	// attemptsAtOnce is how many attempts of one address run at once; more would not be faster (see auth.Passwords).
	attemptsAtOnce = 8
)

// throttleAddress refuses a sign-in from an address that has had LoginsPerAddress wrong ones, for whatever accounts,
// before anything is looked up. settle has to be called with the outcome (see attempt).
func (s *Service) throttleAddress(ctx context.Context, client httpd.Client) (settle func(error), err error) {
	return s.attempt(ctx, "login:address:", client)
}

// attempt counts an attempt to guess something against an address's allowance, until settle is called with its
// outcome: only wrong guesses stay counted. A whole clinic may sign in from one address at eight o'clock, and what is
// refused for one account must not use up what the others have. As attempts count while they run, only a few of one
// address run at once, and the others wait for their turn.
func (s *Service) attempt(ctx context.Context, key string, client httpd.Client) (settle func(error), err error) {
	key += network(client.Address)
	end, err := s.turns.begin(ctx, key, min(attemptsAtOnce, s.options.LoginsPerAddress))
	if err != nil {
		return nil, err
	}
	giveBack, retryAfter := s.limiter.Take(ctx, key, ratelimit.Limit{N: s.options.LoginsPerAddress, Per: loginWindow})
	if giveBack == nil {
		end()
		return nil, tooMany(retryAfter)
	}
	return func(outcome error) {
		defer end()
		if kind := errs.KindOf(outcome); outcome == nil || kind != errs.Unauthenticated && kind != errs.NotFound {
			giveBack(context.WithoutCancel(ctx))
		}
	}, nil
}

// turns bounds how many attempts run at once under each key, on this instance.
type turns struct {
	mu  sync.Mutex // guards the rest
	all map[string]*turn
}

type turn struct {
	slots chan struct{}
	users int // who have a slot or wait for one
}

// begin waits for one of n slots; end frees it.
func (t *turns) begin(ctx context.Context, key string, n int) (end func(), err error) {
	t.mu.Lock()
	mine := t.all[key]
	if mine == nil {
		mine = &turn{slots: make(chan struct{}, max(1, n))}
		t.all[key] = mine
	}
	mine.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if mine.users--; mine.users == 0 {
			delete(t.all, key)
		}
	}
	select {
	case mine.slots <- struct{}{}:
		return func() { <-mine.slots; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, auth.ErrTooManySignIns(ctx.Err())
	}
}

// throttleAccount refuses a sign-in after too many attempts with one login, before any password is compared. The login
// is counted as it was given (see meant), whether or not it belongs to anybody: a shared allowance for both names of
// an account would reveal which email address belongs to a public id.
//
// One address has LoginsPerAccount attempts for one account. All addresses together have a few times as many, which
// slows down a guesser who has many addresses. Users who have signed in from their present address before are exempt
// from that last limit, so strangers cannot lock them out.
func (s *Service) throttleAccount(ctx context.Context, login string, u User, client httpd.Client) error {
	account := hex.EncodeToString(auth.Fingerprint(login)[:16])
	if err := s.throttle(ctx, "login:pair:"+account+":"+network(client.Address), s.options.LoginsPerAccount,
		loginWindow); err != nil {
		return err
	}
	refused := s.throttle(ctx, "login:account:"+account, s.options.LoginsPerAccount*othersFactor, loginWindow)
	if refused == nil {
		return nil
	}
	known, err := signedInFrom(ctx, s.pool, u.ID, client.Address)
	if err != nil {
		return err
	}
	if known {
		return nil
	}
	return refused
}

// throttlePassword bounds how often the password of a signed-in user can be guessed with a stolen access token.
func (s *Service) throttlePassword(ctx context.Context, userID string) error {
	return s.throttle(ctx, "password:"+userID, s.options.LoginsPerAccount, loginWindow)
}

// throttleTokens bounds how many wrong tokens from emails can be tried from one address. settle has to be called with
// the outcome (see attempt).
func (s *Service) throttleTokens(ctx context.Context, client httpd.Client) (settle func(error), err error) {
	return s.attempt(ctx, "token:", client)
}

// throttleForgotAddress bounds how many emails strangers can request from one address.
func (s *Service) throttleForgotAddress(ctx context.Context, client httpd.Client) error {
	return s.throttle(ctx, "forgot:address:"+network(client.Address), s.options.LoginsPerAddress, loginWindow)
}

// throttleForgotName bounds how many emails can be requested for one name, whether or not it belongs to anybody. Names
// are counted as in throttleAccount. Using up somebody's allowance locks nobody out: the last link that was sent still
// works.
func (s *Service) throttleForgotName(ctx context.Context, login string) error {
	return s.throttle(ctx, "forgot:name:"+hex.EncodeToString(auth.Fingerprint(login)[:16]), mailsPerHour, time.Hour)
}

// throttleVerification bounds how many emails a signed-in user can send to addresses that may not be theirs.
func (s *Service) throttleVerification(ctx context.Context, userID string) error {
	return s.throttle(ctx, "verification:"+userID, mailsPerHour, time.Hour)
}

func (s *Service) throttle(ctx context.Context, key string, n int, per time.Duration) error {
	ok, retryAfter := s.limiter.Allow(ctx, key, ratelimit.Limit{N: n, Per: per})
	if ok {
		return nil
	}
	return tooMany(retryAfter)
}

func tooMany(retryAfter time.Duration) error {
	return &errs.Error{
		Kind: errs.RateLimited, Code: "rate_limited", Message: "Too many attempts. Wait a while and try again.",
		RetryAfter: retryAfter,
	}
}

// network is what counts as one address.
func network(address string) string { return httpd.Client{Address: address}.Network() }
