// Package chat is the live side of conversations: it delivers their events to connections on any instance, and knows
// who is present, who is typing, how far everyone has read, and what is unread. The log itself belongs to package
// conversation. The bus only tells instances what has happened; whatever it loses is read from PostgreSQL.
//
// A message goes connection -> conversation.Service.Submit -> PostgreSQL. Once it is committed, its sender gets an
// ack, and it goes to the connections here through the hub and to other instances over the bus. Hubs notice missing
// events by gaps in seq.
package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"housecall/internal/auth"
	"housecall/internal/bus"
	"housecall/internal/conversation"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// Accounts is what chat needs from package account.
type Accounts interface {
	// Authenticate returns whose access token it is and when it expires; errs.ErrUnauthenticated if it is not valid.
	Authenticate(ctx context.Context, token string) (auth.Actor, time.Time, error)
	// EndedSessions lists the sign-in sessions that ended at or after since; asOf is PostgreSQL's time when it
	// answered.
	EndedSessions(ctx context.Context, since time.Time) (ended []int64, asOf time.Time, err error)
}

// Options are the configured values of chat.
type Options struct {
	BusNamespace          string        // tells this deployment apart from others on the same bus
	RequestTimeout        time.Duration // for everything that one frame or one join reads from PostgreSQL
	UnreadAfter           time.Duration // how long something is unread before its reader is notified
	PerSecond             int           // messages from one connection
	UserPerSecond         int           // messages from one user; conversation enforces it, chat tells clients
	ConversationPerSecond int           // messages in one conversation; likewise
	SocketsPerUser        int           // open connections of one user
	SocketsPerAddress     int           // open connections from one network address
	PublicURL             string        // where clients reach the service
	ClinicNotice          string        // shown in every conversation
}

// Deps are what a Service needs; all but Notifications are required.
type Deps struct {
	Pool          *postgres.Pool
	Bus           bus.Bus
	Conversations *conversation.Service
	Accounts      Accounts
	Registry      prometheus.Registerer
	Logger        zerolog.Logger
	Now           func() time.Time
	Notifications Notifications // may be nil: nobody is then notified of unread messages
	Options       Options
}

// Service is the live side of all conversations on one instance. Start and Stop are synchronous.
type Service struct {
	d           Deps
	metrics     *metrics
	hub         *hub
	bus         bus.Bus
	connections *connections
	presence    *presence
	receipts    *receipts
	inboxes     *inboxes
	changes     *conversation.Set // conversations whose appointment has changed
	unsent      *conversation.Set // conversations for which a publish failed
	windows     *windows
	observers   *observers
	sweepNow    chan struct{}
	dbAway      atomic.Bool // the last poll of PostgreSQL failed
	epoch       string      // at the last sweep; only sweepLoop uses it and the two below
	// inboxSwept is PostgreSQL's time of the last sweep for inboxes, if any was open; inboxEpoch is the epoch then.
	inboxSwept *time.Time
	inboxEpoch string

	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup
}

