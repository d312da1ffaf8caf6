package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// Accounts is what chat asks of accounts.
type Accounts interface {
	// Authenticate tells who is behind an access token and when it ends; errs.ErrUnauthenticated if nobody.
	Authenticate(ctx context.Context, token string) (auth.Actor, time.Time, error)
	// EndedSessions lists the sessions that ended at or after since, and PostgreSQL's time of the answer.
	EndedSessions(ctx context.Context, since time.Time) (ended []int64, asOf time.Time, err error)
}

// Deps are the parts that chat stands on; all but Notices and Zones are required.
type Deps struct {
	Pool         *postgres.Pool
	Bus          bus // NewRedisBus
	Log          *Log
	Appointments *appointment.Service
	Accounts     Accounts
	Config       config.Config
	Registry     prometheus.Registerer
	Logger       zerolog.Logger
	Now          func() time.Time
	// Notices may be nil: then nobody is told what he has not read.
	Notices Notices
	// Zones may be nil: then everybody reads times in the clinic's zone.
	Zones Zones
}

// Service is the door to conversations. Start and Stop are synchronous.
type Service struct {
	d         Deps
	metrics   *metrics
	hub       *hub
	bus       bus
	committer *committer
	sockets   *sockets
	users     *rates // of what one user sends, over all his connections
	rooms     *rates // of what all send to one room
	presence  *presence
	receipts  *receipts
	inboxes   *inboxes
	changes   *roomSet // rooms whose appointment changed
	unsent    *roomSet // rooms whose last publish failed
	unindexed *roomSet // rooms with events that search has no documents of
	windows   *windows
	onlookers *onlookers
	zone      *time.Location // the clinic's
	pdfs      *pdfPlaces
	sweepNow  chan struct{}
	dbAway    atomic.Bool // the last poll of PostgreSQL failed
	epoch     string      // of the last sweep; only the sweep touches it, and the two below
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
		d: d, metrics: newMetrics(d.Registry), changes: newRoomSet(), unsent: newRoomSet(), unindexed: newRoomSet(), windows: newWindows(),
		onlookers: newOnlookers(), zone: zoneOf(d.Config), pdfs: &pdfPlaces{users: map[int64]struct{}{}}, sweepNow: make(chan struct{}, 1),
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.bus = d.Bus
	s.hub = newHub(hubPorts{
		fetch: s.fetch, changed: s.changes.add, subscribe: s.bus.Subscribe, unsubscribe: s.bus.Unsubscribe,
	})
	d.Registry.MustRegister(busGauge(s.bus))
	s.sockets = newSockets(d.Config.SocketsPerUser, d.Config.SocketsPerAddress, s.metrics, d.Now)
	s.users, s.rooms = newRates(d.Config.UserMessagesPerSecond), newRates(d.Config.RoomMessagesPerSecond)
	s.presence = newPresence(s.hub, s.bus, d.Now)
	s.receipts = newReceipts()
	s.inboxes = newInboxes()
	s.committer = newCommitter(d.Pool, d.Config.CommitLanes, d.Config.FollowUpWindow, s.metrics, d.Logger)
	s.committer.committed = s.announce
	s.committer.doubted = s.doubt
	d.Log.published = s.announce
	return s
}

func zoneOf(c config.Config) *time.Location {
	zone, err := config.LoadZone(c.ClinicZone)
	if err != nil {
		return time.UTC // cannot be: schedule has refused such a configuration
	}
	return zone
}

// Start runs the background work; PostgreSQL must answer. The bus connects when it can. On it, a database is named
// by its identity, so that two that share one Redis never hear each other.
func (s *Service) Start(ctx context.Context) error {
	id, err := identity(ctx, s.d.Pool)
	if err != nil {
		return err
	}
	s.bus.Start(s.d.Config.RedisNamespace+":"+id, s.receive, s.missed)
	s.committer.start()
	for _, loop := range []func(){
		s.sweepLoop, s.sessionLoop, s.changeLoop, s.unsentLoop, s.receiptLoop, s.presenceLoop, s.inboxLoop, s.janitorLoop,
		s.onlookerLoop, s.indexLoop,
	} {
		s.work.Go(loop)
	}
	if s.d.Notices != nil {
		s.work.Go(s.seenLoop)
	}
	return nil
}

