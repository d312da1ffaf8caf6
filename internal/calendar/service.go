package calendar

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"housecall/internal/audit"
	"housecall/internal/auth"
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
	// maxEvents bounds a feed, about twenty appointments a day, and maxRead those that the nearest are chosen from.
	maxEvents, maxRead = 2500, 25000
	// readTruth is how precise Link.LastReadAt is, so that not every read of a feed is a write.
	readTruth = time.Minute
)

// readsPerAddress bounds how often feeds are read from one address. Big calendar services read all their users' feeds
// from a few addresses.
var readsPerAddress = ratelimit.Limit{N: 300, Per: time.Minute}

// Service is the only way to calendar feeds.
type Service struct {
	d    Deps
	home string // where clients reach the service, without a slash at the end
}

// Options are the configured values.
type Options struct {
	// PublicURL is where clients reach the service.
	PublicURL string
	// Horizon is how far into the future a feed reaches.
	Horizon time.Duration
	// Organizer is the clinic in every event; without an address it is not named.
	Organizer Party
}

// Deps are what a Service needs.
type Deps struct {
	Pool         *postgres.Pool
	Appointments Appointments
	Links        Links
	Limiter      ratelimit.Limiter
	Now          func() time.Time
	Options      Options
}

// New makes the service.
func New(d Deps) *Service {
	return &Service{d: d, home: strings.TrimSuffix(d.Options.PublicURL, "/")}
}

// Create creates the actor's feed, or a new address for it: the earlier one stops working. The address contains the
// secret, of which only the fingerprint is stored, so it is returned only here.
func (s *Service) Create(ctx context.Context, by auth.Actor) (address string, link Link, err error) {
	secret, fingerprint := auth.NewSecret()
	err = s.d.Pool.InTx(ctx, func(tx *postgres.Tx) error {
		link = Link{CreatedAt: tx.Now()}
		if err := replace(ctx, tx, by.ID, fingerprint); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Actor: by, Action: "calendar.create", Subject: by.UserID})
	})
	if err != nil {
		return "", Link{}, err
	}
	return s.home + "/calendar/" + secret + ".ics", link, nil
}

// Get returns the actor's feed; errs.NotFound if there is none.
func (s *Service) Get(ctx context.Context, by auth.Actor) (Link, error) {
	return selectLink(ctx, s.d.Pool, by.ID)
}

// Revoke ends the actor's feed at once; errs.NotFound if there is none.
func (s *Service) Revoke(ctx context.Context, by auth.Actor) error {
	return s.d.Pool.InTx(ctx, func(tx *postgres.Tx) error {
		if err := remove(ctx, tx, by.ID); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{Actor: by, Action: "calendar.revoke", Subject: by.UserID})
	})
}

// Read returns the feed behind a secret. errs.NotFound if the secret is unknown or revoked, or its user is disabled;
// errs.RateLimited if the client's address has read too often.
func (s *Service) Read(ctx context.Context, secret string, client httpd.Client) (Document, error) {
	ok, retryAfter := s.d.Limiter.Allow(ctx, "calendar:address:"+client.Network(), readsPerAddress)
	if !ok {
		return Document{}, &errs.Error{
			Kind: errs.RateLimited, Code: "rate_limited", RetryAfter: retryAfter,
			Message: "Too many requests. Wait a while and try again.",
		}
	}
	now := s.d.Now()
	fingerprint := auth.Fingerprint(secret)
	f, err := selectFeed(ctx, s.d.Pool, fingerprint)
	if err != nil {
		return Document{}, err
	}
	all, err := s.d.Appointments.Between(ctx, f.UserID, now.Add(-lookBack), now.Add(s.d.Options.Horizon), maxRead)
	if err != nil {
		return Document{}, err
	}
	content := Feed(name, events(nearest(all, now, maxEvents), s.d.Options.Organizer, s.d.Links)...)
	sum := sha256.Sum256(content)
	if !bytes.Equal(f.ContentHash, sum[:]) || f.LastReadAt == nil || now.Sub(*f.LastReadAt) >= readTruth {
		if f.ChangedAt, err = markRead(ctx, s.d.Pool, fingerprint, sum[:], now); err != nil {
			return Document{}, err
		}
	}
	d := Document{Content: content, ETag: `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`}
	if f.ChangedAt != nil && !f.ChangedAt.After(now) {
		d.LastModified = f.ChangedAt.UTC()
	}
	return d, nil
}
