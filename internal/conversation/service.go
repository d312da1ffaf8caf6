package conversation

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"housecall/internal/appointment"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// Options are the configured values of conversations.
type Options struct {
	CommitLanes   int            // commits under way at once
	FollowUp      time.Duration  // how long a conversation stays open after its appointment was completed
	Zone          *time.Location // the clinic's
	ClinicNotice  string         // shown in every conversation
	PerSecond     int            // messages in one conversation, from all participants together, on one instance
	UserPerSecond int            // messages from one user, over all connections to one instance
}

// Deps are what a Service needs. All fields are required.
type Deps struct {
	Pool         *postgres.Pool
	Log          *Log
	Appointments *appointment.Service
	Registry     prometheus.Registerer
	Logger       zerolog.Logger
	Now          func() time.Time
	Options      Options
}

// Service is the only way to read and write conversations. Start and Stop are synchronous.
type Service struct {
	d         Deps
	metrics   *metrics
	committer *committer
	users     *rates // limits what one user sends, over all connections
	all       *rates // limits what is sent to one conversation
	committed []func([]Event)
	doubted   []func(id int64)
}

// New returns a Service. Nothing runs until Start.
func New(d Deps) *Service {
	s := &Service{
		d: d, metrics: newMetrics(d.Registry), users: newRates(d.Options.UserPerSecond), all: newRates(d.Options.PerSecond),
	}
	s.committer = newCommitter(committerPorts{
		pool: d.Pool, log: d.Logger, metrics: s.metrics, committed: s.announce, doubted: s.doubt,
	}, d.Options.CommitLanes, d.Options.FollowUp)
	d.Log.committed = s.announce
	return s
}

// OnCommitted adds a function that is called with events once this instance has committed them: in the order of seq
// within a conversation, and before their senders get an ack. f must not block. Call OnCommitted before Start.
func (s *Service) OnCommitted(f func([]Event)) { s.committed = append(s.committed, f) }

// OnDoubted adds a function that is called with the id of a conversation that may have new events nobody has heard
// of, because the outcome of a commit is unknown. f must not block. Call OnDoubted before Start.
func (s *Service) OnDoubted(f func(id int64)) { s.doubted = append(s.doubted, f) }

func (s *Service) announce(events []Event) {
	s.metrics.committed.Add(float64(len(events)))
	for _, f := range s.committed {
		f(events)
	}
}

func (s *Service) doubt(id int64) {
	for _, f := range s.doubted {
		f(id)
	}
}

// Start starts committing drafts.
func (s *Service) Start() { s.committer.begin() }

// Stop commits queued drafts and refuses later ones. ctx bounds the wait for PostgreSQL.
func (s *Service) Stop(ctx context.Context) { s.committer.finish(ctx) }

// Refused counts a draft that another package refused, in the same metric as those refused here.
func (s *Service) Refused(reason string) { s.metrics.refused.WithLabelValues(reason).Inc() }

// Send submits a draft and waits until it is committed. Callers may repeat it any number of times with the same
// ClientID: they then get the ack of the first, marked as a duplicate.
func (s *Service) Send(ctx context.Context, d Draft) (Ack, error) {
	done := make(chan outcome, 1)
	s.Submit(d, func(a Ack, err error) { done <- outcome{ack: a, err: err} })
	select {
	case o := <-done:
		return o.ack, o.err
	case <-ctx.Done():
		e := *ErrUnavailable
		e.Err = ctx.Err()
		return Ack{}, &e
	}
}

// Refusals of drafts that exceed one of this instance's rate limits.
var (
	ErrUserTooFast         = ErrTooFast("from one user")
	ErrConversationTooFast = ErrTooFast("in this conversation, from all participants together")
)

// Submit is the only way for drafts to get into the log. done is called exactly once, possibly before Submit returns,
// with an ack after the commit or with one of the package's refusals; it must not block. The sender's rights are
// judged at commit.
func (s *Service) Submit(d Draft, done func(Ack, error)) {
	err, reason := d.check(), ""
	switch {
	case err != nil:
		reason = errs.CodeOf(err)
	case !s.users.allow(d.Sender.ID):
		err, reason = ErrUserTooFast, "rate_user"
	case !s.all.allow(d.Conversation):
		err, reason = ErrConversationTooFast, "rate_room"
	default:
		s.committer.queue(d, done)
		return
	}
	s.Refused(reason)
	done(Ack{}, err)
}
