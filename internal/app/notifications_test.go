package app

import (
	"fmt"
	"io"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/notify"
)

// mails returns the mails that instances have written whose Message-ID begins with a prefix.
func (w *world) mails(id string) (out []string) {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.cfg.MailDir, "*.eml"))
	require.NoError(w.t, err)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(w.t, err)
		if strings.Contains(string(b), "Message-ID: <"+id) {
			out = append(out, string(b))
		}
	}
	return out
}

// onlyMail waits until there are n mails whose Message-ID begins with a prefix, and returns them, decoded and joined.
func (w *world) onlyMail(id string, n int) string {
	w.t.Helper()
	var found []string
	w.eventually(fmt.Sprintf("%d mails %s", n, id), func() bool { found = w.mails(id); return len(found) == n })
	var all strings.Builder
	for _, raw := range found {
		_, err := io.Copy(&all, quotedprintable.NewReader(strings.NewReader(raw)))
		require.NoError(w.t, err)
	}
	return all.String()
}

// Both participants get one mail about each change of an appointment, whichever instance works the jobs, with a
// calendar part that replaces the previous one, and nothing clinical.
func TestApp_Notifications(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	_, doctor, appointment := w.pair()
	admin := w.token(w.person(auth.Admin).at(1))
	confirmed := w.onlyMail("confirmed."+appointment, 2)
	require.Contains(t, confirmed, "patient-1@private.test")
	require.Contains(t, confirmed, "http://clinic.test/appointments/"+appointment)
	require.Contains(t, confirmed, "METHOD:REQUEST")
	require.Contains(t, confirmed, "UID:"+appointment+"@housecall")

	next := w.person(auth.Doctor)
	r := w.call(1, admin, "POST", "/api/v1/appointments/"+appointment+"/hand-over", `{"doctorId":"`+next.userID+`"}`)
	require.Equal(t, 200, r.status, "%s", r.raw)
	handed := w.onlyMail("handed_over."+appointment, 3)
	require.Contains(t, handed, "METHOD:CANCEL", "for the former doctor")
	require.Contains(t, handed, "METHOD:REQUEST")
	w.call(0, w.token(doctor), "GET", "/api/v1/appointments/"+appointment, "").problem(t, 404)

	r = w.call(0, admin, "POST", "/api/v1/appointments/"+appointment+"/cancel", `{"reason":"marker-reason"}`)
	require.Equal(t, 200, r.status, "%s", r.raw)
	cancelled := w.onlyMail("cancelled."+appointment, 2)
	require.Contains(t, cancelled, "METHOD:CANCEL")
	for _, told := range []string{confirmed, handed, cancelled} {
		require.NotContains(t, told, "cough", "the reason stays where it is")
		require.NotContains(t, told, "marker-reason")
	}
	w.eventually("the jobs are done", func() bool {
		r := w.call(1, admin, "GET", "/api/v1/admin/jobs?state=completed", "")
		require.NotContains(t, string(r.raw), "@private.test")
		require.NotContains(t, string(r.raw), "marker-reason")
		return strings.Count(string(r.raw), `"kind":"mail_appointment"`) >= 2
	})
	w.call(0, w.token(doctor), "GET", "/api/v1/admin/jobs", "").problem(t, 403)
	require.NotContains(t, w.log.String(), "@private.test")
}

// Somebody who has been away for a while with something unread gets one mail, without its content; somebody who has
// read it gets none.
func TestApp_UnreadMail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	patient, _, appointment := w.pair()
	conv := join(t, patient, appointment, fromStart)
	conv.say("marker-message")
	conv.conv.Close()
	// An hour ago, as far as PostgreSQL knows.
	for _, sql := range []string{
		`update messages set at = at - interval '1 hour'`, `update unread_sweeps set upto = now() - interval '2 hours'`,
		`update users set created_at = created_at - interval '2 hours'`, `update sessions set last_used_at = now() - interval '1 hour'`,
		`delete from user_presence`,
	} {
		_, err := w.apps[0].pool.Exec(w.context(), sql)
		require.NoError(t, err)
	}
	for range 2 {
		for _, a := range w.apps {
			require.NoError(t, a.chat.NotifyAbsent(w.context()))
		}
	}
	told := w.onlyMail("unread.", 1)
	require.Contains(t, told, "doctor-2@private.test")
	require.NotContains(t, told, "marker-message")
}

var tokenInMail = regexp.MustCompile(`\?token=([A-Za-z0-9_-]{20,})`)

