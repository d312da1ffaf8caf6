package idempotency

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"housecall/internal/auth"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
)

const (
	// keptFor is how long an answer is given again.
	keptFor = 24 * time.Hour
	// grace is how much longer than a request's deadline its key stays taken: for keeping the answer, and for clocks
	// of instances that differ a little.
	grace = 20 * time.Second
	// tries is how often Claim tries, as a key that it found taken may be freed before it can be read.
	tries = 3
)

// Deps are what the service works with. All are required.
type Deps struct {
	Pool *postgres.Pool
	// Sealer seals the answers that are kept: some hold secrets.
	Sealer  *auth.Sealer
	Now     func() time.Time
	Options Options
}

// Options are the configured values of the service.
type Options struct {
	// RequestTimeout is the deadline of one request. A key stays taken for that long and 20 seconds more: a request that
	// has no answer by then has crashed.
	RequestTimeout time.Duration
}

// Service keeps first answers.
type Service struct {
	pool   *postgres.Pool
	sealer *auth.Sealer
	lease  time.Duration
	now    func() time.Time
}

var _ httpd.Idempotency = (*Service)(nil)

// New makes the service.
func New(d Deps) *Service {
	return &Service{pool: d.Pool, sealer: d.Sealer, lease: d.Options.RequestTimeout + grace, now: d.Now}
}

// Claim implements httpd.Idempotency. Of any number of simultaneous attempts, on any number of instances, one gets the
// claim: the first or, once the lease of a crashed attempt has ended, one of the retries.
func (s *Service) Claim(ctx context.Context, a httpd.Attempt) (claim string, first *httpd.Answer, err error) {
	mine, now := uuid.New(), s.now()
	for range tries {
		taken, err := claimKey(ctx, s.pool, row{
			UserID: a.Actor, Digest: digest(a), Fingerprint: a.Fingerprint[:],
			Claim: mine, LeaseUntil: now.Add(s.lease), CreatedAt: now,
		}, now.Add(-keptFor))
		if err != nil {
			return "", nil, err
		}
		if taken {
			return mine.String(), nil, nil
		}
		found, there, err := selectKey(ctx, s.pool, a.Actor, digest(a))
		if err != nil {
			return "", nil, err
		}
		if there {
			first, err = s.judge(a, found)
			return "", first, err
		}
	}
	return "", nil, httpd.ErrInProgress
}

// judge decides the answer to an attempt whose key is taken.
func (s *Service) judge(a httpd.Attempt, found row) (*httpd.Answer, error) {
	if !bytes.Equal(found.Fingerprint, a.Fingerprint[:]) {
		return nil, httpd.ErrKeyReused
	}
	if found.Answer == nil {
		return nil, httpd.ErrInProgress
	}
	plain, err := s.sealer.Open(purpose(a), *found.Answer)
	if err != nil {
		return nil, errUnreadable
	}
	return decode(plain)
}

// Keep implements httpd.Idempotency.
func (s *Service) Keep(ctx context.Context, a httpd.Attempt, claim string, answer httpd.Answer) error {
	id, err := uuid.Parse(claim)
	if err != nil {
		return fmt.Errorf("keep an answer: %w", err)
	}
	plain, err := encode(answer)
	if err != nil {
		return fmt.Errorf("keep an answer: %w", err)
	}
	return updateAnswer(ctx, s.pool, claimed{a.Actor, digest(a), id}, s.sealer.Seal(purpose(a), plain))
}

// Free implements httpd.Idempotency.
func (s *Service) Free(ctx context.Context, a httpd.Attempt, claim string) error {
	id, err := uuid.Parse(claim)
	if err != nil {
		return fmt.Errorf("free a key: %w", err)
	}
	return deleteKey(ctx, s.pool, claimed{a.Actor, digest(a), id})
}

// Purge deletes keys older than a day and returns how many there were.
func (s *Service) Purge(ctx context.Context) (deleted int64, err error) {
	return deleteOld(ctx, s.pool, s.now().Add(-keptFor))
}
