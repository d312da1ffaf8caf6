package app

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/config"
)

// A refused client gets a problem document instead of an upgrade.
func TestApp_BeforeTheUpgrade(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, func(c *config.Config) { c.AllowedOrigins = []string{"https://partner.test"} })
	patient, doctor, appointment := w.pair()
	token := w.token(patient)
	path := "/ws/appointments/" + appointment
	bearer := func(token string, more ...string) http.Header {
		h := http.Header{"Authorization": {"Bearer " + token}}
		for i := 0; i+1 < len(more); i += 2 {
			h.Set(more[i], more[i+1])
		}
		return h
	}
	stranger, otherDoctor, admin := w.person(auth.Patient).at(0), w.person(auth.Doctor).at(0), w.person(auth.Admin).at(0)
	for name, c := range map[string]struct {
		path      string
		header    http.Header
		protocols []string
		status    int
	}{
		"no token":              {path: path, status: 401},
		"a bad token":           {path: path, header: bearer("nonsense"), status: 401},
		"a token of our making": {path: path, header: bearer(strings.Replace(token, ".", ".e", 1)), status: 401},
		"a bad subprotocol":     {path: path, protocols: []string{"housecall.bearer.nonsense"}, status: 401},
		"a token in the URL":    {path: path + "?token=" + token + "&access_token=" + token, status: 401},
		"a token in a cookie":   {path: path, header: http.Header{"Cookie": {"token=" + token}}, status: 401},
		"a foreign origin":      {path: path, header: bearer(token, "Origin", "https://evil.test"), status: 403},
		"a null origin":         {path: path, header: bearer(token, "Origin", "null"), status: 403},
		"a look-alike origin":   {path: path, header: bearer(token, "Origin", "http://clinic.test.evil.test"), status: 403},
		"another patient":       {path: path, header: bearer(w.token(stranger)), status: 404},
		"another doctor":        {path: path, header: bearer(w.token(otherDoctor)), status: 404},
		"an admin":              {path: path, header: bearer(w.token(admin)), status: 404},
		"no such appointment":   {path: "/ws/appointments/APP0000000000", header: bearer(token), status: 404},
		"a hostile id":          {path: "/ws/appointments/%27%20or%201=1--", header: bearer(token), status: 404},
		"a bad cursor":          {path: path + "?after=-5", header: bearer(token), status: 422},
		"a worse cursor":        {path: path + "?after=99999999999999999999", header: bearer(token), status: 422},
	} {
		t.Run(name, func(t *testing.T) {
			s, r := w.tryDial(0, c.path, c.header, append([]string{"housecall.v1"}, c.protocols...)...)
			require.Nil(t, s)
			r.problem(t, c.status)
		})
	}
	for name, c := range map[string]struct {
		header    http.Header
		protocols []string
	}{
		"the patient":                {header: bearer(token)},
		"the doctor":                 {header: bearer(w.token(doctor))},
		"the service's own origin":   {header: bearer(token, "Origin", "http://clinic.test")},
		"an allowed origin":          {header: bearer(token, "Origin", "https://partner.test")},
		"the token as a subprotocol": {protocols: []string{"housecall.bearer." + token}},
		"… from an allowed web page": {protocols: []string{"housecall.bearer." + token}, header: http.Header{"Origin": {"http://clinic.test"}}},
	} {
		t.Run(name, func(t *testing.T) {
			s, r := w.tryDial(0, path, c.header, append([]string{"housecall.v1"}, c.protocols...)...)
			require.NotNil(t, s, "%s", r.raw)
			s.t = t
			require.Equal(t, "housecall.v1", s.Subprotocol(), "never the token")
			s.next("live")
			require.NoError(t, s.Close())
		})
	}
	require.NotContains(t, w.log.String(), token)
}

func TestApp_UpgradeRequired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	patient, _, appointment := w.pair()
	w.call(0, w.token(patient), "GET", "/ws/appointments/"+appointment, "").problem(t, 426)
	s, r := w.tryDial(0, "/ws/appointments/"+appointment, http.Header{"Authorization": {"Bearer " + w.token(patient)}},
		"another.v9")
	require.Nil(t, s)
	r.problem(t, 426)
}

