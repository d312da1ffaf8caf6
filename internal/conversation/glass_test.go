package conversation

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/errs"
)

// glassWorld is a conversation and an administrator who takes no part in it, on instances whose clock the test sets.
type glassWorld struct {
	*world
	clock        atomic.Int64 // nanoseconds to add to the real time
	instances    []*instance
	admin        auth.Actor
	conversation int64
	id           string
}

func newGlassWorld(t *testing.T, instances int) *glassWorld {
	t.Helper()
	g := &glassWorld{world: newWorld(t)}
	g.now = func() time.Time { return time.Now().Add(time.Duration(g.clock.Load())) }
	g.admin = g.SignIn(g.User(auth.Admin))
	for range instances {
		g.instances = append(g.instances, g.serve())
	}
	g.conversation = g.Conversation()
	g.id = g.PublicID(g.conversation)
	return g
}

// breaks gives an administrator break-glass access to the world's conversation for five minutes.
func (g *glassWorld) breaks(a auth.Actor) Glass {
	g.T.Helper()
	glass, err := g.instances[0].svc.BreakGlass(context.Background(), a, GlassRequest{
		Appointment: g.id, Reason: "A complaint of the patient.", Lasts: MinGlass,
	})
	require.NoError(g.T, err)
	return glass
}

// TestGlass_rights: who can read and write before, during and after break-glass access.
func TestGlass_rights(t *testing.T) {
	t.Parallel()
	g := newGlassWorld(t, 1)
	in := g.instances[0]
	stranger, other := g.SignIn(g.User(auth.Doctor)), g.SignIn(g.User(auth.Admin))
	_, err := in.svc.Send(t.Context(), draft(g.conversation, g.Patient, "It hurts."))
	require.NoError(t, err)
	one := "/appointments/" + g.id
	send := `{"clientId":"6f1a0c52-7c39-4a70-9a3e-0d2f5c1b8e11","text":"x"}`
	check := func(when string, a auth.Actor, read, write, versions int) {
		t.Helper()
		require.Equal(t, read, in.ask(a, http.MethodGet, one+"/messages", "").Status, when)
		require.Equal(t, read, in.ask(a, http.MethodGet, one+"/conversation", "").Status, when)
		require.Equal(t, write, in.ask(a, http.MethodPost, one+"/messages", send).Status, when)
		require.Equal(t, versions, in.ask(a, http.MethodGet, one+"/messages/1/versions", "").Status, when)
	}
	all := func(when string, admin int) {
		t.Helper()
		check(when+", patient", g.Patient, 200, 201, 404)
		check(when+", doctor", g.Doctor, 200, 201, 404)
		check(when+", stranger", stranger, 404, 404, 404)
		check(when+", another administrator", other, 404, 404, 404)
		check(when+", administrator", g.admin, admin, 404, admin)
	}
	all("before", 404)
	require.Zero(t, g.audited("conversation.read", g.id, g.admin))
	glass := g.breaks(g.admin)
	all("while", 200)
	require.EqualValues(t, 2, g.audited("conversation.read", g.id, g.admin), "messages, state")
	require.EqualValues(t, 1, g.audited("conversation.versions", g.id, g.admin))
	require.Zero(t, g.audited("conversation.read", g.id, g.Patient))
	_, err = in.svc.EndGlass(context.Background(), other, glass.ID)
	require.NoError(t, err)
	all("after the end", 404)
	g.breaks(g.admin)
	all("anew", 200)
	g.clock.Store(int64(MinGlass))
	all("expired", 404)
	g.clock.Store(0)
	g.Exec(`update sessions set ended_at = now() where id = $1`, g.admin.Session)
	require.Equal(t, 404, in.ask(g.admin, http.MethodGet, one+"/messages", "").Status, "with the session")
}

// Losing the role ends the access, even if an older token is still valid.
func TestGlass_demoted(t *testing.T) {
	t.Parallel()
	g := newGlassWorld(t, 1)
	for _, sql := range []string{`update users set role = 'DOCTOR' where id = $1`, `update users set role = 'ADMIN', disabled_at = now() where id = $1`} {
		g.breaks(g.admin)
		_, err := g.instances[0].svc.Readable(t.Context(), g.admin, g.id)
		require.NoError(t, err)
		g.Exec(sql, g.admin.ID)
		_, err = g.instances[0].svc.Readable(t.Context(), g.admin, g.id)
		require.Equal(t, errs.NotFound, errs.KindOf(err))
		g.Exec(`update users set role = 'ADMIN', disabled_at = null where id = $1`, g.admin.ID)
	}
}

