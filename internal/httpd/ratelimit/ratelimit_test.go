package ratelimit_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/devservices"
	"housecall/internal/httpd/ratelimit"
	"housecall/internal/testing/logtest"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func connect(t *testing.T, server *devservices.Redis) redis.UniversalClient {
	t.Helper()
	o, err := redis.ParseURL(server.URL())
	require.NoError(t, err)
	o.DialTimeout, o.ReadTimeout, o.MaxRetries = time.Hour, time.Hour, -1 // only the limiter's own patience counts
	client := redis.NewClient(o)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}

var few = ratelimit.Limit{N: 5, Per: time.Hour}

func allowed(t *testing.T, l ratelimit.Limiter, key string, tries int) (n int) {
	t.Helper()
	for range tries {
		ok, wait := l.Allow(t.Context(), key, few)
		if ok {
			n++
			require.Zero(t, wait)
			continue
		}
		require.Greater(t, wait, time.Minute)
		require.LessOrEqual(t, wait, time.Hour)
	}
	return n
}

func TestLimiter_SharesOneAllowance(t *testing.T) {
	t.Parallel()
	server := pgtest.Redis(t)
	limiters := []ratelimit.Limiter{
		ratelimit.Patient(ratelimit.New(connect(t, server), zerolog.Nop())),
		ratelimit.Patient(ratelimit.New(connect(t, server), zerolog.Nop())),
	}
	var passed atomic.Int64
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if ok, _ := limiters[i%2].Allow(t.Context(), "mail@example.test", few); ok {
				passed.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, few.N, passed.Load())
	keys, err := connect(t, server).Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.NotContains(t, keys[0], "mail")
}

func TestLimiter_CountsLocallyWithoutRedis(t *testing.T) {
	t.Parallel()
	server := pgtest.Redis(t)
	log := &logtest.Buffer{}
	l := ratelimit.Patient(ratelimit.New(connect(t, server), zerolog.New(log)))
	require.Equal(t, few.N, allowed(t, l, "a", 8))

	require.NoError(t, server.Kill())
	require.Equal(t, few.N, allowed(t, l, "a", 50), "an allowance of its own, and no more")
	require.Equal(t, 1, strings.Count(log.String(), "counted locally"))

	require.NoError(t, server.Restart(t.Context()))
	require.Eventually(t, func() bool {
		l.Allow(t.Context(), "b", few)
		return strings.Contains(log.String(), "shared through Redis again")
	}, time.Minute, 20*time.Millisecond)
	require.Equal(t, few.N, allowed(t, l, "c", 8))
	require.Equal(t, 1, strings.Count(log.String(), "counted locally"))
	require.Equal(t, 1, strings.Count(log.String(), "again"))
}

// TestLimiter_DoesNotWaitForASlowRedis: all callers get an answer although Redis never answers.
func TestLimiter_DoesNotWaitForASlowRedis(t *testing.T) {
	t.Parallel()
	server := pgtest.Redis(t)
	l := ratelimit.New(connect(t, server), zerolog.Nop())
	server.Pause()
	defer server.Resume()
	require.Equal(t, few.N, allowed(t, l, "a", 20))
}

func TestLimiter_GiveBack(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]ratelimit.Limiter{
		"shared": ratelimit.Patient(ratelimit.New(connect(t, pgtest.Redis(t)), zerolog.Nop())),
		"local":  ratelimit.New(nil, zerolog.Nop()),
	} {
		var giveBack func(context.Context)
		for range 3 * few.N {
			giveBack, _ = l.Take(t.Context(), "a", few)
			require.NotNil(t, giveBack, name)
			giveBack(t.Context())
		}
		require.GreaterOrEqual(t, allowed(t, l, "a", 8), few.N-1, name)
		giveBack(t.Context())
		require.Equal(t, 1, allowed(t, l, "a", 8), name)
	}
}

// What Redis counted is not given back to an allowance that never had it.
func TestLimiter_GiveBackWhereItWasTaken(t *testing.T) {
	t.Parallel()
	server := pgtest.Redis(t)
	l := ratelimit.Patient(ratelimit.New(connect(t, server), zerolog.Nop()))
	giveBack, _ := l.Take(t.Context(), "a", few)
	require.NotNil(t, giveBack)
	require.NoError(t, server.Kill())
	require.Equal(t, few.N, allowed(t, l, "a", few.N+1))
	giveBack(t.Context())
	require.Zero(t, allowed(t, l, "a", 1))
}

func TestLimiter_LocalOnly(t *testing.T) {
	t.Parallel()
	l := ratelimit.New(nil, zerolog.Nop())
	require.Equal(t, few.N, allowed(t, l, "first", 7))
	for i := range 10_000 {
		l.Allow(t.Context(), fmt.Sprint(i), few)
	}
	require.Equal(t, few.N, allowed(t, l, "first", 7), "forgotten: memory is bounded")
	ok, _ := l.Allow(t.Context(), "none", ratelimit.Limit{})
	require.False(t, ok)
}
