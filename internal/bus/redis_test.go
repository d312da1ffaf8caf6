package bus

import (
	"context"
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

// redisOn returns a started bus over a Redis.
func redisOn(t *testing.T, rdb redis.UniversalClient) (*station, *Redis) {
	t.Helper()
	return redisIn(t, "test", rdb)
}

func redisIn(t *testing.T, namespace string, rdb redis.UniversalClient) (*station, *Redis) {
	t.Helper()
	t.Cleanup(func() { require.NoError(t, rdb.Close()) }) // after the bus has stopped
	b := NewRedis(rdb, zerolog.Nop())
	return listen(t, namespace, b), b
}

func singleNode(t *testing.T, server *devservices.Redis) redis.UniversalClient {
	t.Helper()
	opts, err := redis.ParseURL(server.URL())
	require.NoError(t, err)
	opts.DialTimeout = 500 * time.Millisecond
	return redis.NewClient(opts)
}

func TestRedis_Single(t *testing.T) {
	t.Parallel()
	server := pgtest.Redis(t)
	one, _ := redisOn(t, singleNode(t, server))
	two, _ := redisOn(t, singleNode(t, server))
	carries(t, one, two)
}

// TestRedis_Namespaces: two deployments on one Redis have topics of the same number, and never hear each other.
func TestRedis_Namespaces(t *testing.T) {
	t.Parallel()
	server := pgtest.Redis(t)
	ours, _ := redisIn(t, "ours", singleNode(t, server))
	others, _ := redisIn(t, "others", singleNode(t, server))
	theirs, _ := redisIn(t, "others", singleNode(t, server))
	namespaces(t, ours, others, theirs)
}

// TestRedis_Cluster runs sharded pub/sub on a cluster of three nodes: a partition that asks the wrong one hears
// nothing.
func TestRedis_Cluster(t *testing.T) {
	t.Parallel()
	nodes := addresses(startCluster(t))
	client := func() redis.UniversalClient {
		return redis.NewClusterClient(&redis.ClusterOptions{Addrs: nodes})
	}
	one, first := redisOn(t, client())
	two, _ := redisOn(t, client())
	require.Len(t, first.parts, clusterPartitions)
	require.Eventually(t, func() bool { return one.Healthy() && two.Healthy() }, time.Minute, 5*time.Millisecond,
		"every partition's beat comes back")
	carries(t, one, two)
}

// TestRedis_SlotMoves: while a slot moves to another node, the library's subscription goes deaf without an error, and what
// is published reaches nobody. The bus notices by its own heartbeat, subscribes where the slot is now, and says which
// topics may have missed something.
func TestRedis_SlotMoves(t *testing.T) {
	t.Parallel()
	nodes := addresses(startCluster(t))
	client := func() redis.UniversalClient { return redis.NewClusterClient(&redis.ClusterOptions{Addrs: nodes}) }
	one, first := redisOn(t, client())
	two, _ := redisOn(t, client())
	require.Eventually(t, func() bool { return one.Healthy() && two.Healthy() }, time.Minute, 5*time.Millisecond)
	within(t, two.Subscribe(1), "a confirmation")
	one.say(1, "before")
	within(t, two.messages, "a message")
	for len(two.again) > 0 {
		<-two.again // a confirmation took long
	}

	moveSlot(t, nodes, first.part(1).beatChannel())
	within(t, two.again, "word that something may have been missed")
	require.Eventually(t, func() bool {
		one.say(1, "after")
		return len(two.messages) > 0
	}, time.Minute, 5*time.Millisecond)
	require.Eventually(t, func() bool { return one.Healthy() && two.Healthy() }, time.Minute, 5*time.Millisecond)
	require.LessOrEqual(t, deafAfter+beatEvery, 2*time.Second, "the operating guide promises it")
}

// moveSlot gives the slot of a channel, in which no keys are, to another node.
func moveSlot(t *testing.T, nodes []string, channel string) {
	t.Helper()
	ctx := context.Background()
	var admins []*redis.Client
	var ids []string
	for _, addr := range nodes {
		admin := redis.NewClient(&redis.Options{Addr: addr})
		defer func() { require.NoError(t, admin.Close()) }()
		id, err := admin.Do(ctx, "cluster", "myid").Text()
		require.NoError(t, err)
		admins, ids = append(admins, admin), append(ids, id)
	}
	slot, owner := ownerOf(t, admins[0], channel)
	next := (owner + 1) % len(nodes)
	for _, admin := range []*redis.Client{admins[next], admins[owner], admins[(owner+2)%len(nodes)]} {
		require.NoError(t, admin.Do(ctx, "cluster", "setslot", slot, "node", ids[next]).Err())
	}
}

// ownerOf returns the slot of a channel, and the number of the node that startCluster gave it to.
func ownerOf(t *testing.T, admin *redis.Client, channel string) (slot, owner int) {
	t.Helper()
	slot = int(admin.ClusterKeySlot(context.Background(), channel).Val())
	if owner = min(slot*3/16384, 2); slot < owner*16384/3 {
		owner--
	}
	return slot, owner
}

// TestRedis_NodeDies: while a node of a cluster is away, what is published to its slots is lost, and said to be; the
// subscriptions are made again when it is back, and their topics may have missed something. Meanwhile all others are
// carried.
func TestRedis_NodeDies(t *testing.T) {
	t.Parallel()
	cluster := startCluster(t)
	client := func() redis.UniversalClient {
		return redis.NewClusterClient(&redis.ClusterOptions{Addrs: addresses(cluster)})
	}
	one, first := redisOn(t, client())
	two, _ := redisOn(t, client())
	healthy := func() bool { return one.Healthy() && two.Healthy() }
	require.Eventually(t, healthy, time.Minute, 5*time.Millisecond)
	admin := redis.NewClient(&redis.Options{Addr: cluster[0].addr()})
	defer func() { require.NoError(t, admin.Close()) }()
	_, owner := ownerOf(t, admin, first.part(1).beatChannel())
	elsewhere := Topic(2)
	for _, other := ownerOf(t, admin, first.part(elsewhere).beatChannel()); other == owner; elsewhere++ {
		_, other = ownerOf(t, admin, first.part(elsewhere+1).beatChannel())
	}
	for _, topic := range []Topic{1, elsewhere} {
		within(t, two.Subscribe(topic), "a confirmation")
		one.say(topic, "before")
		within(t, two.messages, "a message")
	}
	for len(two.again) > 0 {
		<-two.again // a confirmation took long
	}

	cluster[owner].kill()
	require.Eventually(t, func() bool { return !one.Healthy() && !two.Healthy() }, time.Minute, 5*time.Millisecond)
	require.Eventually(t, func() bool { // the node is not the only one that the bus publishes to
		one.say(elsewhere, "meanwhile")
		return len(two.messages) > 0
	}, time.Minute, 20*time.Millisecond)
	lost := make(chan Topic, 100)
	one.Publish(1, 'x', raw("to nobody"), func(topic Topic) { lost <- topic })
	require.EqualValues(t, 1, within(t, lost, "word of a loss"))
	for len(two.again) > 0 {
		<-two.again
	}

	cluster[owner].start(t)
	within(t, two.again, "word that something may have been missed")
	require.Eventually(t, healthy, time.Minute, 5*time.Millisecond)
	for len(two.messages) > 0 {
		<-two.messages
	}
	require.Eventually(t, func() bool {
		one.say(1, "after")
		return len(two.messages) > 0
	}, time.Minute, 20*time.Millisecond)
	require.EqualValues(t, 1, within(t, two.messages, "a message again").Topic)
}

// clusterNode is a Redis that is part of a cluster. It keeps its port and what it knows of the others.
type clusterNode struct {
	port, bus, dir string
	cmd            *exec.Cmd
}

func (n *clusterNode) addr() string { return net.JoinHostPort("127.0.0.1", n.port) }

func (n *clusterNode) start(t *testing.T) {
	t.Helper()
	binary, err := devservices.FindRedis()
	require.NoError(t, err)
	n.cmd = exec.CommandContext(t.Context(), binary, "--port", n.port, "--cluster-port", n.bus, "--bind", "127.0.0.1",
		"--dir", n.dir, "--cluster-enabled", "yes", "--cluster-require-full-coverage", "no",
		"--save", "", "--appendonly", "no")
	require.NoError(t, n.cmd.Start())
}

func (n *clusterNode) kill() {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait() // it was killed
}

func addresses(cluster []*clusterNode) (out []string) {
	for _, n := range cluster {
		out = append(out, n.addr())
	}
	return out
}

// startCluster runs three Redis nodes that share the slots.
func startCluster(t *testing.T) (cluster []*clusterNode) {
	t.Helper()
	ctx := context.Background()
	var admins []*redis.Client
	for i := range 3 {
		n := &clusterNode{port: freePort(t), bus: freePort(t), dir: t.TempDir()}
		n.start(t)
		t.Cleanup(n.kill)
		admin := redis.NewClient(&redis.Options{Addr: n.addr()})
		defer func() { require.NoError(t, admin.Close()) }()
		require.Eventually(t, func() bool { return admin.Ping(ctx).Err() == nil }, time.Minute, 10*time.Millisecond)
		require.NoError(t, admin.ClusterAddSlotsRange(ctx, i*16384/3, (i+1)*16384/3-1).Err())
		if i > 0 {
			require.NoError(t, admins[0].Do(ctx, "cluster", "meet", "127.0.0.1", n.port, n.bus).Err())
		}
		cluster, admins = append(cluster, n), append(admins, admin)
	}
	for _, admin := range admins {
		require.Eventually(t, func() bool {
			info, err := admin.ClusterInfo(ctx).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_size:3")
		}, 30*time.Second, 10*time.Millisecond)
	}
	return cluster
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

// TestRedis_KilledAndBack: while Redis is away publishing fails without blocking, and its return is reported, so that
// what was missed can be read.
func TestRedis_KilledAndBack(t *testing.T) {
	t.Parallel()
	server := pgtest.Redis(t)
	one, _ := redisOn(t, singleNode(t, server))
	two, _ := redisOn(t, singleNode(t, server))
	require.Eventually(t, func() bool { return one.Healthy() && two.Healthy() }, time.Minute, 5*time.Millisecond)
	within(t, two.Subscribe(1), "a confirmation")
	one.say(1, "1")
	within(t, two.messages, "a message")
	for len(two.again) > 0 {
		<-two.again // a confirmation took long
	}

	require.NoError(t, server.Kill())
	lost := make(chan Topic, 100_000)
	for range 3 * publishQueue { // more than any queue holds: this ends only because nobody waits for Redis
		one.Publish(1, 'x', raw("2"), func(topic Topic) { lost <- topic })
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
	require.Eventually(t, func() bool { // one message a second tries whether Redis takes it
		one.say(1, "3")
		return len(two.messages) > 0
	}, time.Minute, 20*time.Millisecond)
	require.Equal(t, "3", string(within(t, two.messages, "a message again").Payload))
}

// TestRedis_StopWhileAway: stopping needs no Redis.
func TestRedis_StopWhileAway(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: net.JoinHostPort("127.0.0.1", freePort(t))})
	s, _ := redisOn(t, rdb)
	confirmed := s.Subscribe(1)
	var work sync.WaitGroup
	for i := range 4 {
		work.Go(func() {
			for range 100 {
				s.Publish(Topic(i), 'x', raw("x"), func(Topic) {})
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

// TestRedis_Foreign: what another release says is passed over.
func TestRedis_Foreign(t *testing.T) {
	t.Parallel()
	server := pgtest.Redis(t)
	one, b := redisOn(t, singleNode(t, server))
	within(t, one.Subscribe(1), "a confirmation")
	other := singleNode(t, server)
	defer func() { require.NoError(t, other.Close()) }()
	channel := b.part(1).channel(1)
	for _, payload := range []string{"?", "\x02E\x00\x00\x00\x00\x00\x00\x00\x00\x02\x04\x00\x7f", string(rune(version))} {
		require.NoError(t, other.Publish(context.Background(), channel, payload).Err())
	}
	good := Message{Topic: 1, Origin: 99, Payload: []byte("good")}
	require.NoError(t, other.Publish(context.Background(), channel, marshal(good.Topic, good.Origin, good.Kind, raw(good.Payload))).Err())
	require.Equal(t, good, within(t, one.messages, "the only one that can be read"))
}