func TestRoutes_breakGlass(t *testing.T) {
	t.Parallel()
	g := newGlassWorld(t, 1)
	in := g.instances[0]
	body := func(id, reason string, minutes any) string {
		return fmt.Sprintf(`{"appointmentId":%q,"reason":%q,"minutes":%v}`, id, reason, minutes)
	}
	const path, reason = "/admin/break-glass", "A complaint of the patient."
	own := g.Appointment(appointment.Booked)
	g.Exec(`insert into patients (user_id) values ($1)`, g.admin.ID)
	g.Exec(`update appointments set patient_id = $2 where id = $1`, own, g.admin.ID)
	for name, c := range map[string]struct {
		actor auth.Actor
		body  string
		want  int
	}{
		"nobody":               {auth.Actor{}, body(g.id, reason, 60), 401},
		"patient":              {g.Patient, body(g.id, reason, 60), 403},
		"doctor":               {g.Doctor, body(g.id, reason, 60), 403},
		"no such appointment":  {g.admin, body("APP0000000000", reason, 60), 404},
		"their own":            {g.admin, body(g.PublicID(own), reason, 60), 409},
		"no reason":            {g.admin, body(g.id, "", 60), 422},
		"a short one":          {g.admin, body(g.id, "  because    ", 60), 422},
		"a blank one":          {g.admin, body(g.id, strings.Repeat("\u200d", 12), 60), 422},
		"a long one":           {g.admin, body(g.id, strings.Repeat("x", 501), 60), 422},
		"U+0000":               {g.admin, `{"appointmentId":"` + g.id + `","reason":"a complaint\u0000"}`, 422},
		"too short a time":     {g.admin, body(g.id, reason, 4), 422},
		"too long a time":      {g.admin, body(g.id, reason, 241), 422},
		"no whole minutes":     {g.admin, body(g.id, reason, 5.5), 422},
		"something else in it": {g.admin, `{"appointmentId":"` + g.id + `","reason":"A complaint.","adminId":"x"}`, 422},
	} {
		a := in.ask(c.actor, http.MethodPost, path, c.body)
		require.Equal(t, c.want, a.Status, "%s: %s", name, a.Raw)
		require.NotContains(t, a.String(), "complaint", name)
	}
	require.Empty(t, g.log(g.conversation))

	a := in.ask(g.admin, http.MethodPost, path, `{"appointmentId":"`+g.id+`","reason":"`+reason+`"}`)
	require.Equal(t, http.StatusCreated, a.Status, "%s", a.Raw)
	requireGolden(t, "glass", a)
	from, until := moment(t, a.Body["createdAt"]), moment(t, a.Body["expiresAt"])
	require.Equal(t, time.Hour, until.Sub(from))
	require.Equal(t, "An administrator, "+g.admin.Name+", has opened this conversation to read it, until "+
		until.Format("Mon 2 Jan 2006, 15:04")+" (UTC). Reason: "+reason, g.log(g.conversation)[0].Text)
	require.EqualValues(t, 1, g.audited("glass.break", g.id, g.admin))

	end := path + "/" + fmt.Sprint(a.Body["id"]) + "/end"
	require.Equal(t, 403, in.ask(g.Doctor, http.MethodPost, end, "").Status)
	require.Equal(t, 404, in.ask(g.admin, http.MethodPost, path+"/"+uuid.NewString()+"/end", "").Status)
	require.Equal(t, 404, in.ask(g.admin, http.MethodPost, path+"/1/end", "").Status)
	ended := in.ask(g.admin, http.MethodPost, end, "")
	require.Equal(t, 200, ended.Status, "%s", ended.Raw)
	requireGolden(t, "glass_ended", ended)
	require.Equal(t, ended.Raw, in.ask(g.admin, http.MethodPost, end, "").Raw, "ended already: the same answer")
	require.Equal(t, "The administrator "+g.admin.Name+" can no longer read this conversation.",
		g.log(g.conversation)[1].Text)
	require.EqualValues(t, 1, g.audited("glass.end", g.id, g.admin))

	g.breaks(g.admin)
	g.breaks(g.admin)
	g.clock.Store(int64(MinGlass))
	g.breaks(g.admin)
	var seen []string
	for cursor := ""; ; {
		page := in.ask(g.admin, http.MethodGet, path+"?limit=3&cursor="+cursor, "")
		require.Equal(t, 200, page.Status)
		seen = append(seen, page.Each("status")...)
		if cursor = page.Text("nextCursor"); cursor == "" {
			break
		}
	}
	require.Equal(t, []string{"active", "expired", "expired", "ended"}, seen, "newest first")
	require.Equal(t, 403, in.ask(g.Patient, http.MethodGet, path, "").Status)
	g.Exec(`update sessions set ended_at = now() where id = $1`, g.admin.Session)
	second := g.SignIn(g.admin)
	require.Equal(t, "ended", in.ask(second, http.MethodGet, path, "").Items()[0]["status"], "with its session")
}