// DrainSockets refuses upgrades and closes all sockets with 1012 in jittered batches. When ctx ends first, it cuts
// what is left, and what is still being read from PostgreSQL for it.
func (s *Service) DrainSockets(ctx context.Context) {
	defer context.AfterFunc(ctx, s.stop)()
	s.sockets.drain(ctx)
}

// Stop commits what has queued and ends the background work. Call it after DrainSockets and after HTTP has
// stopped. ctx bounds the wait for PostgreSQL.
func (s *Service) Stop(ctx context.Context) {
	s.committer.close(ctx)
	s.stop()
	s.work.Wait()
	s.hub.close()
	s.bus.Stop()
}

// ProbeBus fails while notices between instances do not get through; for readiness.
func (s *Service) ProbeBus(context.Context) error {
	if !s.bus.Healthy() {
		return errors.New("the bus is away")
	}
	return nil
}

// Find gives the appointment of a conversation to its participants; for anyone else, an admin included, there is
// no such conversation.
func (s *Service) Find(ctx context.Context, actor auth.Actor, publicID string) (appointment.Appointment, error) {
	a, err := s.d.Appointments.Find(ctx, actor, publicID)
	if err != nil {
		return appointment.Appointment{}, err
	}
	if !a.IsParticipant(actor.ID) {
		return appointment.Appointment{}, errs.Missing("appointment")
	}
	return a, nil
}

// Send puts a message into the log and waits until it is committed. It may be repeated with the same clientID
// any number of times: the receipt is then that of the first, marked as duplicate.
func (s *Service) Send(ctx context.Context, actor auth.Actor, room int64, clientID uuid.UUID, text string) (Receipt, error) {
	return s.wait(ctx, Draft{Room: room, Sender: actor, ClientID: clientID, Kind: KindText, Text: text})
}

// SendFile sends a file that the actor has uploaded to the room; a file is sent once. It may be repeated like Send.
func (s *Service) SendFile(ctx context.Context, actor auth.Actor, room int64, clientID, attachment uuid.UUID) (Receipt, error) {
	return s.wait(ctx, Draft{Room: room, Sender: actor, ClientID: clientID, Kind: KindAttachment, Attachment: attachment})
}

// Correct gives one's own text other words: an event of its own, which stands instead of the target's from then on. It may
// be repeated like Send.
func (s *Service) Correct(ctx context.Context, actor auth.Actor, room int64, clientID uuid.UUID, target int64, text string) (Receipt, error) {
	return s.wait(ctx, Draft{Room: room, Sender: actor, ClientID: clientID, Kind: KindCorrection, Target: target, Text: text})
}

// Retract takes one's own message back, for good: nobody is shown it any more. It may be repeated like Send.
func (s *Service) Retract(ctx context.Context, actor auth.Actor, room int64, clientID uuid.UUID, target int64) (Receipt, error) {
	return s.wait(ctx, Draft{Room: room, Sender: actor, ClientID: clientID, Kind: KindRetraction, Target: target})
}

// wait submits a draft and waits for what becomes of it.
func (s *Service) wait(ctx context.Context, d Draft) (Receipt, error) {
	done := make(chan outcome, 1)
	s.submit(d, func(r Receipt, err error) { done <- outcome{receipt: r, err: err} })
	select {
	case o := <-done:
		return o.receipt, o.err
	case <-ctx.Done():
		e := *ErrOverload
		e.Err = ctx.Err()
		return Receipt{}, &e
	}
}

// submit is the one door of REST and WebSocket; done is called once, perhaps at once, and must not block.
func (s *Service) submit(d Draft, done func(Receipt, error)) {
	err, reason := d.check(), ""
	switch {
	case err != nil:
		reason = errs.CodeOf(err)
	case !s.users.allow(d.Sender.ID):
		err, reason = errRateUser, "rate_user"
	case !s.rooms.allow(d.Room):
		err, reason = errRateRoom, "rate_room"
	default:
		s.committer.submit(d, done)
		return
	}
	s.metrics.refused.WithLabelValues(reason).Inc()
	done(Receipt{}, err)
}

