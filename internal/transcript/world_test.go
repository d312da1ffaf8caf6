package transcript

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
	"housecall/internal/zone"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// world is a clinic with one doctor and one patient, served by one instance: transcripts and the conversations that
// they are of.
type world struct {
	*clinictest.World
	zones         zones
	svc           *Service
	conversations *conversation.Service
	api           *apitest.API
}

// zones are what users have chosen, by their ids.
type zones map[int64]string

func (z zones) Zone(_ context.Context, user int64) (*time.Location, error) {
	if z[user] == "" {
		return nil, nil
	}
	return zone.Load(z[user])
}

// uncounted is a log whose unread messages nobody counts.
type uncounted struct{ *conversation.Log }

// Unread implements appointment.Conversations.
func (uncounted) Unread(context.Context, postgres.DB, int64, []int64) (map[int64]int64, error) {
	return nil, nil
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{World: clinictest.New(t), zones: zones{}}
	cfg, log := config.Default(), conversation.NewLog()
	appointments := clinic.New(clinic.Deps{Pool: w.Pool, Conversations: uncounted{log}, Config: cfg}).Appointments
	w.conversations = conversation.New(conversation.Deps{
		Pool: w.Pool, Log: log, Appointments: appointments,
		Registry: prometheus.NewRegistry(), Logger: zerolog.Nop(), Now: time.Now,
		Options: conversation.Options{
			CommitLanes: 4, FollowUp: time.Hour, Zone: time.UTC, PerSecond: 1000, UserPerSecond: 1000,
		},
	})
	w.conversations.Start()
	t.Cleanup(func() { w.conversations.Stop(context.Background()) })
	w.svc = New(Deps{
		Fonts: fonts(t),
		Pool:  w.Pool, Conversations: w.conversations, Zones: w.zones, Now: time.Now, Options: Options{Zone: time.UTC},
	})
	t.Cleanup(w.svc.Stop)
	w.api = apitest.Serve(t, apitest.Options{
		Routes:        func(s *httpd.Server) { Routes(s, w.svc) },
		Authenticator: apitest.ByPublicID(w.Pool),
	})
	return w
}

// send submits a draft with a new client id and returns its seq.
func (w *world) send(d conversation.Draft) int64 {
	w.T.Helper()
	d.ClientID = uuid.New()
	ack, err := w.conversations.Send(context.Background(), d)
	require.NoError(w.T, err)
	return ack.Seq
}

// say sends a text and returns its seq.
func (w *world) say(id int64, by auth.Actor, text string) int64 {
	w.T.Helper()
	return w.send(conversation.Draft{Conversation: id, Sender: by, Kind: conversation.KindText, Text: text})
}

// retract takes a message back.
func (w *world) retract(id int64, by auth.Actor, seq int64) {
	w.T.Helper()
	w.send(conversation.Draft{Conversation: id, Sender: by, Kind: conversation.KindRetraction, Target: seq})
}

// correct corrects a message.
func (w *world) correct(id int64, by auth.Actor, seq int64, text string) {
	w.T.Helper()
	w.send(conversation.Draft{Conversation: id, Sender: by, Kind: conversation.KindCorrection, Target: seq, Text: text})
}

// fill writes n short texts into an empty conversation.
func (w *world) fill(id int64, n int) {
	w.T.Helper()
	w.Exec(`insert into messages (room_id, seq, at, kind, sender_id, client_id, body)
		select $1, g, now(), 'text', $2, gen_random_uuid(), g::text from generate_series(1, $3::int) g`,
		id, w.Patient.ID, n)
	w.Exec(`update conversations set head_seq = $2 where id = $1`, id, n)
}

// strangers makes a conversation of two others.
func (w *world) strangers() (id int64) {
	w.T.Helper()
	id = w.Conversation()
	w.Exec(`update appointments set patient_id = $2, doctor_id = $3 where id = $1`,
		id, w.User(auth.Patient).ID, w.User(auth.Doctor).ID)
	return id
}

// reading is the right of the world's patient to read a conversation.
func (w *world) reading(id int64) conversation.Reading {
	w.T.Helper()
	r, err := w.conversations.TakesPart(context.Background(), w.Patient, w.PublicID(id))
	require.NoError(w.T, err)
	return r
}

// open begins a transcript.
func (w *world) open(by auth.Actor, r conversation.Reading, want Request) Transcript {
	w.T.Helper()
	file, err := w.svc.Open(context.Background(), by, r, want)
	require.NoError(w.T, err)
	return file
}

// path is where a conversation's transcript is.
func (w *world) path(id int64) string { return "/appointments/" + w.PublicID(id) + "/transcript" }

// get asks for something as a user.
func (w *world) get(by auth.Actor, path string) apitest.Answer {
	w.T.Helper()
	return w.api.Ask("GET", path, by.UserID, nil)
}
