package chat

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/postgres"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// followUp is how long conversations stay open after completion in these tests.
const followUp = time.Hour

// world is a database with one doctor and one patient, both signed in.
type world struct {
	t       testing.TB
	dsn     string
	now     func() time.Time                // of instances
	through func(net.Listener) net.Listener // nil: instances serve what comes directly
	pool    *postgres.Pool
	people  atomic.Int64
	patient auth.Actor
	doctor  auth.Actor
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return worldAt(t, pgtest.DSN(t))
}

func worldAt(t testing.TB, dsn string) *world {
	t.Helper()
	w := &world{t: t, dsn: dsn, now: time.Now}
	w.pool = w.connect()
	w.patient = w.signIn(w.user(auth.Patient))
	w.doctor = w.signIn(w.user(auth.Doctor))
	return w
}

// connect opens a pool of its own on the world's database, as another instance would.
func (w *world) connect() *postgres.Pool {
	w.t.Helper()
	pool, err := postgres.Open(context.Background(), postgres.Options{DSN: w.dsn, MaxConns: 8})
	require.NoError(w.t, err)
	w.t.Cleanup(pool.Close)
	return pool
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.pool.Exec(context.Background(), sql, args...)
	require.NoError(w.t, err)
}

// number reads one number.
func (w *world) number(sql string, args ...any) (n int64) {
	w.t.Helper()
	require.NoError(w.t, w.pool.QueryRow(context.Background(), sql, args...).Scan(&n))
	return n
}

func (w *world) user(role auth.Role) auth.Actor {
	w.t.Helper()
	n := w.people.Add(1)
	a := auth.Actor{UserID: fmt.Sprintf("%s%010d", auth.PrefixFor(role), n), Name: fmt.Sprintf("Person %d", n), Role: role}
	a.ID = w.number(`insert into users (public_id, email, name, role) values ($1::text, lower($1::text) || '@x.test', $2, $3) returning id`,
		a.UserID, a.Name, role)
	switch role {
	case auth.Patient:
		w.exec(`insert into patients (user_id) values ($1)`, a.ID)
	case auth.Doctor:
		w.exec(`insert into doctors (user_id) values ($1)`, a.ID)
	case auth.Admin:
	}
	return a
}

// signIn gives the user with a session of his own.
func (w *world) signIn(a auth.Actor) auth.Actor {
	w.t.Helper()
	a.Session = w.number(`insert into sessions (user_id, expires_at) values ($1, now() + interval '1 day') returning id`, a.ID)
	return a
}

// appointment makes one of the world's patient and doctor, without a conversation.
func (w *world) appointment(status appointment.Status) int64 {
	w.t.Helper()
	return w.number(`insert into appointments (public_id, patient_id, doctor_id, status, starts_at, ends_at, completed_at)
		values ($1, $2, $3, $4, now(), now() + interval '30 minutes', case when $4::text = 'COMPLETED' then now() end) returning id`,
		auth.NewPublicID("APP"), w.patient.ID, w.doctor.ID, status)
}

// room makes a booked appointment with an empty conversation.
func (w *world) room() int64 {
	w.t.Helper()
	id := w.appointment(appointment.Booked)
	w.exec(`insert into conversations (id) values ($1)`, id)
	return id
}

// log reads a whole room.
func (w *world) log(room int64) []Event {
	w.t.Helper()
	events, err := eventsAfter(context.Background(), w.pool, room, 0, 1_000_000)
	require.NoError(w.t, err)
	return events
}

// requireGapless checks what must hold of every log: seq from 1 to the head, times that rise, each clientId once.
func (w *world) requireGapless(room int64) []Event {
	w.t.Helper()
	events := w.log(room)
	type key struct {
		sender string
		id     uuid.UUID
	}
	seen := map[key]bool{}
	for i, e := range events {
		require.EqualValues(w.t, i+1, e.Seq)
		if i > 0 {
			require.False(w.t, e.At.Before(events[i-1].At), "times rise with seq")
		}
		if e.ClientID != uuid.Nil {
			require.False(w.t, seen[key{e.Sender, e.ClientID}], "a clientId is one message")
			seen[key{e.Sender, e.ClientID}] = true
		}
	}
	require.EqualValues(w.t, len(events), w.number(`select head_seq from conversations where id = $1`, room))
	return events
}

// heard collects what a committer tells.
type heard struct {
	mu      sync.Mutex // guards both
	events  map[int64][]Event
	doubted map[int64]bool
}

func (h *heard) in(room int64) []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Event(nil), h.events[room]...)
}

// committerOn makes a committer that has not started.
func committerOn(pool *postgres.Pool, lanes int) (*committer, *heard) {
	h := &heard{events: map[int64][]Event{}, doubted: map[int64]bool{}}
	c := newCommitter(pool, lanes, followUp, newMetrics(prometheus.NewRegistry()), zerolog.Nop())
	c.committed = func(events []Event) {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, e := range events {
			h.events[e.Room] = append(h.events[e.Room], e)
		}
	}
	c.doubted = func(room int64) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.doubted[room] = true
	}
	return c, h
}

// startCommitter runs one until the test ends.
func startCommitter(t testing.TB, pool *postgres.Pool, lanes int) (*committer, *heard) {
	t.Helper()
	c, h := committerOn(pool, lanes)
	c.start()
	t.Cleanup(func() { c.close(context.Background()) })
	return c, h
}

// send submits one draft and waits for its outcome.
func (c *committer) send(d Draft) (Receipt, error) {
	done := make(chan outcome, 1)
	c.submit(d, func(r Receipt, err error) { done <- outcome{receipt: r, err: err} })
	o := <-done
	return o.receipt, o.err
}

func draft(room int64, sender auth.Actor, text string) Draft {
	return Draft{Room: room, Sender: sender, ClientID: uuid.New(), Kind: KindText, Text: text}
}

// payload takes the header off a frame.
func payload(t testing.TB, w wire) []byte {
	t.Helper()
	require.GreaterOrEqual(t, len(w), 2)
	if w[1] < 126 {
		require.Len(t, w, 2+int(w[1]))
		return w[2:]
	}
	require.EqualValues(t, 126, w[1])
	require.Len(t, w, 4+int(w[2])<<8+int(w[3]))
	return w[4:]
}

// fields reads a frame's JSON.
func fields(t testing.TB, body []byte) map[string]any {
	t.Helper()
	var out map[string]any
	require.NoError(t, json.Unmarshal(body, &out))
	return out
}
