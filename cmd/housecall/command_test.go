package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/config"
	"housecall/internal/postgres"
	"housecall/internal/testing/pgtest"
)

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"", "serve", "dev", "migrate", "migrate up", "migrate status", "admin", "admin create", "admin verify-audit", "mail", "mail test", "chat", "version", "healthcheck",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			root := rootCommand()
			root.SetOut(&out)
			root.SetArgs(append(strings.Fields(args), "--help"))
			require.NoError(t, root.Execute())
			require.Contains(t, out.String(), "Usage:\n  housecall "+args)
		})
	}
	help := program{}.run(t, "", "serve", "--help").stdout
	for _, v := range config.Variables() {
		require.Contains(t, help, v.Name)
		require.Contains(t, help, v.Help)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	r := program{}.run(t, "", "version")
	require.Zero(t, r.code)
	require.Equal(t, version+"\n", r.stdout)
}

func TestUnknown(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"nonsense"}, {"serve", "--nonsense"}, {"serve", "nonsense"}, {"chat"}, {"admin", "create"}, {"dev", "--ports", "1,1"}} {
		r := program{}.run(t, "", args...)
		require.Equal(t, 1, r.code, "%v", args)
		require.Regexp(t, `^housecall: .+\n$`, r.stderr, "%v: one sentence", args)
	}
}

func TestServe_Configuration(t *testing.T) {
	t.Parallel()
	good := program{
		"DATABASE_URL": "postgres://localhost/none", "REDIS_URL": "redis://localhost:1",
		"TOKEN_SECRETS": "kR3pV9wQz7LxT2mN8bYc4HdJ6fGs1AeU",
	}
	for name, c := range map[string]struct {
		env  program
		says []string
		not  string
	}{
		"nothing":     {program{}, []string{"HOUSECALL_DATABASE_URL", "HOUSECALL_REDIS_URL", "HOUSECALL_TOKEN_SECRETS"}, ""},
		"weak secret": {good.with("TOKEN_SECRETS", "short"), []string{"HOUSECALL_TOKEN_SECRETS"}, "short\n"},
		"a default":   {good.with("TOKEN_SECRETS", "change-me-change-me-change-me-change-me"), []string{"HOUSECALL_TOKEN_SECRETS"}, "change-me-change"},
		"not a time":  {good.with("ACCESS_TTL", "soon"), []string{"HOUSECALL_ACCESS_TTL"}, "soon"},
		"several":     {good.with("CLINIC_ZONE", "Mars/Base", "LOG_LEVEL", "loud"), []string{"HOUSECALL_CLINIC_ZONE", "HOUSECALL_LOG_LEVEL"}, "Mars"},
		"bad DSN":     {good.with("DATABASE_URL", "postgres://u:topsecret@:x:y/z"), []string{"HOUSECALL_DATABASE_URL"}, "topsecret"},
		"bad Redis":   {good.with("REDIS_URL", "http://u:topsecret@x"), []string{"HOUSECALL_REDIS_URL"}, "topsecret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := c.env.run(t, "", "serve")
			require.Equal(t, 1, r.code)
			for _, text := range c.says {
				require.Contains(t, r.stderr, text)
			}
			if c.not != "" {
				require.NotContains(t, r.stderr, c.not, "never the value")
			}
			require.NotContains(t, r.stderr, "goroutine")
		})
	}
}

func TestServe_PortInUse(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	r := serving(t).with("ADDR", ln.Addr().String()).run(t, "", "serve")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stderr, ln.Addr().String())
}

