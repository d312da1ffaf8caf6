package conversation

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
	"housecall/internal/testing/apitest"
	"housecall/internal/testing/clinic"
	"housecall/internal/testing/clinictest"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// followUp is how long conversations stay open after completion in these tests.
const followUp = time.Hour

// world is a clinic plus what tests of logs need.
type world struct {
	*clinictest.World
	now func() time.Time // the instances' clock
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return &world{clinictest.New(t), time.Now}
}

func worldOn(t testing.TB, dsn string) *world {
	t.Helper()
	return &world{clinictest.On(t, dsn), time.Now}
}

// fill writes n messages straight into a conversation.
func (w *world) fill(id int64, n int) {
	w.T.Helper()
	w.Exec(`insert into messages (room_id, seq, at, kind, sender_id, client_id, body)
		select $1, g, now(), 'text', $2, gen_random_uuid(), g::text from generate_series(1, $3::int) g`, id, w.Patient.ID, n)
	w.Exec(`update conversations set head_seq = $2 where id = $1`, id, n)
}

// file makes a stored attachment that has not been sent yet.
func (w *world) file(id int64, uploader auth.Actor) uuid.UUID {
	w.T.Helper()
	file := uuid.New()
	w.Exec(`
		insert into attachments
			(id, room_id, uploader_id, name, media_type, size_bytes, sha256, width, height, thumbnail, stored_at)
		values ($1, $2, $3, 'knee.jpg', 'image/jpeg', 5, decode(repeat('0f', 32), 'hex'), 4, 3, true, now())`,
		[16]byte(file), id, uploader.ID)
	return file
}

// appendSystem appends a system event in a transaction of its own.
func (w *world) appendSystem(id int64) {
	w.T.Helper()
	ctx := context.Background()
	require.NoError(w.T,
		w.Pool.InTx(ctx, func(tx *postgres.Tx) error { return NewLog().Append(ctx, tx, id, "Confirmed.") }))
}

// audited counts rows of the trail.
func (w *world) audited(action, subject string, actor auth.Actor) int64 {
	w.T.Helper()
	return w.Number(`select count(*) from audit_events where action = $1 and subject = $2 and actor_id = $3`,
		action, subject, actor.ID)
}

// log reads a whole conversation.
func (w *world) log(id int64) []Event {
	w.T.Helper()
	events, err := eventsAfter(context.Background(), w.Pool, id, 0, 1_000_000)
	require.NoError(w.T, err)
	return events
}

// requireGapless checks what every log must satisfy: seq runs from 1 to the head, times rise, and each clientId
// occurs once.
func (w *world) requireGapless(id int64) []Event {
	w.T.Helper()
	events := w.log(id)
	type key struct {
		sender string
		id     uuid.UUID
	}
	seen := map[key]bool{}
	for i, e := range events {
		require.EqualValues(w.T, i+1, e.Seq)
		if i > 0 {
			require.False(w.T, e.At.Before(events[i-1].At), "times rise with seq")
		}
		if e.ClientID != uuid.Nil {
			require.False(w.T, seen[key{e.Sender, e.ClientID}], "a clientId is one message")
			seen[key{e.Sender, e.ClientID}] = true
		}
	}
	require.EqualValues(w.T, len(events), w.Number(`select head_seq from conversations where id = $1`, id))
	return events
}

// heard collects what a committer announces.
type heard struct {
	mu      sync.Mutex // guards both
	events  map[int64][]Event
	doubted map[int64]bool
}

func (h *heard) in(id int64) []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Event(nil), h.events[id]...)
}

func (h *heard) committed(events []Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range events {
		h.events[e.Conversation] = append(h.events[e.Conversation], e)
	}
}

func (h *heard) doubt(id int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.doubted[id] = true
}

// committerOn makes a committer that has not started.
func committerOn(pool *postgres.Pool, lanes int) (*committer, *heard) {
	h := &heard{events: map[int64][]Event{}, doubted: map[int64]bool{}}
	return newCommitter(committerPorts{
		pool: pool, log: zerolog.Nop(), metrics: newMetrics(prometheus.NewRegistry()), committed: h.committed,
		doubted: h.doubt,
	}, lanes, followUp), h
}

// startCommitter runs a committer until the test ends.
func startCommitter(t testing.TB, pool *postgres.Pool, lanes int) (*committer, *heard) {
	t.Helper()
	c, h := committerOn(pool, lanes)
	c.begin()
	t.Cleanup(func() { c.finish(context.Background()) })
	return c, h
}

// send submits one draft and waits for its outcome.
func (c *committer) send(d Draft) (Ack, error) {
	done := make(chan outcome, 1)
	c.queue(d, func(a Ack, err error) { done <- outcome{ack: a, err: err} })
	o := <-done
	return o.ack, o.err
}