func TestApp_TooManySockets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, func(c *config.Config) { c.SocketsPerUser, c.SocketsPerAddress = 2, 3 })
	patient, doctor, appointment := w.pair()
	header := http.Header{"Authorization": {"Bearer " + w.token(patient)}}
	first := w.dial(0, w.token(patient), appointment, "")
	first.next("live")
	w.dial(0, w.token(patient), appointment, "").next("live")
	s, r := w.tryDial(0, "/ws/appointments/"+appointment, header, "housecall.v1")
	require.Nil(t, s, "of one user")
	r.problem(t, 429)
	require.NotEmpty(t, r.header.Get("Retry-After"))

	w.dial(0, w.token(doctor), appointment, "").next("live")
	s, r = w.tryDial(0, "/ws/appointments/"+appointment, http.Header{"Authorization": {"Bearer " + w.token(doctor)}},
		"housecall.v1")
	require.Nil(t, s, "from one address")
	r.problem(t, 429)

	require.NoError(t, first.Close())
	w.eventually("there is room again", func() bool {
		s, _ := w.tryDial(0, "/ws/appointments/"+appointment, header, "housecall.v1")
		return s != nil
	})
}

func TestApp_DrainingRefusesUpgrades(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	patient, _, appointment := w.pair()
	w.apps[0].http.SetDraining()
	w.apps[0].chat.Drain(w.context())
	s, r := w.tryDial(0, "/ws/appointments/"+appointment, http.Header{"Authorization": {"Bearer " + w.token(patient)}},
		"housecall.v1")
	require.Nil(t, s)
	r.problem(t, 503)
	require.NotEmpty(t, r.header.Get("Retry-After"))
	ready := w.call(0, "", "GET", "/readyz", "")
	require.Equal(t, 503, ready.status)
	require.Equal(t, "draining", ready.body["status"])
	require.Equal(t, 200, w.call(0, w.token(patient), "GET", "/api/v1/me", "").status,
		"what was sent here is still answered")
}

// A client's error on an open socket ends it with the documented code, or only gets an answer.
func TestApp_BadFrames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	patient, _, appointment := w.pair()
	token := w.token(patient)
	for name, c := range map[string]struct {
		kind int
		data string
		code int
	}{
		"not JSON":    {1, "hello", 4400},
		"no object":   {1, "[]", 4400},
		"null":        {1, "null", 4400},
		"binary":      {2, `{"type":"ping"}`, 4400},
		"not UTF-8":   {1, "{\"type\":\"ping\xff\"}", 4400},
		"too large":   {1, `{"type":"ping","id":"` + strings.Repeat("x", 65<<10) + `"}`, 4413},
		"other's own": {1, `{"type":"auth","token":"` + w.token(w.person(auth.Patient).at(0)) + `"}`, 4401},
	} {
		t.Run(name, func(t *testing.T) {
			s := w.dial(0, token, appointment, "")
			s.t = t
			s.next("live")
			require.NoError(t, s.WriteMessage(c.kind, []byte(c.data)))
			code, bye := s.end()
			require.Equal(t, c.code, code)
			require.Equal(t, strconv.Itoa(c.code), string(bye.Code))
		})
	}
	s := w.dial(0, token, appointment, "")
	s.next("live")
	for _, bad := range []any{
		object{"type": "nonsense"},
		object{"type": 7},
		object{},
		object{"type": "send"},
		object{"type": "send", "clientId": "x", "text": "y"},
		object{"type": "read", "upTo": -1},
		object{"type": "read", "upTo": "1"},
		object{"type": "typing"},
		object{"type": "auth", "token": ""},
	} {
		s.write(bad)
		s.next("error")
	}
	id := "7d9f2a4e-0b51-4e0d-9d53-0d6f2b1a9c11"
	for _, c := range [][2]string{{"", "empty"}, {" \n\u200b", "empty"}, {strings.Repeat("é", 4001), "too_long"}, {"a\x00b", "invalid"}} {
		text, code := c[0], c[1]
		s.write(object{"type": "send", "clientId": id, "text": text})
		nack := s.next("nack")
		require.Equal(t, `"`+code+`"`, string(nack.Code))
		require.Equal(t, "never", nack.Retry)
	}
	s.write(object{"type": "send", "clientId": id, "text": strings.Repeat("é", 4000), "unknown": true})
	require.Equal(t, id, s.next("ack").ClientID, "and all the while the connection stays")
}