func TestServe_Signal(t *testing.T) {
	t.Parallel()
	p := serving(t)
	s := p.serve(t)
	require.Eventually(t, func() bool {
		return program{}.run(t, "", "healthcheck", "--url", s.url()+"/readyz").code == 0
	}, patience, glance)
	require.Zero(t, s.end(syscall.SIGTERM))
	require.Contains(t, s.out.String(), `"stopped"`)
	require.Equal(t, 1, program{}.run(t, "", "healthcheck", "--url", s.url()+"/readyz").code)

	waiting := p.with("DATABASE_URL", "postgres://127.0.0.1:1/none").launch(t, "serve")
	waiting.shows("waiting for PostgreSQL")
	require.NotEqual(t, -1, waiting.end(syscall.SIGINT), "a start that waits can be interrupted")
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	p := program{"DATABASE_URL": emptyDatabase(t)}
	before := p.run(t, "", "migrate", "status")
	require.Zero(t, before.code, before.stderr)
	require.Contains(t, before.stdout, "pending")
	for range 2 {
		up := p.run(t, "", "migrate", "up")
		require.Zero(t, up.code, up.stderr)
	}
	after := p.run(t, "", "migrate", "status")
	require.Zero(t, after.code)
	require.NotContains(t, after.stdout, "pending")
	files, err := filepath.Glob(filepath.Join("..", "..", "migrations", "*.sql"))
	require.NoError(t, err)
	require.Len(t, strings.Split(strings.TrimSpace(after.stdout), "\n"), len(files)+1)

	r := program{}.run(t, "", "migrate", "up")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stderr, "HOUSECALL_DATABASE_URL")

	away := program{"DATABASE_URL": "postgres://u:topsecret@127.0.0.1:1/none"}
	for _, args := range [][]string{{"migrate", "up"}, {"migrate", "status"}} {
		waiting := away.launch(t, args...)
		waiting.shows("waiting: PostgreSQL does not answer")
		require.NotZero(t, waiting.end(syscall.SIGINT), "it can be interrupted")
		require.NotContains(t, waiting.out.String(), "topsecret")
	}
	r = away.run(t, "", "admin", "verify-audit")
	require.Equal(t, 1, r.code)
	require.Regexp(t, `^housecall: PostgreSQL does not answer[^\n]+\n$`, r.stderr)
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	p := serving(t)
	s := p.serve(t)
	byEnv := p.with("PASSWORD", password).run(t, "", "admin", "create", "--email", "One@clinic.test", "--name", "One")
	require.Zero(t, byEnv.code, byEnv.stderr)
	byInput := p.run(t, password+"\n", "admin", "create", "--email", "two@clinic.test", "--name", "Two")
	require.Zero(t, byInput.code, byInput.stderr)
	for _, email := range []string{"one@clinic.test", "two@clinic.test"} {
		require.Equal(t, "ADMIN", signIn(t, s.url(), email).User().Role)
	}
	for name, c := range map[string]struct{ email, input, says string }{
		"taken":         {"one@clinic.test", password, "one@clinic.test"},
		"weak password": {"three@clinic.test", "short", "password"},
		"no password":   {"three@clinic.test", "", "HOUSECALL_PASSWORD"},
		"bad address":   {"three", password, "email"},
	} {
		t.Run(name, func(t *testing.T) {
			r := p.run(t, c.input+"\n", "admin", "create", "--email", c.email, "--name", "Three")
			require.Equal(t, 1, r.code)
			require.NotContains(t, r.stderr, password)
			require.Empty(t, r.stdout)
			if name != "taken" {
				require.Contains(t, r.stderr, c.says)
			}
		})
	}
	audit := p.run(t, "", "admin", "verify-audit")
	require.Zero(t, audit.code, audit.stderr)
}

func TestDev_Process(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "housecall-dev-process-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	first := freePort(t)
	ports := fmt.Sprintf("%d,%d", first, freePort(t))
	// dev ignores the servers that an environment made for serve names, except for its mail server.
	box, mailServer := newPostbox(t)
	foreign := program{
		"SMTP_URL": mailServer + "?tls=none", "MAIL_FROM": "clinic@clinic.test",
		"DATABASE_URL": "postgres://127.0.0.1:1/elsewhere", "MIGRATE_DATABASE_URL": "postgres://127.0.0.1:1/elsewhere",
		"REDIS_URL": "redis://127.0.0.1:1", "REDIS_MODE": "cluster",
	}
	dev := foreign.launch(t, "dev", "--dir", dir, "--ports", ports)
	dev.shows("Press Ctrl-C to stop everything", "patient1@demo.test", "the mail server in HOUSECALL_SMTP_URL")
	forgot, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/api/v1/auth/forgot", first), "application/json",
		strings.NewReader(`{"login":"patient1@demo.test"}`))
	require.NoError(t, err)
	require.NoError(t, forgot.Body.Close())
	require.Equal(t, http.StatusAccepted, forgot.StatusCode)
	box.gets(t, "Subject: Choose a new password")

	busy := program{}.run(t, "", "dev", "--dir", filepath.Join(dir, "other"), "--ports", ports)
	require.Equal(t, 1, busy.code)
	require.Regexp(t, `^housecall: port \d+ cannot be used[^\n]+\n$`, busy.stderr)
	used := program{}.run(t, "", "dev", "--dir", dir, "--ports", fmt.Sprint(freePort(t)))
	require.Equal(t, 1, used.code)
	require.Regexp(t, `^housecall: [^\n]+\n$`, used.stderr, "a folder in use")
	require.Zero(t, dev.end(syscall.SIGINT))

	require.NoError(t, os.WriteFile(filepath.Join(dir, "postgres", "data", "PG_VERSION"), []byte("nonsense"), 0o600))
	broken := program{}.run(t, "", "dev", "--dir", dir, "--ports", ports)
	require.Equal(t, 1, broken.code)
	require.Regexp(t, `^housecall: [^\n]+\n$`, broken.stderr, "a broken data folder")
}

// emptyDatabase makes a database without any migrations.
func emptyDatabase(t *testing.T) string {
	t.Helper()
	dsn := pgtest.DSN(t)
	pool, err := postgres.Open(t.Context(), postgres.Options{DSN: dsn})
	require.NoError(t, err)
	defer pool.Close()
	_, err = pool.Exec(t.Context(), `drop schema public cascade; create schema public`)
	require.NoError(t, err)
	return dsn
}
