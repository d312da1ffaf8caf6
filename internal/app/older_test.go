package app

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/httpd"
)

// older sends a request to an instance's older PMS API.
func (w *world) older(n int, token, method, path, body string) (reply, object) {
	w.t.Helper()
	r := w.call(n, token, method, "/web"+path, body)
	var envelope struct {
		Success *bool           `json:"success"`
		Data    json.RawMessage `json:"data"`
	}
	require.NoError(w.t, json.Unmarshal(r.raw, &envelope), string(r.raw))
	require.NotNil(w.t, envelope.Success, "in its envelope: %s", r.raw)
	var data object
	_ = json.Unmarshal(envelope.Data, &data) // fails for lists, which the tests do not need
	return r, data
}

func (w *world) olderToken(n int, email string) string {
	w.t.Helper()
	_, data := w.older(n, "", "POST", "/user/login", `{"email":"`+email+`","password":"`+password+`"}`)
	token, _ := data["authToken"].(string)
	require.NotEmpty(w.t, token)
	return token
}

// A sign-in to the older API is valid on every instance until its session ends on one of them.
func TestApp_OlderAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	admin, pia := w.person(auth.Admin), w.person(auth.Patient)
	token := w.olderToken(0, pia.email)
	r, entry := w.older(1, token, "GET", "/patient/list", "")
	require.Equal(t, 200, r.status)
	require.NotEmpty(t, entry["patientId"], "a native patient has an entry")
	require.Equal(t, 401, w.call(1, token, "GET", "/api/v1/me", "").status, "it is valid only there")
	require.NoError(t, w.anyoneAs(admin.at(1), "POST", "/api/v1/users/"+pia.userID+"/disable", ""))
	r, _ = w.older(0, token, "GET", "/patient/list", "")
	require.Equal(t, 403, r.status)
	r, _ = w.older(1, "", "GET", "/nowhere", "")
	require.Equal(t, 404, r.status)
	require.NotContains(t, w.log.String(), token)
}

// A user who signed up over the older API is in the registry once they book, over whichever API.
func TestApp_OlderAPI_FirstBooking(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	doctor := w.person(auth.Doctor)
	_, made := w.older(
		0, "", "POST", "/user/register",
		`{"name":"Nia Rai","email":"nia@private.test","contact":"9841000000",
		"dateOfBirth":"1990-02-28","gender":"2","address":"Lane 1","password":"`+password+`"}`,
	)
	require.EqualValues(t, 3, made["role"])
	nia := w.token(w.signIn(w.url(0), "nia@private.test"))
	require.Equal(t, 200, w.call(0, nia, "GET", "/api/v1/me", "").status)
	require.Empty(t, w.call(0, nia, "GET", "/api/v1/patients", "").body["items"])
	require.Empty(t, w.call(0, nia, "GET", "/api/v1/appointments", "").body["items"])

	body := `{"doctorId":"` + doctor.userID + `","reason":"Cough"}`
	r := w.call(0, nia, "POST", "/api/v1/appointments", body)
	require.Equal(t, 201, r.status, string(r.raw))
	require.Len(t, w.call(0, nia, "GET", "/api/v1/patients", "").body["items"], 1)
	number, err := json.Marshal(made["userId"])
	require.NoError(t, err)
	r, _ = w.older(0, w.olderToken(0, doctor.email), "POST", "/patient/register/"+string(number), "")
	require.Equal(t, "Already a registered patient", r.body["message"], string(r.raw))
}

func TestApp_OlderAPI_Off(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, func(c *config.Config) { c.LegacyPMS = false })
	r := w.call(0, "", "POST", "/web/user/login", `{}`)
	require.Equal(t, 404, r.status)
	require.Equal(t, httpd.ProblemType, r.header.Get("Content-Type"))
}
