package app

import (
	"bytes"
	"crypto/rand"
	"net/url"
	"testing"
	"time"

	"github.com/emersion/go-ical"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/config"
)

// feed reads a feed from an instance, as a calendar program does, with nothing but its URL.
func (w *world) feed(t *testing.T, n int, address string) []ical.Event {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	require.Equal(t, "http://clinic.test", u.Scheme+"://"+u.Host)
	r := w.call(n, "", "GET", u.Path, "")
	require.Equal(t, 200, r.status, "%s", r.raw)
	for _, private := range []string{"Number", "private.test", "cough", "DOC", "PAT"} {
		require.NotContains(t, string(r.raw), private)
	}
	c, err := ical.NewDecoder(bytes.NewReader(r.raw)).Decode()
	require.NoError(t, err)
	return c.Events()
}

// textOf returns a property of the only event.
func textOf(t *testing.T, all []ical.Event, property string) string {
	t.Helper()
	require.Len(t, all, 1)
	s, err := all[0].Props.Text(property)
	require.NoError(t, err)
	return s
}

// An appointment, and its cancellation, is in the feeds of its two participants and in no others.
func TestApp_CalendarFeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	patient, doctor := w.person(auth.Patient), w.person(auth.Doctor)
	pc, dc := patient.at(0), doctor.at(0)
	admin := w.token(w.person(auth.Admin).at(0))
	tokens := []string{
		w.token(pc), w.token(dc), w.token(w.person(auth.Patient).at(0)), w.token(w.person(auth.Doctor).at(0)), admin,
	}
	addresses := make([]string, len(tokens))
	for i, token := range tokens {
		made := w.call(0, token, "POST", "/api/v1/me/calendar", "")
		require.Equal(t, 201, made.status, "%s", made.raw)
		addresses[i] = made.body["url"].(string)
		require.Empty(t, w.feed(t, 0, addresses[i]))
	}
	request, err := pc.Book(w.context(), dc.User().UserID, time.Time{}, "A cough without a time")
	require.NoError(t, err)
	appointment := w.book(pc, dc)
	// Another instance, which signs tokens with other secrets and knows none of the old ones.
	w.cfg.TokenSecrets = []config.Secret{config.Secret(rand.Text() + rand.Text())}
	other := w.start()
	for i, address := range addresses {
		all := w.feed(t, other, address)
		if i >= 2 {
			require.Empty(t, all, "%d: of nobody else, not even an administrator", i)
			continue
		}
		require.Equal(t, appointment+"@housecall", textOf(t, all, "UID"))
		require.Equal(t, "CONFIRMED", textOf(t, all, "STATUS"))
		require.Equal(t, "2", all[0].Props.Get("SEQUENCE").Value)
		require.Equal(t, "http://clinic.test/appointments/"+appointment, all[0].Props.Get("URL").Value)
		start, err := all[0].DateTimeStart(nil)
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), start, 2*time.Hour)
	}
	require.Equal(t, 200,
		w.call(0, tokens[1], "POST", "/api/v1/appointments/"+appointment+"/cancel", `{"reason":"Ill"}`).status)
	for _, address := range addresses[:2] {
		require.Empty(t, w.feed(t, 0, address), "programs that ignore STATUS would show it as if it took place")
	}
	require.Equal(t, 200, w.call(0, admin, "POST", "/api/v1/users/"+patient.userID+"/disable", "").status)
	u, err := url.Parse(addresses[0])
	require.NoError(t, err)
	for n := range w.apps {
		w.call(n, "", "GET", u.Path, "").problem(t, 404)
	}
	require.Empty(t, w.feed(t, 0, addresses[1]))
	require.Equal(t, 200,
		w.call(0, tokens[1], "POST", "/api/v1/appointments/"+request.ID+"/reject", `{"reason":"Ill"}`).status)
	require.Equal(t, 200,
		w.call(0, admin, "PUT", "/api/v1/users/"+doctor.userID+"/role", `{"role":"PATIENT"}`).status)
	require.Empty(t, w.feed(t, 0, addresses[1]), "a former doctor no longer takes part")
	for _, address := range addresses {
		u, err := url.Parse(address)
		require.NoError(t, err)
		w.requireDiscreet(t, u.Path)
	}
}
