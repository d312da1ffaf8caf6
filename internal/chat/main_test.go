package chat

import (
	"context"
	"encoding/json"
	"net"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/bus"
	"housecall/internal/conversation"
	"housecall/internal/devservices"
	"housecall/internal/testing/clinictest"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// followUp is how long conversations stay open after completion in these tests.
const followUp = time.Hour

// world is a clinic, and how its instances are run.
type world struct {
	*clinictest.World
	now     func() time.Time                // of instances
	through func(net.Listener) net.Listener // nil: instances serve what comes directly
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return &world{World: clinictest.New(t), now: time.Now}
}

// events reads a whole log.
func (w *world) events(id int64) []conversation.Event {
	w.T.Helper()
	all, err := conversation.New(conversation.Deps{
		Pool: w.Pool, Log: conversation.NewLog(), Registry: prometheus.NewRegistry(), Now: w.now,
	}).Backlog(context.Background(), id, 0, 1_000_000)
	require.NoError(w.T, err)
	return all
}

// text sends a text as REST does and returns its seq.
func (in *instance) text(t testing.TB, id int64, a auth.Actor, text string) int64 {
	t.Helper()
	ack, err := in.conversations.Send(context.Background(), draft(id, a, text))
	require.NoError(t, err)
	return ack.Seq
}

func draft(id int64, sender auth.Actor, text string) conversation.Draft {
	return conversation.Draft{
		Conversation: id, Sender: sender, ClientID: uuid.New(), Kind: conversation.KindText, Text: text,
	}
}

// payload removes a frame's header.
func payload(t testing.TB, w wire) []byte {
	t.Helper()
	require.GreaterOrEqual(t, len(w), 2)
	if w[1] < 126 {
		require.Len(t, w, 2+int(w[1]))
		return w[2:]
	}
	require.EqualValues(t, 126, w[1])
	require.Len(t, w, 4+int(w[2])<<8+int(w[3]))
	return w[4:]
}

// fields reads a frame's JSON.
func fields(t testing.TB, body []byte) map[string]any {
	t.Helper()
	var out map[string]any
	require.NoError(t, json.Unmarshal(body, &out))
	return out
}

// within returns what arrives on a channel, and fails if nothing does in time.
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

// fill makes a log of n texts.
func (w *world) fill(id int64, n int) {
	w.T.Helper()
	w.Exec(`insert into messages (room_id, seq, at, kind, sender_id, client_id, body)
		select $1, g, now(), 'text', $2, gen_random_uuid(), g::text from generate_series(1, $3::int) g`, id, w.Patient.ID, n)
	w.Exec(`update conversations set head_seq = $2 where id = $1`, id, n)
}

// cancel cancels an appointment as another process would.
func (w *world) cancel(id int64) {
	w.T.Helper()
	w.move(w.T, nil, id, `status = 'CANCELLED'`)
}

// reached writes how far somebody has got.
func (w *world) reached(id, user, delivered, read int64) []moved {
	w.T.Helper()
	changed, err := writeReceipts(context.Background(), w.Pool, map[receiptKey]report{
		{id, user}: {Cursors: conversation.Cursors{Delivered: delivered, Read: read}},
	})
	require.NoError(w.T, err)
	return changed
}

// reading is the right of a participant.
func (in *instance) reading(a auth.Actor, id int64) conversation.Reading {
	in.T.Helper()
	r, err := in.conversations.TakesPart(context.Background(), a, in.PublicID(id))
	require.NoError(in.T, err)
	return r
}

// requireGapless checks what must hold of every log: seq from 1 to the head, times that rise, each clientId once.
func (in *instance) requireGapless(id int64) {
	in.T.Helper()
	seen := map[string]bool{}
	events := in.events(id)
	for i, e := range events {
		require.EqualValues(in.T, i+1, e.Seq)
		require.False(in.T, i > 0 && e.At.Before(events[i-1].At), "times rise with seq")
		if e.ClientID != uuid.Nil {
			key := e.Sender + e.ClientID.String()
			require.False(in.T, seen[key], "a clientId is one message")
			seen[key] = true
		}
	}
	require.EqualValues(in.T, len(events), in.Number(`select head_seq from conversations where id = $1`, id))
}

// redisBus is a bus over a server, which the test may stop.
func redisBus(t *testing.T, server *devservices.Redis) *bus.Redis {
	t.Helper()
	options, err := redis.ParseURL(server.URL())
	require.NoError(t, err)
	options.DialTimeout = 500 * time.Millisecond
	rdb := redis.NewClient(options)
	t.Cleanup(func() { _ = rdb.Close() })
	return bus.NewRedis(rdb, zerolog.Nop())
}

// refusals counts the refused messages of a reason.
func (in *instance) refusals(reason string) float64 {
	in.T.Helper()
	families, err := in.registry.Gather()
	require.NoError(in.T, err)
	for _, f := range families {
		if f.GetName() != "chat_messages_refused_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == reason {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}
