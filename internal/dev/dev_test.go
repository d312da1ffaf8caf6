package dev

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/app"
	"housecall/internal/client"
	"housecall/internal/config"
	"housecall/internal/postgres"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// patience is how long a test waits for a signal that must come.
const patience = time.Minute

// devRun is one run of dev.
type devRun struct {
	t           *testing.T
	urls        []string
	appointment string
	out         *bytes.Buffer
	end         context.CancelFunc
	ended       chan error
}

// startDev runs dev until stop and returns when it is ready.
func startDev(t *testing.T, dir string, ports []int) *devRun {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &devRun{t: t, out: &bytes.Buffer{}, end: cancel, ended: make(chan error, 1)}
	ready := make(chan struct{})
	go func() {
		o := Options{Dir: dir, Ports: ports, Out: r.out, Log: zerolog.Nop()}
		o.Ready = func(urls []string, id string) {
			r.urls, r.appointment = urls, id
			close(ready)
		}
		r.ended <- Run(ctx, o)
	}()
	stopped := &sync.Once{}
	r.end = func() { stopped.Do(func() { cancel(); require.NoError(t, <-r.ended) }) }
	t.Cleanup(r.end)
	select {
	case <-ready:
	case err := <-r.ended:
		r.ended <- err
		require.FailNow(t, "dev ended", "%v\n%s", err, r.out)
	case <-time.After(2 * patience):
		require.FailNow(t, "dev is not ready")
	}
	return r
}

// freePorts returns ports that nobody uses at the moment.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer ln.Close()
		ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// devDir is a folder that the unprivileged servers can reach, which t.TempDir is not.
func devDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "housecall-dev-test-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func demo(t *testing.T, httpClient *http.Client, url, email string) *client.API {
	t.Helper()
	api, err := client.New(url, client.WithHTTPClient(httpClient))
	require.NoError(t, err)
	_, err = api.Login(t.Context(), email, DemoPassword)
	require.NoError(t, err)
	return api
}

// listener is a client in a conversation that receives its whole log.
type listener struct {
	t      *testing.T
	conv   *client.Conversation
	events chan client.Event
}

func join(t *testing.T, api *client.API, appointment string) *listener {
	t.Helper()
	l := &listener{t: t, events: make(chan client.Event, 1000)}
	l.conv = client.Open(api, appointment, client.Options{
		Resume: client.Cursor{Set: true}, Handler: client.Handler{Event: func(e client.Event) { l.events <- e }},
	})
	t.Cleanup(l.conv.Close)
	return l
}

// next waits for the next event of a kind.
func (l *listener) next(kind string) client.Event {
	l.t.Helper()
	for {
		select {
		case e := <-l.events:
			if e.Kind == kind {
				return e
			}
		case <-time.After(patience):
			require.FailNow(l.t, "nothing more was said")
		}
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	dir, ports := devDir(t), freePorts(t, 2)
	h := client.NewHTTPClient(4)
	t.Cleanup(h.CloseIdleConnections)

	first := startDev(t, dir, ports)
	patient, doctor := demo(t, h, first.urls[0], "patient1@demo.test"), demo(t, h, first.urls[1], "doctor1@demo.test")
	a, err := patient.Appointment(t.Context(), first.appointment)
	require.NoError(t, err)
	require.Equal(t, "BOOKED", a.Status)
	require.True(t, a.CanReply)
	require.False(t, a.StartsAt.After(time.Now()), "it is on now")
	require.True(t, a.EndsAt.After(time.Now()))
	p, d := join(t, patient, first.appointment), join(t, doctor, first.appointment)
	for range 4 {
		require.NotEmpty(t, p.next("text").Text, "there is a conversation")
	}
	_, err = p.conv.Send("on two instances")
	require.NoError(t, err)
	for d.next("text").Text != "on two instances" {
	}
	for _, u := range DemoUsers {
		require.Contains(t, first.out.String(), u.Email)
	}
	for i, who := range []string{"patient1", "doctor1"} {
		require.Contains(t, first.out.String(),
			fmt.Sprintf("chat --as %s@demo.test --server %s %s", who, first.urls[i], first.appointment))
	}
	for _, url := range first.urls {
		require.Contains(t, first.out.String(), url+"/appointments/"+first.appointment)
	}
	box := regexp.MustCompile(`mailbox +(http://127\.0\.0\.1:\d+)`).FindStringSubmatch(first.out.String())
	require.NotNil(t, box)
	shown, err := h.Get(box[1])
	require.NoError(t, err)
	require.NoError(t, shown.Body.Close())
	require.Equal(t, http.StatusOK, shown.StatusCode)
	doctors, _, err := patient.Doctors(t.Context(), "", client.Page{})
	require.NoError(t, err)
	require.Len(t, doctors, 3)

	err = Run(t.Context(), Options{Dir: devDir(t), Ports: ports, Out: &bytes.Buffer{}, Log: zerolog.Nop()})
	requireSentence(t, err, fmt.Sprint(ports[0]))
	err = Run(t.Context(), Options{Dir: dir, Ports: freePorts(t, 1), Out: &bytes.Buffer{}, Log: zerolog.Nop()})
	requireSentence(t, err, dir)

	p.conv.Close()
	d.conv.Close()
	h.CloseIdleConnections()
	first.end()
	for _, port := range ports {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		require.NoError(t, err, "the ports are free again")
		require.NoError(t, ln.Close())
	}

	second := startDev(t, dir, ports)
	require.Equal(t, first.appointment, second.appointment, "one that is on is found")
	again := demo(t, h, second.urls[1], "patient1@demo.test")
	history, err := again.MessagesAfter(t.Context(), second.appointment, 0, 100)
	require.NoError(t, err)
	require.Equal(t, "on two instances", history.Items[len(history.Items)-1].Text, "the data is kept")
	_, err = demo(t, h, second.urls[0], "doctor1@demo.test").Cancel(t.Context(), second.appointment, "Ill")
	require.NoError(t, err)
	h.CloseIdleConnections()
	second.end()

	third := startDev(t, dir, ports)
	require.NotEqual(t, first.appointment, third.appointment, "a new one is made when none is on")
	third.end()
}

// A broken data folder is reported in one sentence, and nothing is left running.
func TestRun_BrokenFolder(t *testing.T) {
	t.Parallel()
	dir := devDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "postgres"), []byte("not a folder"), 0o600))
	err := Run(t.Context(), Options{Dir: dir, Ports: freePorts(t, 1), Out: &bytes.Buffer{}, Log: zerolog.Nop()})
	requireSentence(t, err, dir)
}

