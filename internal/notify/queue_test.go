package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/jobs"
	own "housecall/internal/mail"
	"housecall/internal/postgres"
)

func present() time.Time { return time.Now().UTC().Truncate(time.Second) }

// mailServer is a real SMTP server that answers recipients as it is told.
type mailServer struct {
	rcpt func(to string) error
	mu   sync.Mutex // guards got
	got  []string
}

// NewSession implements smtp.Backend.
func (s *mailServer) NewSession(*smtp.Conn) (smtp.Session, error) { return &mailSession{s: s}, nil }

func (s *mailServer) taken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.got...)
}

type mailSession struct{ s *mailServer }

func (s *mailSession) Mail(string, *smtp.MailOptions) error { return nil }
func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.s.rcpt != nil {
		return s.s.rcpt(to)
	}
	return nil
}

func (s *mailSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err == nil {
		s.s.mu.Lock()
		defer s.s.mu.Unlock()
		s.s.got = append(s.s.got, string(b))
	}
	return err
}
func (s *mailSession) Reset()        {}
func (s *mailSession) Logout() error { return nil }

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func (s *mailServer) sender(t *testing.T) *own.SMTP {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := smtp.NewServer(s)
	srv.Domain, srv.ErrorLog = "mail.test", quiet{}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	addr, ok := ln.Addr().(*net.TCPAddr)
	require.True(t, ok)
	out, err := own.NewSMTP(own.Server{Host: "127.0.0.1", Port: addr.Port, Plain: true}, clinic, nil)
	require.NoError(t, err)
	return out
}

// A confirmed appointment: two emails, and four reminders when they are due.
func TestService_Moved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, present())
	srv := &mailServer{}
	s, j := w.instance(srv.sender(t))
	w.start(j)
	a := anAppointment(appointment.Booked, w.clock())
	w.moves(s, Confirmed, a, doctorID)
	rows := w.settled(6, "completed", "scheduled")
	due := map[time.Time]int{}
	for _, r := range rows {
		if r.State == "scheduled" {
			due[r.Scheduled.UTC()]++
		}
	}
	require.Equal(t, map[time.Time]int{a.StartsAt.Add(-24 * time.Hour): 2, a.StartsAt.Add(-time.Hour): 2}, due)
	taken := srv.taken()
	require.Len(t, taken, 2)
	for _, m := range taken {
		require.Contains(t, m, "text/calendar; method=REQUEST")
	}

	w.moves(s, Confirmed, a, doctorID) // said twice
	require.Len(t, w.rows(), 6)
	next := anAppointment(appointment.Booked, w.clock().Add(24*time.Hour))
	next.Version, next.WasBooked = 3, true
	w.moves(s, Rescheduled, next, patientID)
	w.settled(12, "completed", "scheduled")
	back := a
	back.Version, back.WasBooked = 4, true
	w.moves(s, Rescheduled, back, patientID)
	rows = w.settled(14, "completed", "scheduled")
	require.Len(t, srv.taken(), 6)
	at := 0
	for _, r := range rows {
		if r.State == "scheduled" && r.Scheduled.Equal(a.StartsAt.Add(-time.Hour)) {
			at++
		}
	}
	require.Equal(t, 2, at, "moved away and back, it reminds each once")
}

// Reminders whose time has passed are not written.
func TestService_Moved_soon(t *testing.T) {
	t.Parallel()
	w := newWorld(t, present())
	s, _ := w.instance(w.out)
	a := anAppointment(appointment.Booked, w.clock())
	for i, c := range []struct {
		ahead time.Duration
		want  int
	}{{25 * time.Hour, 6}, {24 * time.Hour, 4}, {61 * time.Minute, 4}, {time.Hour, 2}, {time.Minute, 2}} {
		start := w.clock().Add(c.ahead)
		a.ID, a.StartsAt = int64(100+i), &start
		before := len(w.rows())
		w.moves(s, Confirmed, a, doctorID)
		require.Equal(t, c.want, len(w.rows())-before, c.ahead)
	}
}

// An email goes with its change or not at all.
func TestService_Moved_rolledBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, present())
	s, _ := w.instance(w.out)
	err := w.pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		require.NoError(t, s.Moved(t.Context(), tx, Confirmed, anAppointment(appointment.Booked, w.clock()), doctorID))
		return errors.New("no")
	})
	require.Error(t, err)
	require.Empty(t, w.rows())
}

