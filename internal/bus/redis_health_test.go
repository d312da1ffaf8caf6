package bus

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/testing/pgtest"
)

// judged is a bus of two partitions that a test judges by its own clock.
type judged struct {
	*Redis
	t   *testing.T
	now time.Time
	log *bytes.Buffer
}

func newJudged(t *testing.T) *judged {
	t.Helper()
	log := &bytes.Buffer{}
	rdb := redis.NewClient(&redis.Options{})
	t.Cleanup(func() { require.NoError(t, rdb.Close()) })
	j := &judged{Redis: NewRedis(rdb, zerolog.New(log)), t: t, now: time.Now(), log: log}
	j.parts = []*partition{newPartition(j.Redis, "test", 0, true), newPartition(j.Redis, "test", 1, true)}
	j.looked, j.silence = j.now, j.now
	return j
}

// beats says that the heartbeat has come back through partitions.
func (j *judged) beats(partitions ...int) {
	for _, n := range partitions {
		j.parts[n].beatAt.Store(j.now.UnixNano())
	}
}

// pass lets time go by while the bus looks at every tick.
func (j *judged) pass(d time.Duration) {
	for range d / beatEvery {
		j.now = j.now.Add(beatEvery)
		j.judge(j.now)
	}
}

// said requires what the log has said since it was asked last.
func (j *judged) said(lines ...string) {
	j.t.Helper()
	require.Equal(j.t, len(lines), strings.Count(j.log.String(), "\n"), j.log)
	for _, line := range lines {
		require.Contains(j.t, j.log.String(), line)
	}
	j.log.Reset()
}

func TestRedis_judge(t *testing.T) {
	t.Parallel()
	const up, away = `"info","message":"the bus is up"`, `"warn","message":"the bus is unavailable`
	t.Run("away from the start", func(t *testing.T) {
		t.Parallel()
		j := newJudged(t)
		j.pass(SilenceLimit)
		require.False(t, j.Healthy())
		j.said()
		j.pass(time.Minute)
		require.False(t, j.Healthy())
		j.said(away)
		j.beats(0, 1)
		j.judge(j.now)
		require.True(t, j.Healthy())
		j.said(up)
	})
	t.Run("in the middle", func(t *testing.T) {
		t.Parallel()
		j := newJudged(t)
		j.beats(0)
		j.judge(j.now)
		require.False(t, j.Healthy(), "all partitions have to work")
		j.beats(0, 1)
		j.judge(j.now)
		require.True(t, j.Healthy())
		j.said(up)
		for range 10 {
			j.beats(1)
			j.pass(beatEvery)
		}
		require.False(t, j.Healthy(), "one of them is silent")
		j.said(away)
		j.pass(time.Minute)
		j.said()
		j.beats(0, 1)
		j.judge(j.now)
		require.True(t, j.Healthy())
		j.pass(SilenceLimit)
		require.True(t, j.Healthy(), "a pause is not the end")
		j.said(up)
	})
	t.Run("a process that stood still", func(t *testing.T) {
		t.Parallel()
		j := newJudged(t)
		j.beats(0, 1)
		j.judge(j.now)
		j.said(up)
		j.now = j.now.Add(time.Hour)
		j.judge(j.now)
		j.pass(SilenceLimit)
		require.True(t, j.Healthy(), "it could not have heard")
		j.said()
		j.pass(beatEvery)
		require.False(t, j.Healthy(), "now it could")
		j.said(away)
	})
}

// TestRedis_Prompt: long before the bus counts as away, it is no longer relied on.
func TestRedis_Prompt(t *testing.T) {
	t.Parallel()
	j := newJudged(t)
	require.False(t, j.Prompt())
	j.beats(0, 1)
	require.True(t, j.Prompt())
	j.parts[1].beatAt.Add(-int64(beatLate))
	require.False(t, j.Prompt(), "in one partition")
	j.judge(j.now)
	require.True(t, j.Healthy())
	require.LessOrEqual(t, beatLate, 2*time.Second, "chat promises that what is said as Redis stops arrives within three")
}

// stuck is a hook that makes every command to Redis wait for the test.
type stuck struct{ until <-chan struct{} }

func (stuck) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s stuck) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (s stuck) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		<-s.until
		return next(ctx, cmds)
	}
}

// TestRedis_SendingStuck: that a heartbeat cannot even be sent is noticed while it waits.
func TestRedis_SendingStuck(t *testing.T) {
	t.Parallel()
	rdb := singleNode(t, pgtest.Redis(t))
	one, _ := redisOn(t, rdb)
	require.Eventually(t, one.Healthy, time.Minute, 5*time.Millisecond)
	end := make(chan struct{})
	rdb.AddHook(stuck{end})
	defer close(end) // before the bus stops
	require.Eventually(t, func() bool { return !one.Healthy() }, time.Minute, 5*time.Millisecond)
}
