package app

import (
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/client"
)

// An administrator with break-glass access observes on every instance until they are no longer an administrator, or
// somebody ends the access; both participants see it.
func TestApp_BreakGlass(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	patient, doctor, appointment := w.pair()
	_, err := patient.SendMessage(w.context(), appointment, client.NewClientID(), "It hurts.")
	require.NoError(t, err)
	chief := w.person(auth.Admin).at(1)
	for name, c := range map[string]struct {
		end    func(p *person, glass string) error
		closed []int // with any of these codes
		status int   // of REST after it
	}{
		"ended by another": {func(_ *person, glass string) error {
			return w.anyoneAs(chief, "POST", "/api/v1/admin/break-glass/"+glass+"/end", "")
		}, []int{4403}, 404},
		"demoted": {func(p *person, _ string) error {
			return w.anyoneAs(chief, "PUT", "/api/v1/users/"+p.userID+"/role", `{"role":"PATIENT"}`)
		}, []int{4401, 4403}, 401},
		"disabled": {func(p *person, _ string) error {
			return w.anyoneAs(chief, "POST", "/api/v1/users/"+p.userID+"/disable", "")
		}, []int{4401, 4403}, 401},
	} {
		p := w.person(auth.Admin)
		admin := p.at(0)
		token, messages := w.token(admin), "/api/v1/appointments/"+appointment+"/messages"
		w.call(1, token, "GET", messages, "").problem(t, 404)
		r := w.call(0, token, "POST", "/api/v1/admin/break-glass",
			`{"appointmentId":"`+appointment+`","reason":"A complaint of the patient."}`)
		require.Equal(t, 201, r.status, "%s: %s", name, r.raw)
		glass, _ := r.body["id"].(string)
		seen := w.call(1, token, "GET", messages, "")
		require.Equal(t, 200, seen.status, "%s", seen.raw)
		require.Contains(t, string(seen.raw), "It hurts.")
		for _, api := range []*client.API{patient, doctor} {
			require.Contains(t, string(w.call(1, w.token(api), "GET", messages, "").raw),
				"An administrator, "+admin.User().Name+", has opened this conversation")
		}
		sockets := []*socket{w.dial(0, token, appointment, ""), w.dial(1, token, appointment, "")}
		for _, s := range sockets {
			s.next("live")
		}
		require.NoError(t, c.end(p, glass), name)
		for _, s := range sockets {
			code, _ := s.end()
			require.Contains(t, c.closed, code, name)
		}
		w.call(1, token, "GET", messages, "").problem(t, c.status)
	}
}

// A conversation that was closed because its doctor left is open again once they come back.
func TestApp_DoctorComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	p, d := w.person(auth.Patient), w.person(auth.Doctor)
	patient := p.at(0)
	appointment := w.book(patient, d.at(0))
	w.pools(func(exec func(sql string, args ...any)) {
		exec(`update appointments set starts_at = now() - interval '2 hours', ends_at = now() - interval '1 hour'`)
	})
	admin := w.token(w.person(auth.Admin).at(0))
	state := "/api/v1/appointments/" + appointment + "/conversation"
	s := w.dial(0, w.token(patient), appointment, "")
	s.next("live")
	require.Equal(t, 200, w.call(0, admin, "POST", "/api/v1/users/"+d.userID+"/disable", "").status)
	require.Equal(t, "doctor_unavailable", s.next("appointment").WhyNot)
	r := w.call(0, w.token(patient), "GET", state, "")
	require.Equal(t, []any{false, "doctor_unavailable"}, []any{r.body["canReply"], r.body["whyNot"]})
	require.Equal(t, 200, w.call(0, admin, "POST", "/api/v1/users/"+d.userID+"/enable", "").status)
	require.True(t, s.next("appointment").CanReply)
	_, err := patient.SendMessage(w.context(), appointment, client.NewClientID(), "There you are.")
	require.NoError(t, err)
}
