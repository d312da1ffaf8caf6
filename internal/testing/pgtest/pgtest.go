// Package pgtest gives tests a real PostgreSQL, a real Redis and a real S3 store.
//
// A package whose tests use it needs this TestMain:
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
// One private PostgreSQL per test process starts when the first test asks for a database. Each test gets its own
// database, cloned from one that was migrated once, so that tests can run in parallel and commit.
package pgtest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"housecall/internal/auth"
	"housecall/internal/devservices"
	"housecall/internal/postgres"
)

// template is the migrated database from which the others are cloned.
const template = "housecall_template"

// settings of the shared server, in addition to those of a server that need not be durable.
var settings = map[string]string{
	"max_connections": "300",
	// A worker that uses the template would prevent cloning.
	"autovacuum": "off",
	// The data may be in memory: keep its log from growing to the usual 1 GB.
	"max_wal_size": "256MB",
}

// housekeeping are goroutines that are not leaks: fasthttp's clock runs as long as the process; the goroutine that
// manages a server's workers notices its end seconds later, and so does the one that asks whether Redis is back.
var housekeeping = []goleak.Option{
	goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
	goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"),
}

// shared is the server of this test process.
var shared cluster

// atOnce is the minimum number of tests that run in parallel, unless -parallel says otherwise: most of them wait for
// something, so Go's default, one for each core, leaves small machines idle.
const atOnce = 6

// Main runs the tests of a package, stops what they started, fails if a goroutine is left, and exits the process. It
// tolerates goroutines in the functions named by tolerated: libraries leak them. Passwords are hashed
// cheaply meanwhile.
func Main(m *testing.M, tolerated ...string) {
	if err := flag.Set("test.parallel",
		strconv.Itoa(max(atOnce, runtime.GOMAXPROCS(0)))); err != nil { // m.Run reads the command line after it
		panic(err)
	}
	quietRedis()
	auth.CheapForTests()
	code := m.Run()
	if err := errors.Join(endAll(), shared.stop()); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		code = max(code, 1)
	}
	if code == 0 {
		ignored := slices.Clone(housekeeping)
		for _, function := range tolerated {
			ignored = append(ignored, goleak.IgnoreAnyFunction(function))
		}
		if err := goleak.Find(ignored...); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest: goroutines are left after the tests:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// ends are the functions of AtEnd.
var ends struct {
	sync.Mutex
	all []func() error
}

// AtEnd has Main call a function when all tests have ended, for what they share.
func AtEnd(end func() error) {
	ends.Lock()
	defer ends.Unlock()
	ends.all = append(ends.all, end)
}

func endAll() (err error) {
	ends.Lock()
	defer ends.Unlock()
	for _, end := range slices.Backward(ends.all) {
		err = errors.Join(err, end())
	}
	return err
}

// New returns a pool on a migrated, empty database of the test's own. Both are removed when the test ends.
func New(t testing.TB) *postgres.Pool {
	t.Helper()
	pool, err := postgres.Open(context.Background(), postgres.Options{DSN: DSN(t)})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// DSN returns the address of a migrated, empty database of the test's own, which is dropped when the test ends.
func DSN(t testing.TB) string {
	t.Helper()
	dsn, drop, err := shared.clone(context.Background())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, drop()) })
	return dsn
}

// Server returns the PostgreSQL that New and DSN use. It is shared: a test that stops or pauses a server must use Own.
func Server(t testing.TB) *devservices.Postgres {
	t.Helper()
	server, err := shared.start(context.Background())
	require.NoError(t, err)
	return server
}

// Own starts a PostgreSQL only for this test, which may kill, restart or pause it, and returns it with the address of
// a migrated, empty database.
func Own(t testing.TB) (server *devservices.Postgres, dsn string) {
	t.Helper()
	own := &cluster{}
	t.Cleanup(func() { require.NoError(t, own.stop()) })
	server, err := own.start(context.Background())
	require.NoError(t, err)
	return server, patiently(server.DSN(template))
}

// Redis starts a Redis only for this test; it stops when the test ends.
func Redis(t testing.TB) *devservices.Redis {
	t.Helper()
	server, err := devservices.StartRedis(context.Background(), devservices.RedisOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	return server
}

// S3 starts an S3-compatible store only for this test; it stops when the test ends.
func S3(t testing.TB) *devservices.S3 {
	t.Helper()
	server, err := devservices.StartS3(context.Background(), devservices.S3Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	return server
}

// cluster is a PostgreSQL with a migrated template. The zero value starts one at the first use.
type cluster struct {
	mu      sync.Mutex // guards all below; held while cloning, as admin is one connection
	started bool
	err     error // of the only attempt to start
	server  *devservices.Postgres
	admin   *pgx.Conn
	clones  int
}

func (c *cluster) start(ctx context.Context) (*devservices.Postgres, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.server, c.startLocked(ctx)
}

func (c *cluster) startLocked(ctx context.Context) error {
	if c.started {
		return c.err
	}
	c.started = true
	c.err = func() (err error) {
		if c.server, err = devservices.StartPostgres(ctx, devservices.PostgresOptions{Settings: settings}); err != nil {
			return err
		}
		if c.admin, err = pgx.Connect(ctx, c.server.DSN("postgres")); err != nil {
			return err
		}
		if _, err = c.admin.Exec(ctx, "create database "+template); err != nil {
			return fmt.Errorf("create the template: %w", err)
		}
		return postgres.Migrate(ctx, c.server.DSN(template))
	}()
	return c.err
}

// clone makes a database and returns its address and a function that drops it.
func (c *cluster) clone(ctx context.Context) (dsn string, drop func() error, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.startLocked(ctx); err != nil {
		return "", nil, err
	}
	c.clones++
	name := fmt.Sprintf("test_%d", c.clones)
	if _, err := c.admin.Exec(ctx, "create database "+name+" template "+template+" strategy file_copy"); err != nil {
		return "", nil, fmt.Errorf("clone the template: %w", err)
	}
	return patiently(c.server.DSN(name)), func() error { return c.drop(ctx, name) }, nil
}

// patiently returns a DSN with a longer timeout for connecting than an instance has, for busy machines.
func patiently(dsn string) string { return dsn + "&connect_timeout=60" }

// drop removes a database and cuts connections to it.
func (c *cluster) drop(ctx context.Context, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.admin.Exec(ctx, "drop database "+name+" with (force)"); err != nil {
		return fmt.Errorf("drop %s: %w", name, err)
	}
	return nil
}

// stop ends the server, if there is one.
func (c *cluster) stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	if c.admin != nil {
		// A test of Own may have killed the server: then closing fails.
		_ = c.admin.Close(context.Background())
	}
	if c.server != nil {
		errs = append(errs, c.server.Stop())
	}
	return errors.Join(errs...)
}
