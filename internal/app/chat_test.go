package app

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/client"
	"housecall/internal/config"
)

// Everybody gets the configured clinic notice, over every API.
func TestApp_Notice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, func(c *config.Config) {
		c.ClinicResponseTime, c.ClinicEmergency, c.ClinicNotice = "within one working day", "112", "The clinic is closed on Sundays."
	})
	const notice = "Messages are answered within one working day. In an emergency call 112. The clinic is closed on " +
		"Sundays."
	patient, doctor, appointment := w.pair()
	for _, who := range []*client.API{patient, doctor} {
		conn, err := client.Dial(w.context(), who, appointment, client.Cursor{})
		require.NoError(t, err)
		var hello client.Frame
		require.NoError(t, conn.ReadFrame(&hello))
		require.NoError(t, conn.Close())
		require.Equal(t, notice, hello.Hello.Notice)
	}
	require.Equal(t, notice,
		w.call(0, w.token(patient), "GET", "/api/v1/appointments/"+appointment+"/conversation", "").body["notice"])
}

// The main job of the whole service, only through the API.
func TestApp_MainJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	ctx := w.context()
	admin, anyone := w.person(auth.Admin).at(0), w.anyone(w.url(0))

	invitation, err := admin.InviteDoctor(ctx, client.NewDoctor{
		Name: "Dr Cara Lim", Email: "cara@private.test", Specialization: "Cardiology", Qualification: "MD", Experience: 9,
		Phone: "+44 1632 960000",
	})
	require.NoError(t, err)
	require.NoError(t, anyone.AcceptInvitation(ctx, invitation, password))
	require.Error(t, anyone.AcceptInvitation(ctx, invitation, password), "an invitation works once")
	_, err = anyone.Register(ctx, "Ada Jones", "ada@private.test", password)
	require.NoError(t, err)
	patient, doctor := w.signIn(w.url(0), "ada@private.test"), w.signIn(w.url(1), "cara@private.test")

	found, _, err := patient.Doctors(ctx, "cardio", client.Page{})
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, doctor.User().UserID, found[0].UserID)
	day := time.Now().UTC().AddDate(0, 0, 2) // tomorrow may be too near to cancel
	slots, err := patient.Slots(ctx, found[0].UserID, day, day)
	require.NoError(t, err)
	require.NotEmpty(t, slots)
	asked, err := patient.Book(ctx, found[0].UserID, slots[0].StartsAt, "Palpitations")
	require.NoError(t, err)
	require.Equal(t, "PENDING", asked.Status)
	require.False(t, asked.CanReply)

	// Both are in the conversation before it opens.
	p := join(t, patient, asked.ID, fromStart)
	d := join(t, doctor, asked.ID, fromStart)
	require.False(t, p.canReply)
	_, err = doctor.Confirm(ctx, asked.ID, nil)
	require.NoError(t, err)
	for _, who := range []*peer{p, d} {
		who.until("the confirmation arrives", func() bool { return who.status == "BOOKED" && who.canReply })
	}
	talk(t, p, d)

	_, err = patient.Cancel(ctx, asked.ID, "Feeling better")
	require.NoError(t, err)
	for _, who := range []*peer{p, d} {
		who.until("the cancellation arrives",
			func() bool { return who.status == "CANCELLED" && !who.canReply && who.whyNot == "cancelled" })
	}
	late, err := d.conv.Send("Too late")
	require.NoError(t, err)
	d.until("the message is refused", func() bool { return d.refused[late] == "closed" })
	requireSame(t, w.stored(asked.ID), p, d)
	require.Equal(t, "system", p.seen()[len(p.seen())-1].Kind)
	history, err := doctor.MessagesAfter(ctx, asked.ID, 0, 100)
	require.NoError(t, err)
	require.Len(t, history.Items, p.count())
	requireRESTClosed(t, patient, asked.ID)
	w.generatedClient(doctor.User().UserID)
}

// generatedClient has a client that is generated from /openapi.json speak the main story: a stranger's generator
// understands the description, and the service keeps to it. See testdata/generated.
func (w *world) generatedClient(doctor string) {
	w.t.Helper()
	module := w.t.TempDir()
	require.NoError(w.t, os.CopyFS(module, os.DirFS("testdata/generated")))
	require.NoError(w.t, os.MkdirAll(filepath.Join(module, "api"), 0o700))
	document := w.call(0, "", "GET", "/openapi.json", "")
	require.NoError(w.t, os.WriteFile(filepath.Join(module, "openapi.json"), document.raw, 0o600))
	run := func(name string, args ...string) {
		c := exec.CommandContext(w.t.Context(), name, args...)
		// Without the paths and the revision, what is built once is found in the cache the next time.
		c.Dir, c.Env = module, append(os.Environ(), "GOFLAGS=-trimpath -buildvcs=false", "GOWORK=off")
		out, err := c.CombinedOutput()
		require.NoError(w.t, err, "%s", out)
	}
	run("go", "tool", "oapi-codegen", "-generate", "types,client", "-package", "api", "-o", "api/api.gen.go", "openapi.json")
	run("go", "build", "-o", "story", ".")
	run(filepath.Join(module, "story"), w.url(1), doctor, password)
}