// commitOne runs drafts through a committer that has no lanes running, so that they are certain to be one batch.
func commitOne(c *committer, drafts ...Draft) []outcome {
	out := make([]outcome, len(drafts))
	batch := make([]submission, len(drafts))
	for i, d := range drafts {
		batch[i] = submission{d, time.Now(), func(a Ack, err error) { out[i] = outcome{ack: a, err: err} }}
	}
	c.commit(batch)
	return out
}

// ok commits one draft, which has to pass.
func (w *world) ok(c *committer, d Draft) Ack {
	w.T.Helper()
	o := commitOne(c, d)[0]
	require.NoError(w.T, o.err)
	return o.ack
}

func draft(id int64, sender auth.Actor, text string) Draft {
	return Draft{Conversation: id, Sender: sender, ClientID: uuid.New(), Kind: KindText, Text: text}
}

func retraction(id int64, sender auth.Actor, target int64) Draft {
	return Draft{Conversation: id, Sender: sender, ClientID: uuid.New(), Kind: KindRetraction, Target: target}
}

func correction(id int64, sender auth.Actor, target int64, text string) Draft {
	return Draft{
		Conversation: id, Sender: sender, ClientID: uuid.New(), Kind: KindCorrection, Target: target, Text: text,
	}
}

func fileDraft(id int64, sender auth.Actor, file uuid.UUID) Draft {
	return Draft{Conversation: id, Sender: sender, ClientID: uuid.New(), Kind: KindAttachment, Attachment: file}
}

// instance is the service behind a real HTTP server.
type instance struct {
	*world
	svc *Service
	api *apitest.API
}

// serve starts an instance and stops it at the test's end, which would hang if anything held it up.
func (w *world) serve(change ...func(*Options)) *instance {
	w.T.Helper()
	svc := w.service(w.Connect(), change...)
	svc.Start()
	w.T.Cleanup(func() { svc.Stop(context.Background()) })
	return &instance{w, svc, apitest.Serve(w.T, apitest.Options{
		Routes: func(s *httpd.Server) { Routes(s, svc) }, Authenticator: newestSession{w.Pool},
	})}
}

// service makes a Service that has not been started.
func (w *world) service(pool *postgres.Pool, change ...func(*Options)) *Service {
	w.T.Helper()
	options := Options{
		CommitLanes: 4, FollowUp: followUp, Zone: time.UTC, PerSecond: 60, UserPerSecond: 40,
		ClinicNotice: "Messages are answered during office hours. In an emergency call your local emergency number.",
	}
	for _, f := range change {
		f(&options)
	}
	log := NewLog()
	return New(Deps{
		Pool: pool, Log: log, Appointments: w.appointments(pool, log), Registry: prometheus.NewRegistry(),
		Logger: zerolog.Nop(), Now: w.now, Options: options,
	})
}

func (w *world) appointments(pool *postgres.Pool, log *Log) *appointment.Service {
	w.T.Helper()
	cfg := config.Default()
	return clinic.New(clinic.Deps{Pool: pool, Conversations: uncounted{log}, Now: w.now, Config: cfg}).Appointments
}

// uncounted is a log without counts of unread messages, which belong to package chat.
type uncounted struct{ *Log }

func (uncounted) Unread(context.Context, postgres.DB, int64, []int64) (map[int64]int64, error) {
	return nil, nil
}

// newestSession takes a public user id as the token, and signs that user in with their newest session, ended or not.
type newestSession struct{ db postgres.DB }

func (n newestSession) Authenticate(ctx context.Context, token string) (auth.Actor, time.Time, error) {
	var a auth.Actor
	err := n.db.QueryRow(ctx, `
		select u.id, u.public_id, u.name, u.role, s.id from users u join sessions s on s.user_id = u.id
		where u.public_id = $1 order by s.id desc limit 1`, token).Scan(&a.ID, &a.UserID, &a.Name, &a.Role, &a.Session)
	if err != nil {
		return auth.Actor{}, time.Time{}, errs.ErrUnauthenticated
	}
	return a, time.Now().Add(time.Hour), nil
}

// ask sends a request as a user; body is JSON, or "".
func (in *instance) ask(by auth.Actor, method, path, body string) apitest.Answer {
	in.T.Helper()
	return in.api.Ask(method, path, by.UserID, body)
}

// masks hide what differs from run to run.
var masks = []apitest.Mask{apitest.MaskTimes, apitest.MaskUUIDs, apitest.MaskMember("appointmentId|epoch")}

func requireGolden(t *testing.T, name string, a apitest.Answer) {
	t.Helper()
	apitest.Golden(t, name, a, masks...)
}