// History gives a page of a conversation's log, oldest first, and its head. after >= 0, or before > 0 with after -1,
// choose the page; with neither it is the latest.
func (s *Service) History(ctx context.Context, room, after, before int64, limit int) (events []Event, head int64, err error) {
	if after >= 0 {
		events, err = eventsAfter(ctx, s.d.Pool, room, after, limit)
	} else {
		events, err = eventsBefore(ctx, s.d.Pool, room, before, limit)
	}
	if err != nil {
		return nil, 0, err
	}
	head, err = headSeq(ctx, s.d.Pool, room)
	if n := len(events); n > 0 {
		head = max(head, events[n-1].Seq)
	}
	return events, head, err
}

// SessionsEnded cuts the sockets of ended sessions, here at once and on other instances by the bus; their own
// polls find them within a second where the bus fails.
func (s *Service) SessionsEnded(ids []int64) {
	s.sockets.endSessions(ids)
	s.bus.Publish(notice{kind: noticeSessions, ids: ids}, func(int64) { s.metrics.lost.Inc() })
}

// announce delivers committed events to sockets here and publishes them. It keeps the order per room.
func (s *Service) announce(events []Event) {
	byRoom := make(map[int64][]item, len(events))
	order := make([]int64, 0, len(events))
	for _, e := range events {
		if _, ok := byRoom[e.Room]; !ok {
			order = append(order, e.Room)
		}
		byRoom[e.Room] = append(byRoom[e.Room], toItem(e))
	}
	s.metrics.committed.Add(float64(len(events)))
	for _, room := range order {
		items := byRoom[room]
		s.inboxes.stir(stirFor(items), room)
		s.hub.deliver(room, items...)
		s.unindexed.add(room)
		s.bus.Publish(notice{kind: noticeEvents, room: room, items: items}, s.lost)
	}
}

// lost remembers a room whose notice the bus did not take.
func (s *Service) lost(room int64) {
	s.metrics.lost.Inc()
	s.unsent.add(room)
}

// stirFor tells what inboxes have to know of events that were committed here.
func stirFor(items []item) stir {
	if slices.ContainsFunc(items, func(it item) bool { return it.system }) {
		return stirHere | stirAnew
	}
	return stirHere
}

// doubt is for rooms that may have grown without anyone knowing by what.
func (s *Service) doubt(room int64) {
	s.unsent.add(room)
	s.inboxes.stir(stirHere, room)
	s.unindexed.add(room)
	s.sweepSoon()
}

func toItem(e Event) item {
	return item{seq: e.Seq, frame: encodeEvent(e), system: e.Kind == KindSystem, regroup: e.Regroup}
}

// fetch is the hub's way to the log.
func (s *Service) fetch(ctx context.Context, room, after int64) ([]item, error) {
	ctx, cancel := context.WithTimeout(ctx, s.d.Config.RequestTimeout)
	defer cancel()
	events, err := eventsAfter(ctx, s.d.Pool, room, after, pageSize)
	if err != nil {
		return nil, fmt.Errorf("fill a hole: %w", err)
	}
	items := make([]item, len(events))
	for i, e := range events {
		items[i] = toItem(e)
	}
	return items, nil
}

// missed asks for what the bus may have said of a room while this instance could not hear it.
func (s *Service) missed(room int64, cut bool) {
	s.sweepSoon()
	s.presence.missed(room, cut)
}

// receive takes what other instances publish.
func (s *Service) receive(n notice) {
	switch n.kind {
	case noticeEvents:
		s.hub.deliver(n.room, n.items...)
	case noticeHead:
		s.hub.learn(n.room, n.head)
	case noticeSoft:
		s.presence.receive(n)
	case noticeSessions:
		s.sockets.endSessions(n.ids)
	case noticeInbox:
		for room, why := range n.stirred {
			s.inboxes.stir(why, room)
		}
	}
}