// An appointment that is cancelled before the email's turn is reported as cancelled, never as confirmed.
func TestService_cancelledBeforeItsTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, present())
	s, j := w.instance(w.out)
	a := anAppointment(appointment.Booked, w.clock())
	w.moves(s, Confirmed, a, doctorID)
	a.Status, a.Version, a.WasBooked = appointment.Cancelled, 3, true
	w.moves(s, Cancelled, a, patientID)
	w.start(j)
	w.settled(8, "completed", "scheduled")
	sent := w.out.all()
	require.Len(t, sent, 2)
	for _, m := range sent {
		require.True(t, strings.HasPrefix(m.ID, "cancelled."), m.ID)
		require.Equal(t, "CANCEL", m.Method)
	}
}

// Two instances share a queue to which many transactions add each email several times: each goes out once.
func TestService_manyInstances(t *testing.T) {
	t.Parallel()
	const appointments, writers = 20, 4
	w := newWorld(t, present())
	srv := &mailServer{}
	var instances []*Service
	for range 2 {
		s, j := w.instance(srv.sender(t))
		w.start(j)
		instances = append(instances, s)
	}
	for i := range int64(appointments) {
		a := anAppointment(appointment.Rejected, w.clock())
		a.ID, a.PublicID = i+1, fmt.Sprintf("APP%010d", i)
		w.appointments[a.ID] = a
	}
	var wg sync.WaitGroup
	failures := make(chan error, writers*appointments)
	for n := range writers {
		wg.Go(func() {
			for i := range int64(appointments) {
				w.mu.Lock()
				a := w.appointments[i+1]
				w.mu.Unlock()
				failures <- w.pool.InTx(t.Context(), func(tx *postgres.Tx) error {
					return instances[n%2].Moved(t.Context(), tx, Rejected, a, doctorID)
				})
			}
		})
	}
	wg.Wait()
	for range writers * appointments {
		require.NoError(t, <-failures)
	}
	w.settled(appointments, "completed")
	taken := srv.taken()
	require.Len(t, taken, appointments)
	seen := map[string]bool{}
	for _, m := range taken {
		_, id, found := strings.Cut(m, "Message-ID: ")
		require.True(t, found)
		id, _, _ = strings.Cut(id, "\r\n")
		require.False(t, seen[id], id)
		seen[id] = true
	}
}

// A server that is busy at first gets the email later; one that refuses permanently leaves a dead job, which reveals
// no address.
func TestService_refusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, present())
	var mu sync.Mutex
	busy := 2
	srv := &mailServer{rcpt: func(to string) error {
		mu.Lock()
		defer mu.Unlock()
		if to == "ada@private.test" {
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user " + to}
		}
		if busy--; busy >= 0 {
			return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "greylisted " + to}
		}
		return nil
	}}
	s, j := w.instance(srv.sender(t))
	w.start(j)
	w.moves(s, Cancelled, func() Appointment { a := anAppointment(appointment.Cancelled, w.clock()); a.WasBooked = true; return a }(),
		0)
	rows := w.settled(2, "completed", "cancelled")
	require.Len(t, srv.taken(), 1)
	for _, r := range rows {
		require.NotContains(t, r.Errors, "private.test")
		require.NotContains(t, r.Args, "private.test")
		if r.State == "cancelled" {
			require.Equal(t, 1, r.Attempt, "it was not tried again")
			require.Contains(t, r.Errors, "sending failed at the stage recipient, code 550 5.1.1, permanently")
		} else {
			require.Equal(t, 3, r.Attempt)
			require.Contains(t, r.Errors, "code 451 4.7.1")
		}
	}
	require.NotContains(t, w.log.String(), "private.test")
}

