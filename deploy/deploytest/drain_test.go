package deploytest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"housecall/internal/client"
)

// talker is one participant in one conversation, with everything that they were told.
type talker struct {
	api          *client.API
	appointment  string
	conversation *client.Conversation

	mu     sync.Mutex // guards what follows
	events []client.Event
	acked  map[string]int64 // client id -> seq
}

// enter opens a conversation from its first event.
func enter(t testing.TB, api *client.API, appointment string) *talker {
	t.Helper()
	k := &talker{api: api, appointment: appointment, acked: map[string]int64{}}
	k.conversation = client.Open(api, appointment, client.Options{
		Resume: client.Cursor{Set: true},
		Handler: client.Handler{
			Event: func(e client.Event) {
				k.mu.Lock()
				defer k.mu.Unlock()
				k.events = append(k.events, e)
			},
			Ack: func(a client.Ack) {
				k.mu.Lock()
				defer k.mu.Unlock()
				k.acked[a.ClientID] = a.Seq
			},
		},
	})
	t.Cleanup(k.conversation.Close)
	return k
}

// talk sends a message every now and then until quit is closed; it fails if one is refused.
func (k *talker) talk(ctx context.Context, quit <-chan struct{}) error {
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-pace.C:
			if _, err := k.conversation.SendWait(ctx, "How are you?"); err != nil {
				return err
			}
		case <-quit:
			return nil
		}
	}
}

func (k *talker) sent() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.acked)
}

func (k *talker) heard() []client.Event {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]client.Event(nil), k.events...)
}

const conversations = 10 // with two sockets each

// testDrain replaces both instances, one after the other, while 20 sockets chat through the balancer: the first as
// upstream.conf tells operators to, the second without telling the balancer. Nobody notices.
func testDrain(t *testing.T, img *image) {
	t.Helper()
	s := startSite(t, img)
	old := []*instance{s.start(t, freeAddress(t), nil), s.start(t, freeAddress(t), nil)}
	b := startBalancer(t, old[0].address, old[1].address)
	talkers := gather(t, openClinic(t, s, b.url, conversations))

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	quit := make(chan struct{})
	var talking errgroup.Group
	for _, k := range talkers {
		talking.Go(func() error { return k.talk(ctx, quit) })
	}
	progress(t, talkers)
	for n, instance := range old {
		if announced := n == 0; announced {
			b.reload(t, instance.address)
		}
		instance.drain(t)
		waitLive(t, talkers)
		progress(t, talkers)
		s.start(t, instance.address, nil)
		b.reload(t, "") // up again
	}
	close(quit)
	require.NoError(t, talking.Wait())
	for _, k := range talkers {
		require.NoError(t, k.conversation.Drain(ctx))
	}
	for n := range conversations {
		checkRoom(t, talkers[2*n], talkers[2*n+1])
	}
	moved := b.logged(t, len(talkers), isSocket)
	for _, l := range moved {
		require.Equal(t, 101, l.Status, "a dial that failed: %+v", l)
	}
	for _, instance := range old {
		require.True(t, served(moved, instance.address), "both instances had sockets to send away")
	}
}

// gather has patient and doctor enter each conversation, and returns two talkers for each.
func gather(t testing.TB, c *clinic) []*talker {
	t.Helper()
	var all []*talker
	for n, a := range c.appointments {
		all = append(all, enter(t, c.patients[n], a.ID), enter(t, c.doctor, a.ID))
	}
	waitLive(t, all)
	return all
}

func waitLive(t testing.TB, talkers []*talker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, k := range talkers {
		require.NoError(t, k.conversation.WaitLive(ctx))
	}
}

// progress waits until everyone has sent some more messages.
func progress(t testing.TB, talkers []*talker) {
	t.Helper()
	before := make([]int, len(talkers))
	for i, k := range talkers {
		before[i] = k.sent()
	}
	require.Eventually(t, func() bool {
		for i, k := range talkers {
			if k.sent() < before[i]+5 {
				return false
			}
		}
		return true
	}, patience, glance)
}

func isSocket(l logLine) bool { return l.Area == "/ws" }

func served(lines []logLine, address string) bool {
	for _, l := range lines {
		if l.Upstream == address {
			return true
		}
	}
	return false
}

// checkRoom: both saw the same as the log has, without gaps; it has every acknowledged message once.
func checkRoom(t testing.TB, a, b *talker) {
	t.Helper()
	var last int64
	for _, k := range []*talker{a, b} {
		k.mu.Lock()
		for _, seq := range k.acked {
			last = max(last, seq)
		}
		k.mu.Unlock()
	}
	whole := func(k *talker) bool { return int64(len(k.heard())) >= last }
	require.Eventually(t, func() bool { return whole(a) && whole(b) }, patience, glance, "everything is heard")
	require.Equal(t, ids(a.heard()), ids(b.heard()))

	seen := map[string]int64{}
	for n, e := range a.heard() {
		require.EqualValues(t, n+1, e.Seq, "no gap")
		if e.ClientID != "" {
			require.NotContains(t, seen, e.ClientID, "no duplicate")
			seen[e.ClientID] = e.Seq
		}
	}
	texts := 0
	for _, k := range []*talker{a, b} {
		for id, seq := range k.acked {
			require.Equal(t, seq, seen[id], "every acknowledged message is there")
		}
		texts += len(k.acked)
		require.Zero(t, k.conversation.Stats().Holes)
	}
	require.Len(t, seen, texts)
	page, err := a.api.MessagesBefore(t.Context(), a.appointment, 0, 100)
	require.NoError(t, err)
	require.Equal(t, ids(page.Items), ids(a.heard()[len(a.heard())-len(page.Items):]))
}

type eventID struct {
	Seq      int64
	ClientID string
}

func ids(events []client.Event) []eventID {
	var out []eventID
	for _, e := range events {
		out = append(out, eventID{e.Seq, e.ClientID})
	}
	return out
}