func moment(t *testing.T, v any) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(v))
	require.NoError(t, err)
	return at
}

// TestService_EndGlass_contention: when many end the access at the same time, one does, and the conversation gets one
// event.
func TestService_EndGlass_contention(t *testing.T) {
	t.Parallel()
	g := newGlassWorld(t, 2)
	glass := g.breaks(g.admin)
	var work sync.WaitGroup
	ends := make([]Glass, 16)
	for n := range ends {
		work.Go(func() {
			var err error
			if ends[n], err = g.instances[n%2].svc.EndGlass(context.Background(), g.admin, glass.ID); err != nil {
				t.Errorf("end: %v", err)
			}
		})
	}
	work.Wait()
	for _, e := range ends {
		require.Equal(t, GlassEnded, e.Status(g.now()))
		require.True(t, e.EndedAt.Equal(*ends[0].EndedAt))
	}
	require.Len(t, g.requireGapless(g.conversation), 2)
	require.EqualValues(t, 1, g.audited("glass.end", g.id, g.admin))
}

// TestRoutes_versions: an observer sees each version of a message; everyone else's view of it does not change.
func TestRoutes_versions(t *testing.T) {
	t.Parallel()
	g := newGlassWorld(t, 1)
	in := g.instances[0]
	file := uuid.New()
	g.Exec(`insert into messages (room_id, seq, at, kind, sender_id, client_id, body, target) values
		($1, 1, now(), 'text', $2, gen_random_uuid(), 'It hurts.', null),
		($1, 2, now(), 'correction', $2, gen_random_uuid(), 'It hurts here.', 1),
		($1, 3, now(), 'attachment', $2, gen_random_uuid(), null, null),
		($1, 4, now(), 'correction', $2, gen_random_uuid(), 'It hurts there.', 1),
		($1, 5, now(), 'retraction', $2, gen_random_uuid(), null, 1),
		($1, 6, now(), 'retraction', $2, gen_random_uuid(), null, 3)`, g.conversation, g.Patient.ID)
	g.Exec(`insert into attachments (id, room_id, uploader_id, name, media_type, size_bytes, sha256, stored_at, seq)
		values ($1, $2, $3, 'arm.jpg', 'image/jpeg', 5, sha256('12345'), now(), 3)`, file, g.conversation, g.Patient.ID)
	g.Exec(`update conversations set head_seq = 6 where id = $1`, g.conversation)
	glass := g.breaks(g.admin)
	path := "/appointments/" + g.id + "/messages"
	text := in.ask(g.admin, http.MethodGet, path+"/1/versions", "")
	require.Equal(t, 200, text.Status, "%s", text.Raw)
	requireGolden(t, "versions", text)
	photo := in.ask(g.admin, http.MethodGet, path+"/3/versions", "")
	requireGolden(t, "versions_attachment", photo)
	for _, seq := range []string{"2", "5", "7", "8"} { // a correction, a retraction, a system event, no event
		require.Equal(t, 404, in.ask(g.admin, http.MethodGet, path+"/"+seq+"/versions", "").Status, seq)
	}
	require.Equal(t, 422, in.ask(g.admin, http.MethodGet, path+"/0/versions", "").Status)
	require.Equal(t, 404, in.ask(g.Patient, http.MethodGet, path+"/1/versions", "").Status, "not even the sender")
	for _, actor := range []auth.Actor{g.Patient, g.Doctor, g.admin} {
		require.NotContains(t, in.ask(actor, http.MethodGet, path, "").String(), "It hurts")
	}
	require.EqualValues(t, 1, g.Number(`select count(*) from audit_events
		where action = 'conversation.versions' and detail = jsonb_build_object('seq', 3, 'glass', $1::text)`, glass.ID))
}

func TestGlass_Status(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := func(d time.Duration) *time.Time { when := now.Add(d); return &when }
	for name, c := range map[string]struct {
		g    Glass
		want GlassStatus
	}{
		"active":                       {Glass{ExpiresAt: now.Add(1)}, GlassActive},
		"at its time":                  {Glass{ExpiresAt: now}, GlassExpired},
		"ended":                        {Glass{ExpiresAt: now.Add(time.Hour), EndedAt: at(0)}, GlassEnded},
		"ended, and past":              {Glass{ExpiresAt: now.Add(-time.Minute), EndedAt: at(-time.Hour)}, GlassEnded},
		"the session ended after it":   {Glass{ExpiresAt: now.Add(-time.Hour), EndedAt: at(-time.Minute)}, GlassExpired},
		"the session is gone":          {Glass{ExpiresAt: now.Add(1), orphaned: true}, GlassEnded},
		"the session is gone long ago": {Glass{ExpiresAt: now, orphaned: true}, GlassExpired},
	} {
		require.Equal(t, c.want, c.g.Status(now), name)
	}
}
