package devservices

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func startRedis(t *testing.T, opts RedisOptions) (*Redis, *redis.Client) {
	t.Helper()
	server, err := StartRedis(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	options, err := redis.ParseURL(server.URL())
	require.NoError(t, err)
	options.MaxRetries = -1
	client := redis.NewClient(options)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return server, client
}

func TestRedis_Restart(t *testing.T) {
	t.Parallel()
	server, client := startRedis(t, RedisOptions{})
	require.NoError(t, client.Set(t.Context(), "k", "v", 0).Err())
	url := server.URL()

	require.NoError(t, server.Kill())
	<-server.Exited()
	require.Error(t, client.Ping(t.Context()).Err())
	require.NoError(t, server.Restart(t.Context()))
	require.Equal(t, url, server.URL())
	require.Eventually(t, func() bool { return client.Ping(t.Context()).Err() == nil }, time.Minute, pollEvery)
	require.ErrorIs(t, client.Get(t.Context(), "k").Err(), redis.Nil, "nothing is kept")

	require.NoError(t, server.Stop())
	require.NoError(t, server.Stop())
	require.NoDirExists(t, server.Dir)
	require.ErrorContains(t, server.Restart(t.Context()), "temporary")
}

func TestRedis_Pause(t *testing.T) {
	t.Parallel()
	server, client := startRedis(t, RedisOptions{})
	require.NoError(t, client.Ping(t.Context()).Err())
	server.Pause()
	require.Error(t, client.WithTimeout(100*time.Millisecond).Ping(t.Context()).Err())
	server.Resume()
	require.Eventually(t, func() bool { return client.Ping(t.Context()).Err() == nil }, time.Minute, pollEvery)
}

func TestRedis_Password(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachableDir(t), "redis")
	server, _ := startRedis(t, RedisOptions{Dir: dir})
	stranger := redis.NewClient(&redis.Options{Addr: server.Addr()})
	t.Cleanup(func() { require.NoError(t, stranger.Close()) })
	require.ErrorContains(t, stranger.Ping(t.Context()).Err(), "NOAUTH")
	info, err := os.Stat(filepath.Join(dir, "redis.conf"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	_, err = StartRedis(t.Context(), RedisOptions{Dir: dir})
	require.ErrorContains(t, err, "already using the data folder")
	require.NoError(t, server.Stop())
	require.NoError(t, server.Restart(t.Context()))
}