// requireSentence requires an error for people: short, one line, and it names what it is about.
func requireSentence(t *testing.T, err error, names string) {
	t.Helper()
	require.Error(t, err)
	require.Contains(t, err.Error(), names)
	require.NotContains(t, err.Error(), "\n")
	require.NotContains(t, err.Error(), "goroutine")
	require.Less(t, len(err.Error()), 400)
	require.False(t, strings.HasSuffix(err.Error(), ": "))
}

// house is an instance without dev around it, and its database.
type house struct {
	*app.App
	pool *postgres.Pool
	zone string
	url  string
}

func newHouse(t *testing.T, change ...func(*config.Config)) *house {
	t.Helper()
	dsn := pgtest.DSN(t)
	pool, err := postgres.Open(t.Context(), postgres.Options{DSN: dsn, MaxConns: 2})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	cfg := config.Default()
	cfg.Addr, cfg.MetricsAddr, cfg.PublicURL = "127.0.0.1:0", "", "http://clinic.test"
	cfg.DatabaseURL, cfg.RedisURL = config.Secret(dsn), config.Secret(pgtest.Redis(t).URL())
	cfg.TokenSecrets = []config.Secret{config.Secret(rand.Text() + rand.Text())}
	cfg.ClinicHours = config.Hours{{From: 0, To: 24 * 60}}
	cfg.MailDir, cfg.AttachmentsDir = filepath.Join(t.TempDir(), "mail"), filepath.Join(t.TempDir(), "attachments")
	cfg.LoginsPerAccount, cfg.LoginsPerAddress = 10_000, 10_000
	for _, f := range change {
		f(&cfg)
	}
	require.NoError(t, cfg.Validate())
	a, err := app.New(cfg, zerolog.Nop())
	require.NoError(t, err)
	require.NoError(t, a.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, a.Stop()) })
	return &house{App: a, pool: pool, zone: cfg.ClinicZone.String(), url: "http://" + a.Addr()}
}

func (h *house) seed(t *testing.T) {
	t.Helper()
	require.NoError(t, seedUsers(t.Context(), h.App, h.zone))
}

// TestSeedAppointment_InTheWay: whatever else is booked, dev starts, and leaves no request behind.
func TestSeedAppointment_InTheWay(t *testing.T) {
	t.Parallel()
	const openRequests = 2
	h := newHouse(t, func(c *config.Config) { c.MaxOpenRequests = openRequests })
	h.seed(t)
	h.seed(t) // a second start
	first, err := seedAppointment(t.Context(), h.url, h.url)
	require.NoError(t, err)
	again, err := seedAppointment(t.Context(), h.url, h.url)
	require.NoError(t, err)
	require.Equal(t, first, again)
	// It is over, but its claim still covers the present time, as another booking's would.
	_, err = h.pool.Exec(t.Context(),
		`update appointments set starts_at = now() - interval '2 hours', ends_at = now() - interval '1 hour'`)
	require.NoError(t, err)
	for range openRequests + 1 {
		again, err = seedAppointment(t.Context(), h.url, h.url)
		require.NoError(t, err)
		require.Equal(t, first, again, "its conversation is still open")
	}
	var open int
	require.NoError(t, h.pool.QueryRow(t.Context(),
		`select count(*) from appointments where status = 'PENDING'`).Scan(&open))
	require.Zero(t, open)
}

// TestSeedAppointment_AccountsChanged: dev also starts when its demo users' accounts have changed.
func TestSeedAppointment_AccountsChanged(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.seed(t)
	for _, change := range []string{
		`update users set disabled_at = now() where email = 'doctor1@demo.test'`,
		`update users set disabled_at = null, role = 'PATIENT' where email = 'doctor1@demo.test'`,
		`update users set role = 'DOCTOR' where email in ('doctor1@demo.test', 'patient1@demo.test')`,
		`update users set must_change_password = true where email = 'patient1@demo.test'`,
		`update users set password_hash = null where email = 'patient1@demo.test'`,
	} {
		_, err := h.pool.Exec(t.Context(), change)
		require.NoError(t, err)
		id, err := seedAppointment(t.Context(), h.url, h.url)
		require.NoError(t, err, change)
		require.Empty(t, id, change)
	}
}
