package chat

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/devservices"
	"housecall/internal/testing/pgtest"
)

// station is a bus with what it brought.
type station struct {
	*RedisBus
	notices chan notice
	again   chan struct{} // re-subscribed
}

func stationOn(t *testing.T, rdb redis.UniversalClient) *station {
	t.Helper()
	return stationIn(t, "test", rdb)
}

func stationIn(t *testing.T, namespace string, rdb redis.UniversalClient) *station {
	t.Helper()
	s := &station{RedisBus: NewRedisBus(rdb, zerolog.Nop()), notices: make(chan notice, 10_000), again: make(chan struct{}, 10_000)}
	s.Start(namespace, func(n notice) { s.notices <- n }, func(int64, bool) { s.again <- struct{}{} })
	t.Cleanup(func() {
		s.Stop()
		require.NoError(t, rdb.Close())
	})
	return s
}

func singleNode(t *testing.T, server *devservices.Redis) redis.UniversalClient {
	t.Helper()
	opts, err := redis.ParseURL(server.URL())
	require.NoError(t, err)
	opts.DialTimeout = 500 * time.Millisecond
	return redis.NewClient(opts)
}

func within[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		require.FailNow(t, "did not come in time", what)
		panic("unreachable")
	}
}

func (s *station) say(room, head int64) {
	s.Publish(notice{kind: noticeHead, room: room, head: head}, func(int64) {})
}

// carries checks everything that a bus promises while all is well.
func carries(t *testing.T, one, two *station) {
	t.Helper()
	const rooms = 40 // over all partitions
	for room := range int64(rooms) {
		within(t, two.Subscribe(room), "a confirmation")
	}
	for room := range int64(rooms) {
		one.say(room, 100+room)
	}
	got := map[int64]int64{}
	for range rooms {
		n := within(t, two.notices, "a notice")
		require.Equal(t, one.origin, n.origin)
		got[n.room] = n.head
	}
	for room := range int64(rooms) {
		require.Equal(t, 100+room, got[room])
	}
	for _, n := range sampleNotices() {
		if n.toAll() {
			n.room = 0
		} else {
			n.room = 3
		}
		one.Publish(n, func(int64) { t.Error("lost") })
		back := within(t, two.notices, "a notice of each kind")
		n.origin = one.origin
		require.Equal(t, n, back)
	}
	require.Eventually(t, func() bool { return one.Healthy() && two.Healthy() }, time.Minute, 5*time.Millisecond)

	two.Unsubscribe(5)
	within(t, two.Subscribe(6+rooms), "a confirmation") // of another partition; the next one is behind the unsubscription
	within(t, two.Subscribe(5+16*rooms), "a confirmation")
	two.say(6, 1) // one's own notices do not come back
	one.say(5, 1) // nobody listens
	one.say(5+16*rooms, 2)
	n := within(t, two.notices, "the notice behind them")
	require.EqualValues(t, 5+16*rooms, n.room)

	two.Unsubscribe(7) // and at once again
	within(t, two.Subscribe(7), "a confirmation of a room that was left and entered")
	one.say(7, 3)
	require.EqualValues(t, 7, within(t, two.notices, "its notice").room)
}

func TestRedisBus_Single(t *testing.T) {
	t.Parallel()
	server := pgtest.Redis(t)
	carries(t, stationOn(t, singleNode(t, server)), stationOn(t, singleNode(t, server)))
}

// TestRedisBus_Namespaces: two deployments on one Redis have rooms of the same number, and never hear each other.
func TestRedisBus_Namespaces(t *testing.T) {
	t.Parallel()
	server := pgtest.Redis(t)
	ours, others := stationIn(t, "ours", singleNode(t, server)), stationIn(t, "others", singleNode(t, server))
	theirs := stationIn(t, "others", singleNode(t, server))
	within(t, theirs.Subscribe(1), "a confirmation")
	ours.say(1, 666)
	ours.Publish(notice{kind: noticeSessions, ids: []int64{1}}, func(int64) { t.Error("lost") })
	within(t, ours.Subscribe(1), "a confirmation, behind what was said") // Redis has carried it out by now
	others.say(1, 1)
	require.EqualValues(t, 1, within(t, theirs.notices, "its own deployment's notice").head)
}

// TestRedisBus_Cluster runs sharded pub/sub on a cluster of three nodes: a partition that asks the wrong one hears
// nothing.
func TestRedisBus_Cluster(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t)
	client := func() redis.UniversalClient {
		return redis.NewClusterClient(&redis.ClusterOptions{Addrs: nodes})
	}
	one, two := stationOn(t, client()), stationOn(t, client())
	require.Len(t, one.parts, clusterPartitions)
	require.Eventually(t, func() bool { return one.Healthy() && two.Healthy() }, time.Minute, 5*time.Millisecond, "every partition's beat comes back")
	carries(t, one, two)
}

