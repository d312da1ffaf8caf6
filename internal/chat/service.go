// Package chat is what is live of conversations: it delivers their events to connections on any instance, and knows who
// is present, who types, who has read how far, and what waits unread. What is true stands in package conversation; the
// bus only carries wake-ups between instances.
//
// A message goes connection -> conversation.Service.Submit -> PostgreSQL, and once committed to the sender as an ack,
// to connections here through the hub, and to other instances over the bus. seq tells every hub what it is missing.
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

// Accounts is what chat asks of accounts.
type Accounts interface {
	// Authenticate tells who is behind an access token and when it ends; errs.ErrUnauthenticated if nobody.
	Authenticate(ctx context.Context, token string) (auth.Actor, time.Time, error)
	// EndedSessions lists the sign-in sessions that ended at or after since, and PostgreSQL's time of the answer.
	EndedSessions(ctx context.Context, since time.Time) (ended []int64, asOf time.Time, err error)
}

// Options are the configured values of chat.
type Options struct {
	BusNamespace          string        // of this deployment, among those that share a bus
	RequestTimeout        time.Duration // of everything that one frame or one join may read
	UnreadAfter           time.Duration // how long something is unread before its reader is notified
	PerSecond             int           // messages of one connection
	UserPerSecond         int           // and of one user; only told to clients
	ConversationPerSecond int           // and in one conversation; only told to clients
	SocketsPerUser        int           // open connections
	SocketsPerAddress     int           // open connections from one network address
	Origins               []string      // of pages that may connect, as in the Origin header
	PublicURL             string        // under which clients reach the service
	ClinicNotice          string        // shown in every conversation
}

// Deps are what chat stands on; all but Notifications are required.
type Deps struct {
	Pool          *postgres.Pool
	Bus           bus.Bus
	Conversations *conversation.Service
	Accounts      Accounts
	Registry      prometheus.Registerer
	Logger        zerolog.Logger
	Now           func() time.Time
	Notifications Notifications // may be nil: then nobody is told of what they have not read
	Options       Options
}

// Service is the door to what is live. Start and Stop are synchronous.
type Service struct {
	d           Deps
	metrics     *metrics
	hub         *hub
	bus         bus.Bus
	connections *connections
	presence    *presence
	receipts    *receipts
	inboxes     *inboxes
	changes     *conversation.Set // whose appointment has changed
	unsent      *conversation.Set // whose last publish failed
	windows     *windows
	observers   *observers
	sweepNow    chan struct{}
	dbAway      atomic.Bool // the last poll of PostgreSQL failed
	epoch       string      // of the last sweep; only the sweep touches it, and the two below
	// inboxSwept is PostgreSQL's time of the last sweep for inboxes, if any was open; inboxEpoch is the epoch then.
	inboxSwept *time.Time
	inboxEpoch string

	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup
}

// New wires chat. Nothing runs until Start.
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

// Start runs the background work; PostgreSQL must answer. The bus connects when it can. On it, a database is named
// by its identity, so that two that share one Redis never hear each other.
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

// Drain refuses upgrades and closes all connections with 1012 in jittered batches. When ctx ends first, it cuts what is
// left, and what is still being read from PostgreSQL for it.
func (s *Service) Drain(ctx context.Context) {
	defer context.AfterFunc(ctx, s.stop)()
	s.connections.drain(ctx)
}

// Stop ends the background work. Call it after Drain, and after HTTP and conversations have stopped.
func (s *Service) Stop() {
	s.stop()
	s.work.Wait()
	s.hub.close()
	s.bus.Stop()
}

// ProbeBus fails while broadcasts between instances do not get through; for readiness.
func (s *Service) ProbeBus(context.Context) error {
	if !s.bus.Healthy() {
		return errors.New("the bus is away")
	}
	return nil
}

// SessionsEnded cuts the connections of ended sign-in sessions, here at once and on other instances by the bus; their
// own polls find them within a second where the bus fails.
func (s *Service) SessionsEnded(ids []int64) {
	s.connections.endSessions(ids)
	s.publish(broadcast{kind: broadcastSessions, sessions: ids}, s.countLost)
}

// publish tells the other instances.
func (s *Service) publish(b broadcast, lost func(bus.Topic)) {
	s.bus.Publish(b.topic(), b.encode(), lost)
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

// lost remembers a conversation whose broadcast the bus did not take.
func (s *Service) lost(topic bus.Topic) {
	s.countLost(topic)
	s.unsent.Add(int64(topic))
}

// countLost is for broadcasts that need no repetition.
func (s *Service) countLost(bus.Topic) { s.metrics.lost.Inc() }

// touchFor says what inboxes have to know of events that were committed here.
func touchFor(deliveries []delivery) touch {
	if slices.ContainsFunc(deliveries, func(d delivery) bool { return d.system }) {
		return touchedHere | touchedParticipants
	}
	return touchedHere
}

// doubt is for conversations that may have grown without anyone knowing by what.
func (s *Service) doubt(id int64) {
	s.unsent.Add(id)
	s.inboxes.touch(touchedHere, id)
	s.sweepSoon()
}

func toDelivery(e conversation.Event) delivery {
	return delivery{seq: e.Seq, frame: encodeEvent(e), system: e.Kind == conversation.KindSystem, regroup: e.Regroup}
}

// fetch is the hub's way to the log.
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

// missed asks for what the bus may have said of a conversation while this instance could not hear it.
func (s *Service) missed(topic bus.Topic, cut bool) {
	s.sweepSoon()
	s.presence.missed(int64(topic), cut)
}

// receive takes what other instances publish. What cannot be read comes from another release: the sweep brings what it
// said.
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

// errUnavailableReceipts says that a read position was not saved.
var errUnavailableReceipts = &errs.Error{
	Kind: errs.Unavailable, Code: "unavailable", RetryAfter: time.Second,
	Message: "Your read position could not be saved right now. Please send it again.",
}
