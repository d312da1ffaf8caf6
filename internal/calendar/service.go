package calendar

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/httpd/ratelimit"
	"housecall/internal/postgres"
)

const (
	// name is what calendar programs call the feed.
	name = "Housecall"
	// lookBack is how far into the past a feed reaches.
	lookBack = 30 * 24 * time.Hour
	// maxEvents bounds a feed: some twenty appointments a day.
	maxEvents = 2500
	// readTruth is how exact Link.LastReadAt is, so that not every look at a feed is a write.
	readTruth = time.Minute
)

// readsPerAddress bounds how often feeds are read from one address. Big calendar services read all their users' feeds
// from a few.
var readsPerAddress = ratelimit.Limit{N: 300, Per: time.Minute}

// Service is the only door to calendar feeds.
type Service struct {
	pool         *postgres.Pool
	appointments Appointments
	limiter      ratelimit.Limiter
	organizer    Party
	home         string // where clients reach the service
	horizon      time.Duration
	now          func() time.Time
}

// New makes the room. organizer is the clinic in every event; without an address it is not named. Of cfg it reads
// PublicURL and BookingHorizon.
func New(pool *postgres.Pool, appointments Appointments, limiter ratelimit.Limiter, organizer Party, cfg config.Config, now func() time.Time) *Service {
	return &Service{
		pool: pool, appointments: appointments, limiter: limiter, organizer: organizer,
		home: strings.TrimSuffix(cfg.PublicURL, "/"), horizon: cfg.BookingHorizon, now: now,
	}
}

// Create makes the actor's feed, or gives it another address: the one before leads nowhere from then on. The address
// holds the secret; only its hash is kept, so it is shown this once.
func (s *Service) Create(ctx context.Context, by auth.Actor) (address string, link Link, err error) {
	secret := newSecret()
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		link = Link{CreatedAt: tx.Now()}
		if err := replace(ctx, tx, by.ID, fingerprint(secret)); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Actor: by, Action: "calendar.create", Subject: by.UserID})
	})
	if err != nil {
		return "", Link{}, err
	}
	return s.home + "/calendar/" + secret + ".ics", link, nil
}

// Get gives the actor's feed; errs.NotFound if he has none.
func (s *Service) Get(ctx context.Context, by auth.Actor) (Link, error) {
	return selectLink(ctx, s.pool, by.ID)
}

// Revoke ends the actor's feed at once; errs.NotFound if he has none.
func (s *Service) Revoke(ctx context.Context, by auth.Actor) error {
	return s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		if err := remove(ctx, tx, by.ID); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Actor: by, Action: "calendar.revoke", Subject: by.UserID})
	})
}

// Read gives the feed behind a secret. A secret that is none, or no more, is errs.NotFound, and so is that of a user who
// is disabled; errs.RateLimited when the client's address has read too often.
func (s *Service) Read(ctx context.Context, secret string, client httpd.Client) (Document, error) {
	ok, retryAfter := s.limiter.Allow(ctx, "calendar:address:"+client.Network(), readsPerAddress)
	if !ok {
		return Document{}, &errs.Error{
			Kind: errs.RateLimited, Code: "rate_limited", Message: "Too many requests. Wait a while and try again.", RetryAfter: retryAfter,
		}
	}
	now := s.now()
	f, err := selectFeed(ctx, s.pool, fingerprint(secret))
	if err != nil {
		return Document{}, err
	}
	all, err := s.appointments.Between(ctx, f.UserID, now.Add(-lookBack), now.Add(s.horizon), maxEvents)
	if err != nil {
		return Document{}, err
	}
	content := Feed(name, events(all, s.organizer, s.home)...)
	sum := sha256.Sum256(content)
	if !bytes.Equal(f.ContentHash, sum[:]) || f.LastReadAt == nil || now.Sub(*f.LastReadAt) >= readTruth {
		if f.ChangedAt, err = markRead(ctx, s.pool, fingerprint(secret), sum[:], now); err != nil {
			return Document{}, err
		}
	}
	d := Document{Content: content, ETag: `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`}
	if f.ChangedAt != nil && !f.ChangedAt.After(now) {
		d.LastModified = f.ChangedAt.UTC()
	}
	return d, nil
}

// newSecret makes an unguessable name of a feed, of 256 bits.
func newSecret() string {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails since Go 1.24
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// fingerprint is what is stored of a secret, which is random enough for a plain hash. It has no key, so feeds outlive
// every change of token secrets.
func fingerprint(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}