// startCluster runs three Redis nodes that share the slots.
func startCluster(t *testing.T) (nodes []string) {
	t.Helper()
	ctx := context.Background()
	var admins []*redis.Client
	for i := range 3 {
		port, bus := freePort(t), freePort(t)
		startClusterNode(t, port, bus)
		addr := net.JoinHostPort("127.0.0.1", port)
		admin := redis.NewClient(&redis.Options{Addr: addr})
		defer func() { require.NoError(t, admin.Close()) }()
		require.Eventually(t, func() bool { return admin.Ping(ctx).Err() == nil }, time.Minute, 10*time.Millisecond)
		require.NoError(t, admin.ClusterAddSlotsRange(ctx, i*16384/3, (i+1)*16384/3-1).Err())
		if i > 0 {
			require.NoError(t, admins[0].Do(ctx, "cluster", "meet", "127.0.0.1", port, bus).Err())
		}
		nodes, admins = append(nodes, addr), append(admins, admin)
	}
	for _, admin := range admins {
		require.Eventually(t, func() bool {
			info, err := admin.ClusterInfo(ctx).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_size:3")
		}, 30*time.Second, 10*time.Millisecond)
	}
	return nodes
}

func startClusterNode(t *testing.T, port, bus string) {
	t.Helper()
	binary, err := devservices.FindRedis()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), binary, "--port", port, "--cluster-port", bus, "--bind", "127.0.0.1", "--dir", t.TempDir(),
		"--cluster-enabled", "yes", "--save", "", "--appendonly", "no")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, ln.Close()) }()
	addr, ok := ln.Addr().(*net.TCPAddr)
	require.True(t, ok)
	return strconv.Itoa(addr.Port)
}

// TestRedisBus_KilledAndBack: while Redis is away publishing says so and never blocks, and its return is told, so that
// what was missed can be read.
func TestRedisBus_KilledAndBack(t *testing.T) {
	t.Parallel()
	server := pgtest.Redis(t)
	one, two := stationOn(t, singleNode(t, server)), stationOn(t, singleNode(t, server))
	require.Eventually(t, func() bool { return one.Healthy() && two.Healthy() }, time.Minute, 5*time.Millisecond)
	within(t, two.Subscribe(1), "a confirmation")
	one.say(1, 1)
	within(t, two.notices, "a notice")
	for len(two.again) > 0 {
		<-two.again // a confirmation took long
	}

	require.NoError(t, server.Kill())
	lost := make(chan int64, 100_000)
	for range 3 * publishQueue { // more than any queue holds: this ends only because nobody waits for Redis
		one.Publish(notice{kind: noticeHead, room: 1, head: 2}, func(room int64) { lost <- room })
	}
	for range 3 * publishQueue {
		require.EqualValues(t, 1, within(t, lost, "word of a loss"))
	}
	require.Eventually(t, func() bool { return !one.Healthy() && !two.Healthy() }, time.Minute, 20*time.Millisecond)
	later := two.Subscribe(2) // asked for while nobody answers

	require.NoError(t, server.Restart(context.Background()))
	within(t, two.again, "word of the re-subscription")
	within(t, later, "the confirmation of what was asked for meanwhile")
	require.Eventually(t, func() bool { return one.Healthy() && two.Healthy() }, time.Minute, 20*time.Millisecond)
	require.Eventually(t, func() bool { // one notice a second tries whether Redis takes it
		one.say(1, 3)
		return len(two.notices) > 0
	}, time.Minute, 20*time.Millisecond)
	require.EqualValues(t, 3, within(t, two.notices, "a notice again").head)
}

// TestRedisBus_StopWhileAway: stopping needs no Redis.
func TestRedisBus_StopWhileAway(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: net.JoinHostPort("127.0.0.1", freePort(t))})
	s := stationOn(t, rdb)
	confirmed := s.Subscribe(1)
	var work sync.WaitGroup
	for i := range 4 {
		work.Go(func() {
			for range 100 {
				s.Publish(notice{kind: noticeSoft, room: int64(i), soft: &softNote{What: softWho}}, softLoss)
			}
		})
	}
	work.Wait()
	require.False(t, s.Healthy())
	select {
	case <-confirmed:
		require.Fail(t, "nobody can have confirmed")
	default:
	}
}

func TestRedisBus_ForeignNotices(t *testing.T) {
	t.Parallel()
	server := pgtest.Redis(t)
	one := stationOn(t, singleNode(t, server))
	within(t, one.Subscribe(1), "a confirmation")
	other := singleNode(t, server)
	defer func() { require.NoError(t, other.Close()) }()
	channel := one.part(1).roomChannel(1)
	for _, payload := range []string{"?", "\x02H", "\x01E\x00\x00\x00\x00\x00\x00\x00\x00\x02\x04\x00\x7f", fmt.Sprint(noticeVersion)} {
		require.NoError(t, other.Publish(context.Background(), channel, payload).Err())
	}
	good := notice{kind: noticeHead, room: 1, head: 4, origin: 99}
	require.NoError(t, other.Publish(context.Background(), channel, good.marshal()).Err())
	require.Equal(t, good, within(t, one.notices, "the only one that can be read"))
}
