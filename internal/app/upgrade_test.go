package app

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/config"
)

// The forms that clients and proxies may give the header (RFC 6455, 11.3.4) are understood; anything else is refused.
func TestApp_Subprotocols(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	patient, _, appointment := w.pair()
	token := w.token(patient)
	bearer, header := "housecall.bearer."+token, "Bearer "+token
	for name, c := range map[string]struct {
		offered       []string // lines of the header
		authorization string
		status        int
	}{
		"one line":                      {[]string{"housecall.v1, " + bearer}, "", 101},
		"a line each":                   {[]string{"housecall.v1", bearer}, "", 101},
		"the token first":               {[]string{bearer, "housecall.v1"}, "", 101},
		"blanks and empty elements":     {[]string{" ,housecall.v1\t,, " + bearer + " ,"}, "", 101},
		"others beside it":              {[]string{"mqtt, housecall.v2", "housecall.v1, " + bearer}, "", 101},
		"twice":                         {[]string{"housecall.v1, housecall.v1, " + bearer}, "", 101},
		"no blank":                      {[]string{"housecall.v1," + bearer}, "", 101},
		"a header beside it":            {[]string{"housecall.v1, housecall.bearer.nonsense"}, header, 101},
		"a bad header beside it":        {[]string{"housecall.v1, " + bearer}, "Bearer nonsense", 401},
		"an empty token":                {[]string{"housecall.v1, housecall.bearer."}, "", 401},
		"a bad token before a good one": {[]string{"housecall.v1, housecall.bearer.nonsense, " + bearer}, "", 401},
		"the token in two parts":        {[]string{"housecall.v1, " + bearer[:40], bearer[40:]}, "", 401},
		"another case of the token's":   {[]string{"housecall.v1, HOUSECALL.BEARER." + token}, "", 401},
		"a long token":                  {[]string{"housecall.v1, housecall.bearer." + strings.Repeat("x", 2000)}, "", 401},
		"only the token":                {[]string{bearer}, "", 426},
		"only others":                   {[]string{"housecall.v2, mqtt"}, header, 426},
		"another case":                  {[]string{"Housecall.V1"}, header, 426},
		"another separator":             {[]string{"housecall.v1; housecall.v2"}, header, 426},
		"none":                          {nil, header, 426},
		"an empty one":                  {[]string{""}, header, 426},
	} {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			if c.offered != nil {
				h["Sec-Websocket-Protocol"] = c.offered
			}
			if c.authorization != "" {
				h.Set("Authorization", c.authorization)
			}
			s, r := w.tryDial(0, "/ws/appointments/"+appointment, h)
			if c.status != http.StatusSwitchingProtocols {
				require.Nil(t, s)
				r.problem(t, c.status)
				return
			}
			require.NotNil(t, s, "%s", r.raw)
			s.t = t
			require.Equal(t, []string{"housecall.v1"}, r.header["Sec-Websocket-Protocol"], "never the token")
			s.next("live")
			require.NoError(t, s.Close())
		})
	}
	require.NotContains(t, w.log.String(), token)
}

// No extension is negotiated: compression together with secrets leaks them, and costs memory for each socket. A client
// that compresses all the same breaks the protocol.
func TestApp_NoCompression(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	patient, _, appointment := w.pair()
	d := websocket.Dialer{Subprotocols: []string{"housecall.v1"}, HandshakeTimeout: patience, EnableCompression: true}
	h := http.Header{"Authorization": {"Bearer " + w.token(patient)}}
	ws, resp, err := d.Dial("ws"+strings.TrimPrefix(w.url(0), "http")+"/ws/appointments/"+appointment, h)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Empty(t, resp.Header["Sec-Websocket-Extensions"])
	require.NoError(t, ws.SetReadDeadline(time.Now().Add(patience)))
	s := &socket{ws, t}
	s.next("live")
	_, err = ws.NetConn().Write([]byte{0xC1, 0x82, 0, 0, 0, 0, '{', '}'}) // RSV1: "this is compressed"
	require.NoError(t, err)
	for err == nil {
		var f frame
		err = s.ReadJSON(&f)
		require.NotEqual(t, "bye", f.Type, "what has ended is the protocol below")
	}
	var late net.Error
	require.False(t, errors.As(err, &late) && late.Timeout(), "%v", err)
	require.NoError(t, s.Close())
}

// after is a number from 0; if it is beyond the log, the client has another history.
func TestApp_AfterExtremes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	patient, _, appointment := w.pair()
	head := w.stored(appointment)[len(w.stored(appointment))-1].Seq
	header := http.Header{"Authorization": {"Bearer " + w.token(patient)}}
	for _, after := range []string{
		"-1", "-9223372036854775808", "9223372036854775808", "99999999999999999999", "1.0", "1e3", "0x1", "1_0", " 1", "1 ", "1\x00", "٣", "NaN", "null", "1,2",
	} {
		s, r := w.tryDial(0, "/ws/appointments/"+appointment+"?after="+url.QueryEscape(after), header, "housecall.v1")
		require.Nil(t, s, after)
		require.Equal(t, "invalid", r.problem(t, 422).code(), after)
		require.NotContains(t, r.body["detail"], after+" ", "it is not repeated")
	}
	for _, after := range []string{fmt.Sprint(head + 1), "9223372036854775807"} {
		s := w.dial(0, w.token(patient), appointment, "?after="+after)
		reset := s.next("reset")
		require.Equal(t, []any{head, "history"}, []any{reset.HeadSeq, reset.Reason}, after)
		require.Equal(t, head, s.next("live").HeadSeq)
	}
	for after, first := range map[string]int64{"": 1, "?after=": 1, "?after=0": 1, "?after=00": 1, "?after=1": 2} {
		require.Equal(t, first, w.dial(0, w.token(patient), appointment, after).next("event").Seq, after)
	}
	s := w.dial(0, w.token(patient), appointment, "?after="+fmt.Sprint(head))
	require.Equal(t, head, s.next("live").HeadSeq, "there is nothing to tell")
	s = w.dial(0, w.token(patient), appointment, "?after=1&epoch=another")
	require.Equal(t, "history", s.next("reset").Reason)
}

