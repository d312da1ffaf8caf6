package app

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/client"
)

// A doctor who has handed an appointment over no longer takes part in it, on any API.
func TestApp_FormerDoctor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	pia, former, next, admin := w.person(auth.Patient), w.person(auth.Doctor), w.person(auth.Doctor), w.person(auth.Admin)
	patient, doctor := pia.at(0), former.at(0)
	appointment := w.book(patient, doctor)
	_, err := patient.SendMessage(w.context(), appointment, client.NewClientID(), "the-most-private-text")
	require.NoError(t, err)
	token, successor := w.token(doctor), w.token(next.at(0))
	feed := w.call(0, token, "POST", "/api/v1/me/calendar", "").body["url"].(string)
	feed = strings.TrimPrefix(feed, w.cfg.PublicURL)
	require.Contains(t, string(w.call(0, "", "GET", feed, "").raw), appointment, "it is still theirs")
	socket := w.dial(0, token, appointment, "")
	socket.next("hello")

	r := w.call(0, w.token(admin.at(0)), "POST", "/api/v1/appointments/"+appointment+"/hand-over",
		fmt.Sprintf(`{"doctorId":%q}`, next.userID))
	require.Equal(t, 200, r.status, "%s", r.raw)
	code, _ := socket.end()
	require.NotZero(t, code)
	after, err := patient.SendMessage(w.context(), appointment, client.NewClientID(), "the-most-private-text, continued")
	require.NoError(t, err)
	require.NotZero(t, after.Seq)

	one := "/api/v1/appointments/" + appointment
	tomorrow := time.Now().AddDate(0, 0, 1).Format(time.DateOnly)
	for _, c := range [][3]string{
		{"GET", one, ""},
		{"GET", one + "/history", ""},
		{"GET", one + "/messages", ""},
		{"POST", one + "/messages/1/retract", fmt.Sprintf(`{"clientId":%q}`, client.NewClientID())},
		{"POST", one + "/messages", fmt.Sprintf(`{"clientId":%q,"text":"still here"}`, client.NewClientID())},
		{"POST", one + "/cancel", `{"reason":"still mine"}`},
		{"POST", one + "/complete", `{"summary":"still mine"}`},
		{"GET", "/api/v1/patients/" + pia.userID, ""},
	} {
		w.call(0, token, c[0], c[1], c[2]).problem(t, 404)
	}
	refused, r := w.tryDial(0, "/ws/appointments/"+appointment,
		http.Header{"Authorization": {"Bearer " + token}}, "housecall.v1")
	require.Nil(t, refused)
	require.Equal(t, 404, r.status)
	require.Empty(t, w.call(0, token, "GET", "/api/v1/appointments", "").body["items"])
	require.Empty(t, w.call(0, token, "GET", "/api/v1/patients", "").body["items"])
	require.NotContains(t, string(w.call(0, "", "GET", feed, "").raw), appointment)

	hms := w.hmsToken(0, former.email)
	for _, c := range [][3]string{
		{"GET", "/api/auth/getMessages/" + appointment, ""},
		{"POST", "/api/auth/sendMessage", fmt.Sprintf(`{"appointmentId":%q,"receiverId":%q,"message":"still here"}`, appointment, pia.userID)},
		{"PUT", "/api/doctor/appointments/approve/" + appointment, `{"date":"` + tomorrow + `","time":"10:30"}`},
		{"PUT", "/api/doctor/appointments/reject/" + appointment, ""},
	} {
		require.Equal(t, 404, w.call(0, hms, c[0], c[1], c[2]).status, c[1])
	}
	require.Empty(t, w.call(0, hms, "GET", "/api/doctor/appointments/booked/all", "").body["appointments"])
	pms := w.olderToken(0, former.email)
	for _, path := range []string{"/web/appointment/list", "/web/patient/list"} {
		require.Empty(t, w.call(0, pms, "GET", path, "").body["data"], path)
	}
	require.Equal(t, 200, w.call(0, successor, "GET", one+"/messages", "").status)
	require.Equal(t, 200, w.call(0, successor, "GET", one, "").status)
	w.requireDiscreet(t, "the-most-private-text", "still")
}