// talk has two participants, live on different instances, do everything that a conversation offers.
func talk(t *testing.T, p, d *peer) {
	t.Helper()
	for i := range 5 {
		p.say(fmt.Sprintf("patient %d: ünïcødé 🩺 \"quoted\"\n\u2028", i))
		d.hears(d.say(fmt.Sprintf("doctor %d", i)))
	}
	last := p.say("the last")
	d.hears(last)
	p.until("the doctor is online", func() bool { return p.online[d.id] == "online" })
	d.until("the patient is online", func() bool { return d.online[p.id] == "online" })
	d.conv.Typing(true)
	p.until("the doctor types", func() bool { return p.typing[d.id] })
	d.conv.Typing(false)
	p.until("the doctor has stopped", func() bool { return !p.typing[d.id] })
	d.conv.Delivered(last)
	p.until("it is delivered", func() bool { return p.receipts[d.id][0] == last })
	d.conv.Read(last)
	p.until("it is read", func() bool { return p.receipts[d.id] == [2]int64{last, last} })
}

func requireRESTClosed(t *testing.T, api *client.API, appointment string) {
	t.Helper()
	_, err := api.SendMessage(t.Context(), appointment, client.NewClientID(), "Too late, too")
	problem, ok := client.AsProblem(err)
	require.True(t, ok)
	require.Equal(t, http.StatusConflict, problem.Status)
	require.Equal(t, "closed", problem.Code)
}

func TestApp_PresenceEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	patient, doctor, appointment := w.pair()
	p, d := join(t, patient, appointment), join(t, doctor, appointment)
	p.until("the doctor is online", func() bool { return p.online[d.id] == "online" })
	d.conv.Close()
	p.until("the doctor is gone", func() bool { return p.online[d.id] == "offline" })
}

// REST and sockets share one log with one set of rules.
func TestApp_SendOverREST(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	patient, doctor, appointment := w.pair()
	d := join(t, doctor, appointment, fromStart)
	id := client.NewClientID()
	first, err := patient.SendMessage(w.context(), appointment, id, "over REST")
	require.NoError(t, err)
	require.False(t, first.Duplicate)
	d.hears(first.Seq)
	again, err := w.signIn(w.url(1), w.emailOf(patient)).SendMessage(w.context(), appointment, id, "over REST")
	require.NoError(t, err)
	require.True(t, again.Duplicate)
	require.Equal(t, first.Seq, again.Seq)
	require.True(t, first.At.Equal(again.At))

	s := w.dial(1, w.token(patient), appointment, "")
	s.write(object{"type": "send", "clientId": id, "text": "over REST"})
	ack := s.next("ack")
	require.Equal(t, first.Seq, ack.Seq)
	require.True(t, ack.Duplicate)
	requireSame(t, w.stored(appointment), d)
}

func (w *world) emailOf(api *client.API) string {
	me, err := api.Me(w.context())
	require.NoError(w.t, err)
	return me.Email
}

func TestApp_Reset(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	patient, doctor, appointment := w.pair()
	p := join(t, patient, appointment, fromStart)
	w.fill(appointment, 520)
	token := w.token(doctor)
	hello := w.dial(1, token, appointment, "").next("hello")
	head := hello.HeadSeq
	require.Greater(t, head, int64(520))

	for name, c := range map[string]struct{ query, reason string }{
		"beyond the head": {fmt.Sprintf("?after=%d", head+100), "history"},
		"another epoch":   {fmt.Sprintf("?after=%d&epoch=another", head), "history"},
		"far behind":      {"?after=1", "gap"},
	} {
		t.Run(name, func(t *testing.T) {
			s := w.dial(1, token, appointment, c.query)
			s.t = t
			s.next("hello")
			var f frame
			require.NoError(t, s.ReadJSON(&f))
			require.Equal(t, "reset", f.Type, "no event comes before")
			require.Equal(t, c.reason, f.Reason)
			require.GreaterOrEqual(t, f.HeadSeq, head)
			require.Equal(t, f.HeadSeq, s.next("live").HeadSeq)
			seq := p.say("after the reset")
			require.Equal(t, seq, s.next("event").Seq, "then events after the head")
		})
	}
	resumed := w.dial(1, token, appointment, fmt.Sprintf("?after=%d&epoch=%s", head, hello.Epoch))
	require.Equal(t, head+1, resumed.next("event").Seq, "a good cursor resumes")

	// The reference client closes the gap over REST and misses nothing.
	d := join(t, doctor, appointment, fromStart)
	require.Positive(t, d.conv.Stats().Resets)
	requireSame(t, w.stored(appointment), d, p)
}

// fill puts messages into a conversation's log as if they had been sent, faster than sending them.
func (w *world) fill(appointment string, n int) {
	w.t.Helper()
	_, err := w.apps[0].pool.Exec(w.context(), `
		with c as (
			update conversations c set head_seq = head_seq + $2 from appointments a
			where a.id = c.id and a.public_id = $1 returning c.id, c.head_seq - $2 as base, a.patient_id
		)
		insert into messages (room_id, seq, at, kind, sender_id, client_id, body)
		select c.id, c.base + g, now(), 'text', c.patient_id, gen_random_uuid(), 'message ' || g
		from c, generate_series(1, $2) g`, appointment, n)
	require.NoError(w.t, err)
}
