package devservices

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// reachableDir makes a temporary folder that an unprivileged user can reach, unlike t.TempDir.
func reachableDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "devservices-test-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func startPostgres(t *testing.T, opts PostgresOptions) *Postgres {
	t.Helper()
	pg, err := StartPostgres(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pg.Stop()) })
	return pg
}

// query runs one statement on a connection of its own and returns its value.
func query(t *testing.T, pg *Postgres, sql string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, pg.DSN("postgres"))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(ctx))) }()
	var value string
	require.NoError(t, conn.QueryRow(ctx, sql).Scan(&value))
	return value
}

func exec1(t *testing.T, pg *Postgres, sql string) {
	t.Helper()
	query(t, pg, "with done as ("+sql+" returning 1) select count(*)::text from done")
}

func makeTable(t *testing.T, pg *Postgres) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pg.DSN("postgres"))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	_, err = conn.Exec(t.Context(), "create table kept (line text)")
	require.NoError(t, err)
}

func TestPostgres_DataSurvives(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachableDir(t), "new", "pg")
	pg := startPostgres(t, PostgresOptions{Dir: dir, Durable: true})
	require.Equal(t, dir, pg.Dir)
	require.Equal(t, "on", query(t, pg, "show fsync"))
	makeTable(t, pg)
	port := pg.Port()

	for _, step := range []struct {
		name string
		end  func() error
	}{
		{"kill", pg.Kill},
		{"stop", pg.Stop},
		{"stop twice", func() error { return fmt.Errorf("%w%w", pg.Stop(), pg.Stop()) }},
		{"running", func() error { return nil }},
	} {
		exec1(t, pg, "insert into kept values ('"+step.name+"')")
		_ = step.end()
		require.NoError(t, pg.Restart(t.Context()), step.name)
		require.Equal(t, port, pg.Port())
		require.Equal(t, "1", query(t, pg, "select count(*)::text from kept where line = '"+step.name+"'"))
	}

	require.NoError(t, pg.Stop())
	again := startPostgres(t, PostgresOptions{Dir: dir, Durable: true})
	require.Equal(t, "4", query(t, again, "select count(*)::text from kept"))
}

func TestPostgres_Temporary(t *testing.T) {
	t.Parallel()
	pg := startPostgres(t, PostgresOptions{Settings: map[string]string{"max_connections": "33"}})
	require.Equal(t, "33", query(t, pg, "show max_connections"))
	require.Equal(t, "off", query(t, pg, "show fsync"))
	require.Equal(t, "straße", query(t, pg, "select lower('STRAßE')"))
	require.Equal(t, "é", query(t, pg, "select lower('É')"), "the locale knows more than ASCII")
	info, err := os.Stat(filepath.Join(pg.Dir, "password"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	require.NoError(t, pg.Stop())
	require.NoDirExists(t, pg.Dir)
	require.ErrorContains(t, pg.Restart(t.Context()), "temporary")
}

func TestPostgres_Kill(t *testing.T) {
	t.Parallel()
	pg := startPostgres(t, PostgresOptions{})
	conn, err := pgx.Connect(t.Context(), pg.DSN("postgres"))
	require.NoError(t, err)
	broken := make(chan error)
	go func() {
		_, err := conn.Exec(t.Context(), "select pg_sleep(60)")
		broken <- err
	}()
	exited := pg.Exited()
	children := childrenOf(pg.proc.cmd.Process.Pid)
	require.NotEmpty(t, children)

	file, err := pg.readPID()
	require.NoError(t, err)
	require.NoError(t, pg.Kill())
	require.NoError(t, pg.Kill(), "a second time changes nothing")
	<-exited
	requireNoSharedMemory(t, file.memory)
	require.Error(t, <-broken)
	for _, pid := range children {
		// The kernel closes a process's files a moment before the process counts as ended.
		require.Eventually(t, func() bool { return commandOf(pid) != "postgres" }, time.Minute, pollEvery)
	}
	require.FileExists(t, filepath.Join(pg.dataDir(), "postmaster.pid"), "a crash leaves it behind")
	require.NoError(t, pg.Restart(t.Context()))
	require.Equal(t, "1", query(t, pg, "select '1'"))
	require.NoError(t, conn.Close(t.Context()))
}

func requireNoSharedMemory(t *testing.T, id string) {
	t.Helper()
	list, err := exec.CommandContext(t.Context(), "ipcs", "-m").Output()
	if err != nil {
		return // some systems have no ipcs, and then no ipcrm either
	}
	require.NotEmpty(t, id)
	require.NotRegexp(t, `(?m)^\S+\s+`+id+`\s`, string(list)) // the second column
}

func TestPostgres_Pause(t *testing.T) {
	t.Parallel()
	pg := startPostgres(t, PostgresOptions{})
	conn, err := pgx.Connect(t.Context(), pg.DSN("postgres"))
	require.NoError(t, err)
	answered := make(chan error, 1)

	pg.Pause()
	go func() {
		_, err := conn.Exec(t.Context(), "select 1")
		answered <- err
	}()
	select {
	case err := <-answered:
		require.Fail(t, "a paused server answered", "%v", err)
	case <-time.After(100 * time.Millisecond):
	}
	pg.Resume()
	require.NoError(t, <-answered)
	require.NoError(t, conn.Close(t.Context()))
	pg.Pause()
	require.NoError(t, pg.Stop(), "a paused server can be stopped")
}

func TestStartPostgres_StalePID(t *testing.T) {
	t.Parallel()
	dir := reachableDir(t)
	pg, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir})
	require.NoError(t, err)
	require.NoError(t, pg.Stop())
	// The id belongs to another process now: to ours.
	stale := fmt.Sprintf("%d\n%s\n", os.Getpid(), pg.dataDir())
	require.NoError(t, os.WriteFile(filepath.Join(pg.dataDir(), "postmaster.pid"), []byte(stale), 0o600))
	startPostgres(t, PostgresOptions{Dir: dir})
}