// A user who must change their password first gets no sockets, however they send their token.
func TestApp_PasswordChangeFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	patient, _, appointment := w.pair()
	token := w.token(patient)
	open := []*socket{w.dial(0, token, appointment, ""), w.inbox(0, token)}
	_, err := w.apps[0].pool.Exec(w.context(), `update users set must_change_password = true where public_id = $1`,
		patient.User().UserID)
	require.NoError(t, err)
	for _, path := range []string{"/ws/appointments/" + appointment, "/ws/inbox"} {
		s, r := w.tryDial(0, path, http.Header{"Authorization": {"Bearer " + token}}, "housecall.v1")
		require.Nil(t, s)
		require.Equal(t, "password_change_required", r.problem(t, 403).code())
		s, r = w.tryDial(0, path, nil, "housecall.v1", "housecall.bearer."+token)
		require.Nil(t, s)
		require.Equal(t, "password_change_required", r.problem(t, 403).code())
	}
	for _, s := range open {
		s.write(object{"type": "auth", "token": token})
		code, _ := s.end()
		require.Equal(t, 4401, code)
	}
}

// inbox opens an inbox.
func (w *world) inbox(n int, token string) *socket {
	w.t.Helper()
	s, r := w.tryDial(n, "/ws/inbox", http.Header{"Authorization": {"Bearer " + token}}, "housecall.v1")
	require.NotNil(w.t, s, "%d %s", r.status, r.raw)
	s.next("hello")
	return s
}

// A token that is sent over the socket has to be valid, and this user's in this role; otherwise the socket ends
// without a reason.
func TestApp_TokensInBand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	patient, doctor, appointment := w.pair()
	token := w.token(patient)
	actor, _, err := w.apps[0].accounts.Authenticate(w.context(), token)
	require.NoError(t, err)
	secrets := w.cfg.Secrets()
	issue := func(a auth.Actor, secrets [][]byte, ttl time.Duration, ago time.Duration) string {
		token, _, err := auth.NewTokens(secrets, ttl, func() time.Time { return time.Now().Add(-ago) }).Issue(a)
		require.NoError(t, err)
		return token
	}
	asDoctor, nobody := actor, actor
	asDoctor.Role, nobody.Session = auth.Doctor, 1<<40
	older, _, err := auth.NewTokens(secrets, time.Hour, time.Now).IssueOlder(actor, auth.AudiencePMS, time.Hour, nil)
	require.NoError(t, err)
	ended := w.signIn(w.url(0), w.emailOf(patient))
	endedToken := w.token(ended)
	require.NoError(t, ended.Logout(w.context()))
	for name, bad := range map[string]string{
		"expired":              issue(actor, secrets, time.Minute, time.Hour),
		"another user's":       w.token(doctor),
		"another role's":       issue(asDoctor, secrets, time.Hour, 0),
		"of no session":        issue(nobody, secrets, time.Hour, 0),
		"of an ended session":  endedToken,
		"forged":               issue(actor, [][]byte{[]byte(strings.Repeat("another secret ", 4))}, time.Hour, 0),
		"of an older API":      older,
		"with something after": token + "x",
		"nonsense":             "nonsense",
		"empty but for blanks": "  ",
	} {
		for _, s := range []*socket{w.dial(0, token, appointment, ""), w.inbox(0, token)} {
			s.write(object{"type": "auth", "token": bad})
			code, bye := s.end()
			require.Equal(t, 4401, code, name)
			require.Equal(t, "the token is not valid for this connection", bye.Reason, name)
		}
		require.NotContains(t, w.log.String(), bad)
	}
	s := w.dial(0, token, appointment, "")
	s.write(object{"type": "auth", "token": issue(actor, secrets, time.Hour, 0)})
	s.next("authOk")
	s.write(object{"type": "auth", "token": issue(actor, secrets, 3*time.Second, 0)}) // the last one counts
	s.next("authOk")
	s.next("authExpiring")
	code, bye := s.end()
	require.Equal(t, []any{4401, "the access token has expired"}, []any{code, bye.Reason})
}

// The end of a token is announced a minute before, once for each token.
func TestApp_AuthExpiring(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, func(c *config.Config) { c.AccessTTL = time.Minute })
	patient, _, appointment := w.pair()
	token := w.token(patient)
	for _, s := range []*socket{w.dial(0, token, appointment, ""), w.inbox(0, token)} {
		s.next("authExpiring")
		s.write(object{"type": "auth", "token": token})
		s.next("authOk")
		s.next("authExpiring")
	}
}
