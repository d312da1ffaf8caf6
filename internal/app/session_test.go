package app

import (
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/client"
	"housecall/internal/testing/pgtest"
)

// After a session is revoked, REST refuses it at once on every instance, and then its sockets end.
func TestApp_RevokedSession(t *testing.T) {
	t.Parallel()
	t.Run("with Redis", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 2)
		w.endings(t)
	})
	t.Run("without Redis", func(t *testing.T) {
		t.Parallel()
		server := pgtest.Redis(t)
		w := newWorldOver(t, pgtest.DSN(t), server.URL(), 2)
		w.ready(1, 200, "ready")
		require.NoError(t, server.Kill())
		w.endings(t)
	})
	t.Run("while Redis hangs", func(t *testing.T) {
		t.Parallel()
		server := pgtest.Redis(t)
		w := newWorldOver(t, pgtest.DSN(t), server.URL(), 2)
		w.ready(1, 200, "ready")
		server.Pause()
		defer server.Resume()
		w.endings(t)
	})
}

// endings ends sessions in every way there is.
func (w *world) endings(t *testing.T) {
	admin := w.person(auth.Admin).at(1)
	doctor := w.person(auth.Doctor).at(1)
	for name, end := range map[string]func(t *testing.T, p *person, victim, other *client.API){
		"logout": func(t *testing.T, _ *person, victim, _ *client.API) {
			require.NoError(t, w.anyoneAs(victim, "POST", "/api/v1/auth/logout", ""))
		},
		"revoked from another device": func(t *testing.T, _ *person, victim, other *client.API) {
			list := w.call(0, w.token(victim), "GET", "/api/v1/me/sessions", "")
			var id string
			for _, item := range list.body["items"].([]any) {
				if s := item.(object); s["current"] == true {
					id = s["id"].(string)
				}
			}
			require.NoError(t, w.anyoneAs(other, "DELETE", "/api/v1/me/sessions/"+id, ""))
		},
		"another role": func(t *testing.T, p *person, _, _ *client.API) {
			require.NoError(t, w.anyoneAs(admin, "PUT", "/api/v1/users/"+p.userID+"/role", `{"role":"DOCTOR"}`))
		},
		"disabled": func(t *testing.T, p *person, _, _ *client.API) {
			require.NoError(t, w.anyoneAs(admin, "POST", "/api/v1/users/"+p.userID+"/disable", ""))
		},
		"another password": func(t *testing.T, _ *person, _, other *client.API) {
			require.NoError(t, w.anyoneAs(other, "PUT", "/api/v1/me/password",
				`{"currentPassword":"`+password+`","newPassword":"quite-another-passphrase-8"}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func(parent *testing.T) { w.t = parent }(w.t)
			w.t = t
			p := w.person(auth.Patient)
			victim, other := p.at(0), p.at(1)
			appointment := w.book(victim, doctor)
			token := w.token(victim)
			sockets := []*socket{w.dial(0, token, appointment, ""), w.dial(1, token, appointment, "")}
			for _, s := range sockets {
				s.t = t
				s.next("live")
			}
			end(t, p, victim, other)
			for n := range w.apps {
				w.call(n, token, "GET", "/api/v1/me", "").problem(t, 401)
			}
			for _, s := range sockets {
				code, _ := s.end()
				require.Equal(t, 4401, code)
			}
			d := w.dial(1, w.token(doctor), appointment, "")
			d.t = t
			d.next("live") // nobody else was affected
		})
	}
}

// anyoneAs sends a request to the second instance with somebody's token, and requires success.
func (w *world) anyoneAs(api *client.API, method, path, body string) error {
	r, err := w.try(1, w.token(api), method, path, body)
	if err == nil && r.status >= 300 {
		return &client.Problem{Status: r.status, Detail: string(r.raw)}
	}
	return err
}

// A message of a session that has ended is not committed, even before its socket is closed.
func TestApp_EndedSessionCannotSend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	patient, _, appointment := w.pair()
	s := w.dial(0, w.token(patient), appointment, "")
	s.next("live")
	_, err := w.apps[0].pool.Exec(
		w.context(),
		`update sessions set ended_at = now(), end_reason = 'revoked' where user_id =
		(select id from users where public_id = $1)`,
		patient.User().UserID,
	)
	require.NoError(t, err)
	id := client.NewClientID()
	_ = s.WriteJSON(object{"type": "send", "clientId": id, "text": "from beyond"}) // the poll may have closed it already
	code, _ := s.end()
	require.Equal(t, 4401, code, "the poll finds it without a broadcast")
	for _, e := range w.stored(appointment) {
		require.NotEqual(t, id, e.ClientID)
	}
}

// Tokens are renewed on an open socket, and their end is announced.
func TestApp_TokenRenewal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	patient, _, appointment := w.pair()
	first := w.token(patient)
	s := w.dial(1, first, appointment, "")
	s.next("live")
	require.NoError(t, patient.Refresh(w.context()))
	s.write(object{"type": "auth", "token": w.token(patient)})
	s.next("authOk")
	// Another session of the same user takes over: the socket now ends with that one.
	other := w.signIn(w.url(0), w.emailOf(patient))
	s.write(object{"type": "auth", "token": w.token(other)})
	s.next("authOk")
	require.NoError(t, patient.Logout(w.context()))
	s.write(object{"type": "send", "clientId": client.NewClientID(), "text": "still here"})
	s.next("ack")
	require.NoError(t, other.Logout(w.context()))
	code, _ := s.end()
	require.Equal(t, 4401, code)
}
