package auth

import (
	"context"
	"flag"
	"fmt"
	"runtime"

	"github.com/alexedwards/argon2id"

	"housecall/internal/errs"
)

// Password lengths in code points; the upper one bounds the work an attacker can ask for.
const (
	PasswordMin = 10
	PasswordMax = 128
)

// OWASP Password Storage Cheat Sheet, argon2id minimum: 19 MiB, 2 iterations, 1 degree of parallelism.
var argonParams = &argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// CheapForTests makes whatever hashes passwords from now on do as little as argon2id allows, which protects nothing:
// with the race detector, each hash takes the tests an eighth of a second. Outside of test binaries it panics.
func CheapForTests() {
	if flag.Lookup("test.v") == nil {
		panic("auth: cheap hashes are for tests")
	}
	argonParams = &argon2id.Params{Memory: 8, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}
}

// Passwords hashes and compares passwords with argon2id (RFC 9106). Each takes tens of milliseconds of a core
// and 19 MiB, so only as many run at once as there are cores; the rest wait as long as their context allows.
type Passwords struct {
	slots chan struct{}
	decoy string
}

// NewPasswords prepares the hasher and the decoy that unknown accounts are compared with.
func NewPasswords() (*Passwords, error) {
	decoy, err := argon2id.CreateHash("a password that nobody has", argonParams)
	if err != nil {
		return nil, fmt.Errorf("prepare password hashing: %w", err)
	}
	return &Passwords{slots: make(chan struct{}, max(1, runtime.NumCPU())), decoy: decoy}, nil
}

// Hash returns the encoded hash (PHC string format) to store.
func (p *Passwords) Hash(ctx context.Context, password string) (string, error) {
	var encoded string
	err := p.bounded(ctx, func() (err error) {
		encoded, err = argon2id.CreateHash(password, argonParams)
		return err
	})
	return encoded, err
}

// Matches compares a password with a stored hash. An empty hash (no such account, or one without a password
// yet) is compared with a decoy and never matches, so that the answer takes as long as for a real account.
func (p *Passwords) Matches(ctx context.Context, password, encoded string) (bool, error) {
	stored := encoded != ""
	if !stored {
		encoded = p.decoy
	}
	var ok bool
	err := p.bounded(ctx, func() (err error) {
		ok, err = argon2id.ComparePasswordAndHash(password, encoded)
		return err
	})
	return ok && stored, err
}

// ErrTooManySignIns is the error of who did not get a turn in time; cause says why.
func ErrTooManySignIns(cause error) error {
	e := *errs.ErrUnavailable
	e.Message, e.Err = "Too many people are signing in right now. Try again shortly.", cause
	return &e
}

func (p *Passwords) bounded(ctx context.Context, work func() error) error {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return ErrTooManySignIns(ctx.Err())
	}
	if err := work(); err != nil {
		return fmt.Errorf("argon2id: %w", err)
	}
	return nil
}