// Tokens and addresses are sealed in waiting jobs, and finished ones keep none either.
func TestService_secretsAreSealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, present())
	s, j := w.instance(w.out)
	expires := w.clock().Add(time.Hour)
	said := func() {
		w.inTx(func(ctx context.Context, tx *postgres.Tx) error {
			return errors.Join(
				s.Invitation(ctx, tx, doctorID, auth.Link{Token: "marker-invitation", Expires: expires}),
				s.Enrolled(ctx, tx, doctorID, auth.Link{Token: "marker-enrolled", Expires: expires}),
				s.PasswordReset(ctx, tx, patientID, auth.Link{Token: "marker-reset", Expires: expires}),
				s.VerifyEmail(ctx, tx, patientID, "marker@private.test",
					auth.Link{Token: "marker-verify", Expires: expires}),
				s.WaitlistOffer(ctx, tx, Offer{
					ID: "marker-offer", PatientID: patientID, DoctorName: "Dr. Marker", TimeZone: "Europe/Berlin",
					StartsAt: w.clock().Add(48 * time.Hour), Expires: expires,
				}),
			)
		})
	}
	said()
	said()
	require.Len(t, w.rows(), 5, "each once")
	n, err := postgres.Column[int64](t.Context(), w.pool, "jobs", `select count(*) from river_job where kind = 'mail_enrolled'`)
	require.NoError(t, err)
	require.Equal(t, []int64{1}, n, "of its own kind, which the release before leaves to others")
	w.inTx(func(ctx context.Context, tx *postgres.Tx) error {
		return s.EmailChanged(ctx, tx, patientID, "old-marker@private.test")
	})
	w.start(j)
	w.settled(6, "completed")
	var dump string
	require.NoError(t, w.pool.QueryRow(t.Context(), `select string_agg(river_job::text, ' ') from river_job`).Scan(&dump))
	require.NotContains(t, strings.ToLower(dump), "marker")
	require.NotContains(t, strings.ToLower(w.log.String()), "marker")
	sent := map[string]own.Message{}
	for _, m := range w.out.all() {
		kind, _, _ := strings.Cut(m.ID, ".")
		sent[kind] = m
		require.NotContains(t, m.ID, "marker")
	}
	require.Len(t, sent, 6)
	require.Contains(t, sent["invitation"].Text, "https://clinic.test/invitation?token=marker-invitation")
	require.Contains(t, sent["enrolled"].HTML, "https://clinic.test/reset?token=marker-enrolled")
	require.Contains(t, sent["password_reset"].HTML, "https://clinic.test/reset?token=marker-reset")
	require.Equal(t, "marker@private.test", sent["verify_email"].To.Email)
	require.Equal(t, "old-marker@private.test", sent["email_changed"].To.Email)
}

// One absence causes one email, however many instances notice it.
func TestService_Unread_once(t *testing.T) {
	t.Parallel()
	w := newWorld(t, present())
	s, j := w.instance(w.out)
	w.start(j)
	absence := w.clock().Add(-time.Hour)
	var wg sync.WaitGroup
	failures := make(chan error, 8)
	for i := range 8 {
		wg.Go(func() {
			failures <- w.pool.InTx(t.Context(), func(tx *postgres.Tx) error {
				return s.Unread(t.Context(), tx, patientID, absence.In(time.FixedZone("", 3600)), i+1)
			})
		})
	}
	wg.Wait()
	for range 8 {
		require.NoError(t, <-failures)
	}
	w.settled(1, "completed")
	w.inTx(func(ctx context.Context, tx *postgres.Tx) error {
		return s.Unread(ctx, tx, patientID, absence.Add(time.Minute), 1)
	})
	w.settled(2, "completed")
	require.Len(t, w.out.all(), 2)
}

// Quiet hours hold an email back, and it goes once they are over.
func TestService_quietHours(t *testing.T) {
	t.Parallel()
	w := newWorld(t, present())
	s, j := w.instance(w.out)
	w.quietUntil = w.clock().Add(8 * time.Hour)
	w.start(j)
	w.moves(s, Rejected, anAppointment(appointment.Rejected, w.clock()), doctorID)
	rows := w.settled(1, "scheduled")
	require.WithinDuration(t, w.quietUntil, rows[0].Scheduled, time.Minute)
	require.Zero(t, rows[0].Attempt, "waiting is no attempt")
	w.change(func() { w.quietUntil = time.Time{} })
	_, err := w.pool.Exec(t.Context(), `update river_job set scheduled_at = now()`)
	require.NoError(t, err)
	w.settled(1, "completed")
	require.Len(t, w.out.all(), 1)
}

// A stop does not wait for a silent mail server; another instance sends the email.
func TestService_stopWithStuckServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, present())
	stuck, free := make(chan struct{}), make(chan struct{})
	t.Cleanup(sync.OnceFunc(func() { close(free) }))
	var once sync.Once
	srv := &mailServer{rcpt: func(string) error {
		once.Do(func() { close(stuck) })
		<-free
		return nil
	}}
	s, j := w.instance(srv.sender(t))
	require.NoError(t, j.Start(t.Context()))
	w.moves(s, Rejected, anAppointment(appointment.Rejected, w.clock()), doctorID)
	select {
	case <-stuck:
	case <-time.After(patience):
		require.FailNow(t, "the server was not asked")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	require.NoError(t, j.Stop(ctx))
	require.Equal(t, "available", w.rows()[0].State)
	require.Empty(t, srv.taken())
	_, other := w.instance(w.out)
	w.start(other)
	w.settled(1, "completed")
	require.Len(t, w.out.all(), 1)
}

var _ jobs.Args = moveArgs{}