// People who register verify their address with the link in an email. Those who forgot their password set another one
// with a link, which works once and ends their sessions. An unverified address gets no other mail.
func TestApp_AccountMails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	r := w.call(0, "", "POST", "/api/v1/auth/register",
		`{"name":"Nia New","email":"nia@private.test","password":"`+password+`"}`)
	require.Equal(t, 201, r.status, "%s", r.raw)
	link := tokenInMail.FindStringSubmatch(w.onlyMail("verify_email.", 1))
	require.NotNil(t, link)
	require.Equal(t, 204, w.call(1, "", "POST", "/api/v1/auth/verify", `{"token":"`+link[1]+`"}`).status)
	w.call(0, "", "POST", "/api/v1/auth/verify", `{"token":"`+link[1]+`"}`).problem(t, 404)

	session := w.token(w.signIn(w.url(0), "nia@private.test"))
	require.Equal(t, 202, w.call(0, "", "POST", "/api/v1/auth/forgot", `{"login":"nia@private.test"}`).status)
	link = tokenInMail.FindStringSubmatch(w.onlyMail("password_reset.", 1))
	require.NotNil(t, link)
	body := `{"token":"` + link[1] + `","password":"another good password"}`
	require.Equal(t, 204, w.call(1, "", "POST", "/api/v1/auth/reset", body).status)
	w.call(0, session, "GET", "/api/v1/me", "").problem(t, 401)
	w.call(1, "", "POST", "/api/v1/auth/reset", body).problem(t, 404)
	require.NotContains(t, w.log.String(), link[1])
	require.Zero(t, w.inJobs(link[1]), "no job keeps a token in clear")
}

// inJobs counts the jobs that mention a text.
func (w *world) inJobs(text string) (n int) {
	w.t.Helper()
	require.NoError(
		w.t,
		w.apps[0].pool.QueryRow(w.context(), `select count(*) from river_job where args::text like '%' || $1 || '%'`, text).
			Scan(&n),
	)
	return n
}

// While no jobs are worked, later changes overtake mails. Then nobody is told of what is no longer true or available,
// everybody is told of the current state, and nothing stays in a calendar.
func TestApp_Notifications_overtaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, func(c *config.Config) { c.JobWorkers, c.CancellationWindow = 0, 0 })
	patient, doctor, appointment := w.pair()
	pt, dt := w.token(patient), w.token(doctor)
	next := time.Now().Truncate(time.Hour).Add(48 * time.Hour).Format(time.RFC3339)
	r := w.call(0, pt, "POST", "/api/v1/appointments/"+appointment+"/reschedule", `{"startsAt":"`+next+`"}`)
	require.Equal(t, "BOOKED", r.body["status"], "%s", r.raw)
	r = w.call(0, dt, "POST", "/api/v1/appointments/"+appointment+"/reject", `{"reason":"Away"}`)
	require.Equal(t, "BOOKED", r.body["status"], "%s", r.raw)

	other := w.book(patient, doctor)
	waiting, afterwards := w.person(auth.Patient), w.person(auth.Patient)
	queue := "/api/v1/doctors/" + doctor.User().UserID + "/waitlist"
	today := time.Now().UTC()
	places := map[*person]string{}
	for _, p := range []*person{waiting, afterwards} {
		r = w.call(0, w.token(p.at(0)), "POST", queue,
			`{"from":"`+today.Format(time.DateOnly)+`","to":"`+today.AddDate(0, 0, 3).Format(time.DateOnly)+`"}`)
		require.Equal(t, 201, r.status, "%s", r.raw)
		places[p], _ = r.body["id"].(string)
	}
	require.Equal(t, 200, w.call(0, dt, "POST", "/api/v1/appointments/"+other+"/cancel", `{"reason":"Away"}`).status)
	require.Equal(t, 1, w.count(`select count(*) from slot_claims where waitlist_id is not null`), "a time is offered")
	require.Equal(t, 204, w.call(0, w.token(waiting.at(0)), "DELETE", queue+"/"+places[waiting], "").status)

	for range 2 {
		require.Equal(t, 202, w.call(0, "", "POST", "/api/v1/auth/forgot", `{"login":"`+patient.User().UserID+`"}`).status)
	}
	require.Empty(t, w.mails(""))

	w.cfg.JobWorkers = 4
	w.start()
	w.eventually("the jobs are done", func() bool {
		return w.count(
			`select count(*) from river_job where kind like 'mail%' and state not in ('completed', 'scheduled')`,
		) == 0
	})
	require.Empty(t, w.mails("confirmed."+other))
	require.Empty(t, w.mails("time_proposed."))
	require.Equal(t, 2, strings.Count(w.onlyMail("confirmed."+appointment, 2), "METHOD:REQUEST"), "it stood all the time")
	require.Equal(t, 2, strings.Count(w.onlyMail("proposal_ended."+appointment, 2), "METHOD:REQUEST"),
		"for the doctor too, whose calendar would not have it")
	require.Equal(t, 2, strings.Count(w.onlyMail("cancelled."+other, 2), "METHOD:CANCEL"))
	offered := w.onlyMail("waitlist_offer.", 1)
	require.Contains(t, offered, afterwards.email, "the first has left the queue")
	require.NotContains(t, offered, waiting.email)
	require.Len(t, w.mails("password_reset."), 1, "the first link works no more")
}

// For each kind of mail whose link expires, and for no other, there is a way to tell whether the link is still valid.
func TestStanding(t *testing.T) {
	t.Parallel()
	s := standing{&services{}}
	for _, kind := range notify.Kinds() {
		_, known := s.questions()[kind]
		require.Equal(t, kind.Fleeting(), known, kind)
	}
	_, err := s.Stands(t.Context(), notify.Unread, "key")
	require.Error(t, err)
}

// count counts rows.
func (w *world) count(sql string) (n int) {
	w.t.Helper()
	require.NoError(w.t, w.apps[0].pool.QueryRow(w.context(), sql).Scan(&n))
	return n
}
