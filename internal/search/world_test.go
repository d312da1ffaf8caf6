package search

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/conversation"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
	"housecall/internal/testing/apitest"
	"housecall/internal/testing/clinic"
	"housecall/internal/testing/clinictest"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// world is a clinic with one doctor and one patient, which any number of instances serve.
type world struct{ *clinictest.World }

func newWorld(t testing.TB) *world {
	t.Helper()
	return &world{clinictest.New(t)}
}

// instance is search as one process runs it, with the conversations that it searches.
type instance struct {
	*world
	svc           *Service
	conversations *conversation.Service
	api           *apitest.API
}

// serve starts an instance on a pool of its own until the test ends. Nobody is limited in how fast they send.
func (w *world) serve() *instance {
	w.T.Helper()
	cfg, pool, log := config.Default(), w.Connect(), conversation.NewLog()
	appointments := clinic.New(clinic.Deps{Pool: pool, Conversations: uncounted{log}, Config: cfg}).Appointments
	in := &instance{world: w}
	in.conversations = conversation.New(conversation.Deps{
		Pool: pool, Log: log, Appointments: appointments,
		Registry: prometheus.NewRegistry(), Logger: zerolog.Nop(), Now: time.Now,
		Options: conversation.Options{
			CommitLanes: 4, FollowUp: time.Hour, Zone: time.UTC, PerSecond: 1_000_000, UserPerSecond: 1_000_000,
		},
	})
	in.svc = New(Deps{Pool: pool, Conversations: in.conversations})
	in.conversations.Start()
	w.T.Cleanup(func() { in.conversations.Stop(context.Background()) })
	in.svc.Start()
	w.T.Cleanup(in.svc.Stop)
	in.api = apitest.Serve(w.T, apitest.Options{
		Routes:        func(s *httpd.Server) { Routes(s, in.svc); conversation.Routes(s, in.conversations) },
		Authenticator: apitest.ByPublicID(pool),
	})
	return in
}

// uncounted is a log whose unread messages nobody counts.
type uncounted struct{ *conversation.Log }

// Unread implements appointment.Conversations.
func (uncounted) Unread(context.Context, postgres.DB, int64, []int64) (map[int64]int64, error) {
	return nil, nil
}

// send submits a draft with a new client id.
func (in *instance) send(d conversation.Draft) (conversation.Ack, error) {
	d.ClientID = uuid.New()
	return in.conversations.Send(context.Background(), d)
}

// must sends a draft and returns its seq.
func (in *instance) must(t testing.TB, d conversation.Draft) int64 {
	t.Helper()
	ack, err := in.send(d)
	require.NoError(t, err)
	return ack.Seq
}

// say sends a text and returns its seq.
func (in *instance) say(t testing.TB, id int64, by auth.Actor, text string) int64 {
	t.Helper()
	return in.must(t, conversation.Draft{Conversation: id, Sender: by, Kind: conversation.KindText, Text: text})
}

// retract takes a message back.
func (in *instance) retract(t testing.TB, id int64, by auth.Actor, seq int64) {
	t.Helper()
	in.must(t, conversation.Draft{Conversation: id, Sender: by, Kind: conversation.KindRetraction, Target: seq})
}

// correct corrects a message.
func (in *instance) correct(t testing.TB, id int64, by auth.Actor, seq int64, text string) {
	t.Helper()
	in.must(t, conversation.Draft{
		Conversation: id, Sender: by, Kind: conversation.KindCorrection, Target: seq, Text: text,
	})
}

// reading is a participant's right to read a conversation.
func (in *instance) reading(t testing.TB, by auth.Actor, id int64) conversation.Reading {
	t.Helper()
	r, err := in.conversations.TakesPart(context.Background(), by, in.PublicID(id))
	require.NoError(t, err)
	return r
}

// get asks for something as a user.
func (in *instance) get(by auth.Actor, path string) apitest.Answer {
	in.T.Helper()
	return in.api.Ask("GET", path, by.UserID, nil)
}

// handOver gives a conversation to another doctor and says so in it, as appointments do.
func (w *world) handOver(t testing.TB, id int64, to auth.Actor) {
	t.Helper()
	require.NoError(t, w.Pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		if _, err := tx.Exec(t.Context(), `update appointments set doctor_id = $2 where id = $1`, id, to.ID); err != nil {
			return err
		}
		return conversation.NewLog().Regroup(t.Context(), tx, id, "Handed over.")
	}))
}

// strangers makes a conversation of two others.
func (w *world) strangers() (id int64) {
	w.T.Helper()
	id = w.Conversation()
	w.Exec(`update appointments set patient_id = $2, doctor_id = $3 where id = $1`,
		id, w.User(auth.Patient).ID, w.User(auth.Doctor).ID)
	return id
}

// nobodyIndexes keeps all indexers away until somebodyIndexes, which also ends the rest between two steps.
func (w *world) nobodyIndexes()   { w.Exec(`update search_sweeps set rest_until = 'infinity'`) }
func (w *world) somebodyIndexes() { w.Exec(`update search_sweeps set rest_until = '-infinity'`) }
