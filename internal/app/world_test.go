package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/client"
	"housecall/internal/config"
	"housecall/internal/testing/apitest"
	"housecall/internal/testing/logtest"
	"housecall/internal/testing/pgtest"
)

const (
	// patience is how long a test waits for a signal that must come. It says nothing about how fast things should be.
	patience = 3 * time.Minute
	busy     = time.Minute
	glance   = 20 * time.Millisecond
	password = "a-rather-long-passphrase-7"
)

// long marks tests that wait for something slow, or need the whole machine: `go test -short` skips them.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("left out with -short")
	}
}

// world has a database, perhaps a Redis, and instances over them in this process.
type world struct {
	t    *testing.T
	cfg  config.Config
	log  *logtest.Buffer
	http *http.Client
	apps []*App
	once []*sync.Once // stop the instances
	fail []error      // the errors of their Stop

	people, times int
}

// newWorld starts instances over the test's own database and Redis.
func newWorld(t *testing.T, instances int, change ...func(*config.Config)) *world {
	t.Helper()
	return newWorldOver(t, pgtest.DSN(t), pgtest.Redis(t).URL(), instances, change...)
}

func newWorldOver(t *testing.T, dsn, redisURL string, instances int, change ...func(*config.Config)) *world {
	t.Helper()
	w := &world{t: t, cfg: config.Default(), log: &logtest.Buffer{}}
	w.cfg.Addr, w.cfg.MetricsAddr = "127.0.0.1:0", ""
	w.cfg.PublicURL = "http://clinic.test"
	w.cfg.DatabaseURL, w.cfg.RedisURL = config.Secret(dsn), config.Secret(redisURL)
	w.cfg.TokenSecrets = []config.Secret{config.Secret(rand.Text() + rand.Text())}
	w.cfg.ClinicHours = config.Hours{{From: 0, To: 24 * 60}}
	w.cfg.MailDir = filepath.Join(t.TempDir(), "mail")
	w.cfg.AttachmentsDir = filepath.Join(t.TempDir(), "attachments")
	w.cfg.MaxOpenRequests = 1000
	// On a busy machine everything may take long. What is said of the limit is tested with limits of its own.
	w.cfg.RequestTimeout = busy
	// All clients have the same address, and some write fast.
	w.cfg.LoginsPerAccount, w.cfg.LoginsPerAddress, w.cfg.RegistersPerAddress = 10_000, 10_000, 10_000
	w.cfg.SocketsPerUser, w.cfg.MessagesPerSecond = 1000, 10_000
	w.cfg.UserMessagesPerSecond, w.cfg.ConversationMessagesPerSecond = 10_000, 10_000
	for _, f := range change {
		f(&w.cfg)
	}
	require.NoError(t, w.cfg.Validate())
	pool := client.NewHTTPClient(16)
	pool.Transport.(*http.Transport).ResponseHeaderTimeout = patience
	w.http = apitest.Held(t, pool)
	for range instances {
		w.start()
	}
	t.Cleanup(w.http.CloseIdleConnections) // before the instances stop
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the instances said:\n%s", w.log.Tail(16<<10))
		}
	})
	return w
}

// start runs one more instance until the test ends.
func (w *world) start() int {
	w.t.Helper()
	n := len(w.apps)
	level, err := zerolog.ParseLevel(w.cfg.LogLevel)
	require.NoError(w.t, err)
	a, err := New(w.cfg, zerolog.New(w.log).Level(level).With().Timestamp().Int("instance", n).Logger())
	require.NoError(w.t, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(w.t, a.Start(ctx))
	w.apps, w.once, w.fail = append(w.apps, a), append(w.once, &sync.Once{}), append(w.fail, nil)
	w.t.Cleanup(func() {
		w.http.CloseIdleConnections()
		assert.NoError(w.t, w.stop(n))
	})
	return n
}

// stop ends an instance once.
func (w *world) stop(n int) error {
	w.once[n].Do(func() { w.fail[n] = w.apps[n].Stop() })
	return w.fail[n]
}

func (w *world) url(n int) string { return "http://" + w.apps[n].Addr() }

func (w *world) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	w.t.Cleanup(cancel)
	return ctx
}

// person has an account.
type person struct {
	w             *world
	email, userID string
}

// person makes an account without the API, which would be slower.
func (w *world) person(role auth.Role) *person {
	w.t.Helper()
	w.people++
	name := fmt.Sprintf("%s Number %d", role, w.people)
	p := &person{w: w, email: fmt.Sprintf("%s-%d@private.test", strings.ToLower(string(role)), w.people)}
	u, made, err := w.apps[0].EnsureUser(w.context(), NewUser{Name: name, Email: p.email, Role: role, Password: password})
	require.NoError(w.t, err)
	require.True(w.t, made)
	p.userID = u.UserID
	return p
}

// at signs in on an instance, with a new session.
func (p *person) at(n int) *client.API { p.w.t.Helper(); return p.w.signIn(p.w.url(n), p.email) }

func (w *world) anyone(url string) *client.API {
	w.t.Helper()
	api, err := client.New(url, client.WithHTTPClient(w.http), client.WithRequestTimeout(patience))
	require.NoError(w.t, err)
	return api
}

func (w *world) signIn(url, email string) *client.API {
	w.t.Helper()
	api := w.anyone(url)
	_, err := api.Login(w.context(), email, password)
	require.NoError(w.t, err)
	return api
}