// New returns a Service. Nothing runs until Start.
func New(d Deps) *Service {
	s := &Service{
		d: d, bus: d.Bus, metrics: newMetrics(d.Registry, d.Conversations.Refused), receipts: newReceipts(),
		inboxes: newInboxes(), changes: conversation.NewSet(), unsent: conversation.NewSet(), windows: newWindows(),
		observers: newObservers(), sweepNow: make(chan struct{}, 1),
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.hub = newHub(hubPorts{
		fetch: s.fetch, changed: s.changes.Add,
		subscribe:   func(id int64) <-chan struct{} { return s.bus.Subscribe(bus.Topic(id)) },
		unsubscribe: func(id int64) { s.bus.Unsubscribe(bus.Topic(id)) },
	})
	d.Registry.MustRegister(busGauge(s.bus))
	s.connections = newConnections(d.Options.SocketsPerUser, d.Options.SocketsPerAddress, s.metrics, d.Now)
	s.presence = newPresence(s.hub, s.publish, d.Now)
	d.Conversations.OnCommitted(s.announce)
	d.Conversations.OnDoubted(s.doubt)
	return s
}

// Start starts the background work. PostgreSQL must be up; the bus connects when it can. The name used on the bus
// includes the database's identity, so that deployments on one Redis with different databases never hear each other.
func (s *Service) Start(ctx context.Context) error {
	id, err := s.d.Conversations.Identity(ctx)
	if err != nil {
		return err
	}
	s.bus.Start(s.d.Options.BusNamespace+":"+id, s.receive, s.missed)
	for _, loop := range []func(){
		s.sweepLoop, s.sessionLoop, s.changeLoop, s.unsentLoop, s.receiptLoop, s.presenceLoop, s.inboxLoop, s.janitorLoop,
		s.observerLoop,
	} {
		s.work.Go(loop)
	}
	if s.d.Notifications != nil {
		s.work.Go(s.seenLoop)
	}
	return nil
}

// Drain refuses upgrades and closes all connections with 1012, in batches. When ctx ends first, it cuts the remaining
// connections and the reads from PostgreSQL on their behalf.
func (s *Service) Drain(ctx context.Context) {
	defer context.AfterFunc(ctx, s.stop)()
	s.connections.sendAway(ctx)
}

// Stop ends the background work. Call it after Drain, and after HTTP and conversation have stopped.
func (s *Service) Stop() {
	s.stop()
	s.work.Wait()
	s.hub.close()
	s.bus.Stop()
}

// ProbeBus returns an error while broadcasts between instances do not get through. The readiness check uses it.
func (s *Service) ProbeBus(context.Context) error {
	if !s.bus.Healthy() {
		return errors.New("the bus is unavailable")
	}
	return nil
}

// SessionsEnded closes the connections of ended sign-in sessions, here at once and on other instances over the bus.
// If the bus fails, the others' own polls find the sessions within a second.
func (s *Service) SessionsEnded(ids []int64) {
	s.connections.endSessions(ids)
	s.publish(broadcast{kind: broadcastSessions, sessions: ids}, s.countLost)
}

// publish sends a broadcast to the other instances; lost is called if it cannot be sent.
func (s *Service) publish(b broadcast, lost func(bus.Topic)) {
	s.bus.Publish(b.topic(), byte(b.kind), b, lost)
}

// announce delivers committed events to connections here and publishes them, in order within each conversation.
func (s *Service) announce(events []conversation.Event) {
	byID := make(map[int64][]delivery, len(events))
	order := make([]int64, 0, len(events))
	for _, e := range events {
		if _, ok := byID[e.Conversation]; !ok {
			order = append(order, e.Conversation)
		}
		byID[e.Conversation] = append(byID[e.Conversation], toDelivery(e))
	}
	for _, id := range order {
		deliveries := byID[id]
		s.inboxes.touch(touchFor(deliveries), id)
		s.hub.deliver(id, deliveries...)
		s.publish(broadcast{kind: broadcastEvents, id: id, deliveries: deliveries}, s.lost)
	}
}

// lost remembers a conversation for which a publish failed.
func (s *Service) lost(topic bus.Topic) {
	s.countLost(topic)
	s.unsent.Add(int64(topic))
}

// countLost is for broadcasts that need not be sent again.
func (s *Service) countLost(bus.Topic) { s.metrics.lost.Inc() }

// touchFor returns why inboxes must read a conversation again after these events were committed here.
func touchFor(deliveries []delivery) touch {
	if slices.ContainsFunc(deliveries, func(d delivery) bool { return d.system }) {
		return touchedHere | touchedParticipants
	}
	return touchedHere
}

// doubt is called for a conversation that may have new events nobody here has seen.
func (s *Service) doubt(id int64) {
	s.unsent.Add(id)
	s.inboxes.touch(touchedHere, id)
	s.sweepSoon()
}

func toDelivery(e conversation.Event) delivery {
	return delivery{seq: e.Seq, frame: encodeEvent(e), system: e.Kind == conversation.KindSystem, regroup: e.Regroup}
}

// fetch reads the log for the hub.
func (s *Service) fetch(ctx context.Context, id, after int64) ([]delivery, error) {
	ctx, cancel := context.WithTimeout(ctx, s.d.Options.RequestTimeout)
	defer cancel()
	events, err := s.d.Conversations.Backlog(ctx, id, after, pageSize)
	if err != nil {
		return nil, fmt.Errorf("fill a gap: %w", err)
	}
	out := make([]delivery, len(events))
	for i, e := range events {
		out[i] = toDelivery(e)
	}
	return out, nil
}

// missed makes up for broadcasts about a conversation that this instance may have missed.
func (s *Service) missed(topic bus.Topic, cut bool) {
	s.sweepSoon()
	s.presence.missed(int64(topic), cut)
}

// receive handles what other instances publish. A broadcast that cannot be decoded comes from another release; the
// sweep finds what it was about.
func (s *Service) receive(m bus.Message) {
	b, err := decodeBroadcast(m)
	if err != nil {
		return
	}
	switch b.kind {
	case broadcastEvents:
		s.hub.deliver(b.id, b.deliveries...)
	case broadcastHead:
		s.hub.learn(b.id, b.head)
	case broadcastSignal:
		s.presence.receive(b)
	case broadcastSessions:
		s.connections.endSessions(b.sessions)
	case broadcastInbox:
		for id, why := range b.touched {
			s.inboxes.touch(why, id)
		}
	}
}

var errUnavailableReceipts = &errs.Error{
	Kind: errs.Unavailable, Code: "unavailable", RetryAfter: time.Second,
	Message: "Your read position could not be saved right now. Please send it again.",
}
