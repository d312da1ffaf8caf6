package notify

import (
	"context"
	"flag"
	"fmt"
	"net/mail"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/jobs"
	own "housecall/internal/mail"
	"housecall/internal/postgres"
	"housecall/internal/testing/logtest"
	"housecall/internal/testing/pgtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	flag.Parse()
	pgtest.Main(m)
}

const (
	patience  = time.Minute
	patientID = 11
	doctorID  = 22
	formerID  = 33 // a doctor who handed over
	secret    = "k3J9vQ2xLz8Rr5TnYw1Bd7Hf4Gm6Ps0C"
)

var (
	clinic = mail.Address{Name: "Housecall", Address: "no-reply@clinic.test"}
	// winter is a Tuesday, for texts that must be the same each time. Queues run by the real clock.
	winter = time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)
)

// world is the other packages as notify sees them, a database, and instances.
type world struct {
	t    *testing.T
	pool *postgres.Pool
	log  *logtest.Buffer
	out  *outbox

	mu           sync.Mutex // guards the rest
	time         time.Time
	appointments map[int64]Appointment
	people       map[int64]Addressee
	zones        map[int64]*time.Location
	unwanted     map[Kind]bool
	quietUntil   time.Time
	withdrawn    map[string]bool // tokens and offers
	fail         error           // of the other packages
}

func newWorld(t *testing.T, at time.Time) *world {
	t.Helper()
	pool, err := postgres.Open(context.Background(), postgres.Options{DSN: pgtest.DSN(t), MaxConns: 20})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return &world{
		t: t, pool: pool, log: &logtest.Buffer{}, out: &outbox{came: make(chan own.Message, 1000)}, time: at,
		appointments: map[int64]Appointment{}, zones: map[int64]*time.Location{}, unwanted: map[Kind]bool{},
		withdrawn: map[string]bool{},
		people: map[int64]Addressee{
			formerID:  {ID: formerID, Name: "Dr Former", Email: "former@private.test", Verified: true, Active: true},
			patientID: {ID: patientID, Name: "Pat Morgan", Email: "pat@private.test", Verified: true, Active: true},
			doctorID:  {ID: doctorID, Name: "Dr. Ada Okafor", Email: "ada@private.test", Verified: true, Active: true},
		},
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.time
}

// change changes what the other packages answer.
func (w *world) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// Appointment implements Appointments.
func (w *world) Appointment(_ context.Context, id int64) (Appointment, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.appointments[id]
	if !ok && w.fail == nil {
		return a, errs.Missing("appointment")
	}
	if a.Moved == 0 {
		a.Moved = a.Version
	}
	return a, w.fail
}

// Addressee implements People.
func (w *world) Addressee(_ context.Context, id int64) (Addressee, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.people[id]
	if !ok {
		return a, errs.Missing("user")
	}
	return a, nil
}

// Decide implements Preferences.
func (w *world) Decide(_ context.Context, _ int64, kind Kind, at time.Time) (bool, time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if kind.Urgent() || w.quietUntil.Before(at) {
		return !w.unwanted[kind], at, nil
	}
	return !w.unwanted[kind], w.quietUntil, nil
}

// Zone implements Preferences.
func (w *world) Zone(_ context.Context, id int64) (*time.Location, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.zones[id], nil
}

// Stands implements Standing.
func (w *world) Stands(_ context.Context, _ Kind, key string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.withdrawn[key], w.fail
}

// Message implements Calendar.
func (w *world) Message(method string, a Appointment, to Addressee) ([]byte, error) {
	return fmt.Appendf(nil, "BEGIN:VCALENDAR\r\nMETHOD:%s\r\nSEQUENCE:%d\r\nATTENDEE:mailto:%s\r\nEND:VCALENDAR\r\n",
		method, a.Version, to.Email), nil
}

// links makes addresses of pages as the program does.
type links struct{}

const home = "https://clinic.test/"

func (links) Home() string                       { return home }
func (links) Appointment(publicID string) string { return home + "appointments/" + publicID }
func (links) Inbox() string                      { return home + "inbox" }
func (links) Offer(id string) string             { return home + "waitlist/" + id }
func (links) Invitation(token string) string     { return home + "invitation?token=" + token }
func (links) PasswordReset(token string) string  { return home + "reset?token=" + token }
func (links) VerifyEmail(token string) string    { return home + "verify?token=" + token }

// instance makes an instance that is not started, and retries at once.
func (w *world) instance(sender own.Sender) (*Service, *jobs.Service) {
	w.t.Helper()
	j, err := jobs.New(jobs.Deps{
		Pool: w.pool, Log: zerolog.New(w.log), Now: time.Now, Prompt: true,
		Pause: func(int) time.Duration { return 10 * time.Millisecond }, Options: jobs.Options{Workers: 4},
	})
	require.NoError(w.t, err)
	sealer, err := auth.NewSealer([][]byte{[]byte(secret)})
	require.NoError(w.t, err)
	return New(Deps{
		Jobs: j, Mail: sender, Sealer: sealer, Appointments: w, People: w, Preferences: w, Calendar: w, Standing: w,
		Links: links{}, Now: w.clock, Log: zerolog.New(w.log),
		Options: Options{Domain: own.Domain(clinic), Zone: time.UTC, Clinic: "Northside Clinic"},
	}), j
}

func (w *world) start(j *jobs.Service) {
	w.t.Helper()
	require.NoError(w.t, j.Start(w.t.Context()))
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(w.t, j.Stop(ctx))
	})
}