func TestStartPostgres_FolderInUse(t *testing.T) {
	t.Parallel()
	dir := reachableDir(t)
	pg := startPostgres(t, PostgresOptions{Dir: dir})
	_, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir})
	require.ErrorContains(t, err, "another housecall is already using the data folder "+dir)

	require.NoError(t, pg.place.lock.Close()) // as if another process had started it
	_, err = StartPostgres(t.Context(), PostgresOptions{Dir: dir})
	require.ErrorContains(t, err, "is running in the data folder "+dir)
	require.Equal(t, "1", query(t, pg, "select '1'"), "the server in use goes on")
	pg.place.lock = nil
}

func TestStartPostgres_BrokenFolder(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		damage func(t *testing.T, dir string)
		says   string
	}{
		"PG_VERSION missing": {func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "data", "PG_VERSION")))
		}, "PG_VERSION cannot be read"},
		"PG_VERSION garbage": {func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("x"), 0o600))
		}, "does not hold a version"},
		"other version": {func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("99\n"), 0o600))
		}, "PostgreSQL 99"},
		"password missing": {func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "password")))
		}, "password file"},
		"control file missing": {func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "data", "global", "pg_control")))
		}, "pg_control"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := reachableDir(t)
			pg, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir})
			require.NoError(t, err)
			require.NoError(t, pg.Stop())
			test.damage(t, dir)
			_, err = StartPostgres(t.Context(), PostgresOptions{Dir: dir})
			require.ErrorContains(t, err, test.says)
			require.NotContains(t, err.Error(), "\n", "one sentence")
		})
	}
}

func TestStartPostgres_UnusableFolder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(reachableDir(t), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, dir := range []string{file, filepath.Join(file, "below"), "/proc/housecall"} {
		_, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir})
		require.ErrorContains(t, err, "the data folder "+dir)
		require.NotContains(t, err.Error(), "\n", "one sentence")
	}
}

func TestStartPostgres_BadSetting(t *testing.T) {
	t.Parallel()
	_, err := StartPostgres(t.Context(), PostgresOptions{Settings: map[string]string{"max_connections": "many"}})
	require.ErrorContains(t, err, `invalid value for parameter "max_connections"`)
}

func TestStartPostgres_Cancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := StartPostgres(ctx, PostgresOptions{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestStartPostgres_UnreachableForServer(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root gives its servers to another user")
	}
	closed := reachableDir(t)
	require.NoError(t, os.Chmod(closed, 0o700))
	dir := filepath.Join(closed, "pg")

	pg, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(pg.Dir)) })
	require.True(t, strings.HasPrefix(pg.Dir, fallbackRoot), pg.Dir)
	makeTable(t, pg)
	require.NoError(t, pg.Stop())

	again := startPostgres(t, PostgresOptions{Dir: dir})
	require.Equal(t, pg.Dir, again.Dir)
	require.Equal(t, "0", query(t, again, "select count(*)::text from kept"))
}

func TestProcess_DiesWithParent(t *testing.T) {
	t.Parallel()
	dir := reachableDir(t)
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = append(os.Environ(), parentVariable+"="+dir)
	stdin, err := parent.StdinPipe()
	require.NoError(t, err)
	defer func() { _ = stdin.Close() }()
	stdout, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	var pg, redis int
	_, err = fmt.Fscan(stdout, &pg, &redis)
	require.NoError(t, err)
	require.Equal(t, "postgres", commandOf(pg))

	require.NoError(t, parent.Process.Signal(syscall.SIGKILL))
	_, _ = io.Copy(io.Discard, stdout)
	require.Error(t, parent.Wait())
	require.Eventually(t, func() bool { return commandOf(redis) != "redis-server" }, time.Minute, pollEvery)
	// The next start waits until the last server has ended by itself.
	startPostgres(t, PostgresOptions{Dir: dir + "/pg"})
	require.NotEqual(t, "postgres", commandOf(pg))
}

func TestLogTail_Cause(t *testing.T) {
	t.Parallel()
	for log, want := range map[string]string{
		"": "it logged nothing",
		"2026-11-22 02:12:59.123 UTC [77] FATAL:  data directory \"d\" has wrong ownership\n2026-11-22 02:12:59.123 UTC [77] HINT:  Own it.\n":      `data directory "d" has wrong ownership`,
		"77 FATAL:  could not extend file: No space left on device\n77 PANIC:  cannot abort transaction 1\nchild process exited with exit code 1\n": "could not extend file: No space left on device",
		"initdb: error: invalid locale name\n":                          "invalid locale name",
		"one line\nthe last, unfinished":                                "the last, unfinished",
		"9:C 22 Nov # Warning: Could not create server TCP listening\n": "Could not create server TCP listening",
	} {
		tail := &logTail{}
		for piece := range slices.Chunk([]byte(log), 7) {
			_, err := tail.Write(piece)
			require.NoError(t, err)
		}
		require.Equal(t, want, tail.cause())
	}
}

func TestFreePort(t *testing.T) {
	t.Parallel()
	port, err := freePort()
	require.NoError(t, err)
	require.Less(t, port, 32768)
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	require.NoError(t, err)
	require.NoError(t, listener.Close())
}
