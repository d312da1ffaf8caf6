package ui

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/account"
	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/httpd"
	"housecall/internal/httpd/ratelimit"
	"housecall/internal/postgres"
	"housecall/internal/testing/apitest"
	"housecall/internal/testing/logtest"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

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
	log      *logtest.Buffer
	cfg      config.Config
	site     *apitest.API // called without a prefix
}

func newHouse(t *testing.T, change ...func(*config.Config)) *house {
	t.Helper()
	cfg := config.Default()
	cfg.TokenSecrets = []config.Secret{"k3J9vQ2xLz8Rr5TnYw1Bd7Hf4Gm6Ps0C"}
	cfg.PublicURL = "https://house.example"
	for _, f := range change {
		f(&cfg)
	}
	passwords, err := auth.NewPasswords()
	require.NoError(t, err)
	h := &house{
		t: t, pool: pgtest.New(t), mail: &mailbox{}, log: &logtest.Buffer{}, cfg: cfg,
	}
	log := zerolog.New(h.log)
	h.accounts, err = account.New(account.Deps{
		Pool: h.pool, Tokens: auth.NewTokens(cfg.Secrets(), cfg.AccessTTL, time.Now), Passwords: passwords,
		Limiter: ratelimit.New(nil, log), Now: time.Now, Options: account.Options{
			Secrets: cfg.Secrets(), RefreshTTL: cfg.RefreshTTL, InviteTTL: cfg.InviteTTL, VerifyTTL: cfg.VerifyTTL,
			ResetTTL: cfg.ResetTTL, RequestTimeout: cfg.RequestTimeout, LoginsPerAccount: cfg.LoginsPerAccount,
			LoginsPerAddress: cfg.LoginsPerAddress, RegistersPerAddress: cfg.RegistersPerAddress,
		},
	})
	require.NoError(t, err)
	h.accounts.Connect(account.Ports{Mail: h.mail}) // administrators and invited users have no profiles
	h.site = apitest.Serve(t, apitest.Options{
		Routes: func(s *httpd.Server) {
			Routes(s, Deps{Accounts: h.accounts, Options: Options{Origin: cfg.Origins()[0]}})
		},
		Authenticator: h.accounts, Log: log, PublicURL: cfg.PublicURL,
	}).Under("")
	return h
}

// answer is what the server says.
type answer = apitest.Answer

// do sends a request; headers come in pairs.
func (h *house) do(method, path, body string, headers ...string) answer {
	h.t.Helper()
	return h.site.Ask(method, path, "", strings.NewReader(body), headers...)
}

func (h *house) get(path string) answer { return h.do("GET", path, "") }

// post sends a form as a browser would; values come in pairs.
func (h *house) post(path string, values ...string) answer {
	form := url.Values{}
	for i := 0; i+1 < len(values); i += 2 {
		form.Set(values[i], values[i+1])
	}
	return h.do("POST", path, form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Origin", "null",
		"Sec-Fetch-Site", "same-origin")
}

// admin creates a user who can sign in.
func (h *house) admin(email string) account.User {
	h.t.Helper()
	u, err := h.accounts.CreateAdmin(h.t.Context(), "Ann Other", email, testPassword)
	require.NoError(h.t, err)
	return u
}

// forgets requests a password reset for a user, and returns the token of the link.
func (h *house) forgets(email string) string {
	h.t.Helper()
	require.NoError(h.t, h.accounts.ForgotPassword(h.t.Context(), email, here))
	return h.mail.last().token
}

// invites creates an invited user and returns the token of their invitation.
func (h *house) invites(email string) (publicID, token string) {
	h.t.Helper()
	require.NoError(h.t, h.pool.InTx(h.t.Context(), func(tx *postgres.Tx) (err error) {
		made, link, err := h.accounts.Invite(h.t.Context(), tx, auth.System,
			auth.Newcomer{Name: "Doc Invited", Email: email, Role: auth.Doctor})
		publicID, token = made.PublicID, link.Token
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
	apitest.GoldenFile(t, name+".html", []byte(body))
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

func (b *mailbox) Invitation(_ context.Context, tx *postgres.Tx, _ int64, l auth.Link) error {
	return b.keep(tx, letter{kind: "invitation", token: l.Token})
}

func (b *mailbox) Enrolled(_ context.Context, tx *postgres.Tx, _ int64, l auth.Link) error {
	return b.keep(tx, letter{kind: "enrolled", token: l.Token})
}

func (b *mailbox) PasswordReset(_ context.Context, tx *postgres.Tx, _ int64, l auth.Link) error {
	return b.keep(tx, letter{kind: "reset", token: l.Token})
}

func (b *mailbox) VerifyEmail(_ context.Context, tx *postgres.Tx, _ int64, address string, l auth.Link) error {
	return b.keep(tx, letter{kind: "verify", address: address, token: l.Token})
}

func (b *mailbox) EmailChanged(_ context.Context, tx *postgres.Tx, _ int64, oldAddress string) error {
	return b.keep(tx, letter{kind: "changed", address: oldAddress})
}

// last returns the email that came last, the zero value if none did.
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