func (w *world) inTx(f func(ctx context.Context, tx *postgres.Tx) error) {
	w.t.Helper()
	require.NoError(w.t, w.pool.InTx(w.t.Context(), func(tx *postgres.Tx) error { return f(w.t.Context(), tx) }))
}

// moves reports a move of a, as it is now.
func (w *world) moves(s *Service, kind Kind, a Appointment, actor int64) {
	w.t.Helper()
	w.change(func() { w.appointments[a.ID] = a })
	w.inTx(func(ctx context.Context, tx *postgres.Tx) error { return s.Moved(ctx, tx, kind, a, actor) })
}

// appointment is one of half an hour two days after a time, less an hour and a half.
func anAppointment(status appointment.Status, at time.Time) Appointment {
	start := at.Add(46*time.Hour + 30*time.Minute).UTC()
	end := start.Add(30 * time.Minute)
	return Appointment{
		ID: 7, PublicID: "APP0123456789", Version: 2, Status: status, StartsAt: &start, EndsAt: &end,
		TimeZone:  "Europe/Berlin",
		PatientID: patientID, DoctorID: doctorID, PatientName: "Pat Morgan", DoctorName: "Dr. Ada Okafor", UpdatedAt: at,
	}
}

// job is a row of the queue.
type job struct {
	Args      string
	State     string
	Attempt   int
	Scheduled time.Time
	Errors    string
}

func (w *world) rows() (out []job) {
	w.t.Helper()
	rows, err := w.pool.Query(w.t.Context(), `
		select args::text, state::text, attempt, scheduled_at, coalesce(array_to_string(errors, ' '), '') from river_job where kind like 'mail%' order by id`)
	require.NoError(w.t, err)
	defer rows.Close()
	for rows.Next() {
		var j job
		require.NoError(w.t, rows.Scan(&j.Args, &j.State, &j.Attempt, &j.Scheduled, &j.Errors))
		out = append(out, j)
	}
	require.NoError(w.t, rows.Err())
	return out
}

// settled waits until n jobs are there and each is in one of the states.
func (w *world) settled(n int, states ...string) (rows []job) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		rows = w.rows()
		if len(rows) != n {
			return false
		}
		for _, r := range rows {
			ok := false
			for _, s := range states {
				ok = ok || r.State == s
			}
			if !ok {
				return false
			}
		}
		return true
	}, patience, 20*time.Millisecond, "jobs: %v", w.rows())
	return rows
}

// outbox keeps emails.
type outbox struct {
	came chan own.Message
	fail func() error
}

// Send implements own.Sender.
func (o *outbox) Send(_ context.Context, m own.Message) error {
	if o.fail != nil {
		if err := o.fail(); err != nil {
			return err
		}
	}
	o.came <- m
	return nil
}

func (o *outbox) all() (out []own.Message) {
	for {
		select {
		case m := <-o.came:
			out = append(out, m)
		default:
			return out
		}
	}
}

// golden compares a text with testdata/name.
func golden(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), text)
}
