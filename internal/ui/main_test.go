package ui

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/account"
	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/httpd"
	"housecall/internal/httpd/ratelimit"
	"housecall/internal/postgres"
	"housecall/internal/testing/pgtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	flag.Parse()
	pgtest.Main(m)
}

const (
	testPassword = "correct horse battery"
	newPassword  = "an entirely new one"
)

var here = httpd.Client{Address: "192.0.2.1"}

// house is one instance with the pages and real accounts behind them.
type house struct {
	t        *testing.T
	pool     *postgres.Pool
	accounts *account.Service
	mail     *mailbox
	log      *lockedBuffer
	cfg      config.Config
	url      string
	client   *http.Client
}

func newHouse(t *testing.T, change ...func(*config.Config)) *house {
	t.Helper()
	cfg := config.Default()
	cfg.TokenSecrets = []config.Secret{"k3J9vQ2xLz8Rr5TnYw1Bd7Hf4Gm6Ps0C"}
	cfg.RequestTimeout = time.Minute
	cfg.PublicURL = "https://house.example"
	for _, f := range change {
		f(&cfg)
	}
	passwords, err := auth.NewPasswords()
	require.NoError(t, err)
	h := &house{
		t: t, pool: pgtest.New(t), mail: &mailbox{}, log: &lockedBuffer{}, cfg: cfg,
		client: &http.Client{Transport: &http.Transport{}},
	}
	log := zerolog.New(h.log)
	h.accounts, err = account.New(h.pool, auth.NewTokens(cfg.Secrets(), cfg.AccessTTL, time.Now), passwords,
		ratelimit.New(nil, log), cfg, time.Now)
	require.NoError(t, err)
	h.accounts.Connect(account.Ports{Mail: h.mail}) // administrators and invited users have no profiles
	server, err := httpd.New(httpd.Deps{
		Log: log, Registry: prometheus.NewRegistry(), Authenticator: h.accounts,
		Options: httpd.Options{
			BodyLimit: cfg.BodyLimit, RequestTimeout: cfg.RequestTimeout, Origins: cfg.Origins(), CursorSecrets: cfg.Secrets(),
		},
	})
	require.NoError(t, err)
	Routes(server, h.accounts, cfg)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h.url = "http://" + ln.Addr().String()
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	t.Cleanup(func() {
		h.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, server.Shutdown(ctx))
		require.NoError(t, <-done)
	})
	return h
}

type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request; headers come in pairs.
func (h *house) do(method, path, body string, headers ...string) answer {
	req, err := http.NewRequestWithContext(context.Background(), method, h.url+path, strings.NewReader(body))
	require.NoError(h.t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := h.client.Do(req)
	require.NoError(h.t, err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	require.NoError(h.t, err)
	return answer{res.StatusCode, res.Header, string(raw)}
}

func (h *house) get(path string) answer { return h.do("GET", path, "") }

// post sends a form as a browser would; values come in pairs.
func (h *house) post(path string, values ...string) answer {
	form := url.Values{}
	for i := 0; i+1 < len(values); i += 2 {
		form.Set(values[i], values[i+1])
	}
	return h.do("POST", path, form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Origin", "null", "Sec-Fetch-Site", "same-origin")
}

// admin makes a user who can sign in.
func (h *house) admin(email string) account.User {
	h.t.Helper()
	u, err := h.accounts.CreateAdmin(h.t.Context(), "Ann Other", email, testPassword)
	require.NoError(h.t, err)
	return u
}

// forgets has a user get a link that resets his password, and gives its token.
func (h *house) forgets(email string) string {
	h.t.Helper()
	require.NoError(h.t, h.accounts.ForgotPassword(h.t.Context(), email, here))
	return h.mail.last().token
}

// invites makes an invited user and gives the token of his invitation.
func (h *house) invites(email string) (publicID, token string) {
	h.t.Helper()
	require.NoError(h.t, h.pool.InTx(h.t.Context(), func(tx *postgres.Tx) (err error) {
		_, publicID, token, _, err = h.accounts.Invite(h.t.Context(), tx, auth.System, "Doc Invited", email, auth.Doctor)
		return err
	}))
	return publicID, token
}

func (h *house) signsIn(login, password string) error {
	_, err := h.accounts.Login(h.t.Context(), login, password, here)
	return err
}

// golden compares a page with testdata/name.html; secret stands for its token.
func golden(t *testing.T, name, body, secret string) {
	t.Helper()
	if secret != "" {
		body = strings.ReplaceAll(body, secret, "TOKEN")
	}
	file := filepath.Join("testdata", name+".html")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(body), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), body)
}

type letter struct{ kind, address, token string }

// mailbox keeps what was sent.
type mailbox struct {
	mu   sync.Mutex
	sent []letter
}

var _ account.Mail = (*mailbox)(nil)

func (b *mailbox) keep(tx *postgres.Tx, l letter) error {
	tx.AfterCommit(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.sent = append(b.sent, l)
	})
	return nil
}

func (b *mailbox) Invitation(_ context.Context, tx *postgres.Tx, _ int64, token string, _ time.Time) error {
	return b.keep(tx, letter{kind: "invitation", token: token})
}

func (b *mailbox) PasswordReset(_ context.Context, tx *postgres.Tx, _ int64, token string, _ time.Time) error {
	return b.keep(tx, letter{kind: "reset", token: token})
}

func (b *mailbox) VerifyEmail(_ context.Context, tx *postgres.Tx, _ int64, address, token string, _ time.Time) error {
	return b.keep(tx, letter{kind: "verify", address: address, token: token})
}

func (b *mailbox) EmailChanged(_ context.Context, tx *postgres.Tx, _ int64, oldAddress string) error {
	return b.keep(tx, letter{kind: "changed", address: oldAddress})
}

// last is the mail that came last, the zero one if none did.
func (b *mailbox) last() letter {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.sent) == 0 {
		return letter{}
	}
	return b.sent[len(b.sent)-1]
}

func (b *mailbox) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sent)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