func (w *world) token(api *client.API) string {
	w.t.Helper()
	token, err := api.Token(w.context())
	require.NoError(w.t, err)
	return token
}

// book makes a confirmed appointment, each at another time, and returns its id.
func (w *world) book(patient, doctor *client.API) string {
	w.t.Helper()
	asked, err := patient.Book(w.context(), doctor.User().UserID, time.Time{}, fmt.Sprintf("A cough (%d)", w.times))
	require.NoError(w.t, err)
	start := time.Now().Truncate(time.Hour).Add(time.Duration(1+w.times) * time.Hour)
	w.times++
	booked, err := doctor.Confirm(w.context(), asked.ID, &start)
	require.NoError(w.t, err)
	require.Equal(w.t, "BOOKED", booked.Status)
	return asked.ID
}

// pair is a patient on the first instance and a doctor on the last, with an appointment.
func (w *world) pair() (patient, doctor *client.API, appointment string) {
	w.t.Helper()
	patient, doctor = w.person(auth.Patient).at(0), w.person(auth.Doctor).at(len(w.apps)-1)
	return patient, doctor, w.book(patient, doctor)
}

// stored returns a conversation's log as PostgreSQL has it.
func (w *world) stored(appointment string) []client.Event {
	w.t.Helper()
	rows, err := w.apps[len(w.apps)-1].pool.Query(w.context(), `
		select m.seq, m.kind, coalesce(m.client_id::text, ''), coalesce(u.public_id, ''), coalesce(m.body, '')
		from messages m join appointments a on a.id = m.room_id left join users u on u.id = m.sender_id
		where a.public_id = $1 order by m.seq`, appointment)
	require.NoError(w.t, err)
	defer rows.Close()
	var out []client.Event
	for rows.Next() {
		var e client.Event
		require.NoError(w.t, rows.Scan(&e.Seq, &e.Kind, &e.ClientID, &e.Sender, &e.Text))
		out = append(out, e)
	}
	require.NoError(w.t, rows.Err())
	return out
}

// reply is an answer over HTTP.
type reply struct {
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

func (r reply) code() string { s, _ := r.body["code"].(string); return s }

// problem requires a problem document with that status.
func (r reply) problem(t *testing.T, status int) reply {
	t.Helper()
	require.Equal(t, status, r.status, "%s", r.raw)
	require.Equal(t, "application/problem+json", r.header.Get("Content-Type"), "%s", r.raw)
	require.EqualValues(t, status, r.body["status"])
	require.NotEmpty(t, r.code())
	require.NotEmpty(t, r.body["detail"])
	require.NotEmpty(t, r.body["requestId"])
	return r
}

// call sends a request; body is JSON, and pairs of headers follow.
func (w *world) call(n int, token, method, path, body string, header ...string) reply {
	w.t.Helper()
	r, err := w.try(n, token, method, path, body, header...)
	require.NoError(w.t, err)
	return r
}

func (w *world) try(n int, token, method, path, body string, header ...string) (reply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, w.url(n)+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if body == "" {
		req.Body = http.NoBody
		req.ContentLength = 0
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	r := reply{status: resp.StatusCode, header: resp.Header}
	if r.raw, err = io.ReadAll(resp.Body); err != nil {
		return reply{}, err
	}
	_ = json.Unmarshal(r.raw, &r.body) // not all answers are JSON
	return r, nil
}

// eventually waits for something that is not announced.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	require.Eventually(w.t, ok, patience, glance, what)
}

// gate is a very simple load balancer whose connections can be broken.
type gate struct {
	t    *testing.T
	ln   net.Listener
	work sync.WaitGroup

	to    []string
	mu    sync.Mutex // guards the rest
	next  int
	open  map[net.Conn]struct{}
	ended bool
}

// newGate forwards connections to the addresses in turn, leaving out those that do not answer.
func newGate(t *testing.T, to ...string) *gate {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := &gate{t: t, ln: ln, to: to, open: map[net.Conn]struct{}{}}
	g.work.Go(g.accept)
	t.Cleanup(func() {
		_ = ln.Close()
		g.mu.Lock()
		g.ended = true
		g.mu.Unlock()
		g.cut()
		g.work.Wait()
	})
	return g
}

func (g *gate) url() string { return "http://" + g.ln.Addr().String() }

// cut breaks all connections, as a network would, and returns how many there were.
func (g *gate) cut() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := len(g.open)
	for c := range g.open {
		_ = c.Close()
	}
	return n
}

func (g *gate) accept() {
	for {
		in, err := g.ln.Accept()
		if err != nil {
			return
		}
		g.work.Go(func() { g.forward(in) })
	}
}

func (g *gate) forward(in net.Conn) {
	defer in.Close()
	out := g.reach()
	if out == nil {
		return
	}
	defer out.Close()
	g.mu.Lock()
	if g.ended {
		g.mu.Unlock()
		return
	}
	g.open[in] = struct{}{}
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		delete(g.open, in)
		g.mu.Unlock()
	}()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(in, out)
		_ = in.Close()
	})
	_, _ = io.Copy(out, in)
	_ = out.Close()
	back.Wait()
}

func (g *gate) reach() net.Conn {
	g.mu.Lock()
	first := g.next
	g.next++
	g.mu.Unlock()
	for i := range g.to {
		if c, err := net.DialTimeout("tcp", g.to[(first+i)%len(g.to)], 10*time.Second); err == nil {
			return c
		}
	}
	return nil
}
