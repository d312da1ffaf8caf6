package deploytest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/client"
)

const password = "a long enough passphrase 7"

// stopGrace is how long compose lets an instance take to stop.
func stopGrace(t testing.TB) time.Duration {
	t.Helper()
	return time.Duration(*compose(t).Services["app1"].StopGracePeriod)
}

func dialerFrom(t testing.TB, address string) *net.Dialer {
	t.Helper()
	ip, err := netip.ParseAddr(address)
	require.NoError(t, err)
	return &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, 0))}
}

// register makes a patient and signs them in.
func register(t testing.TB, url, name string, opts ...client.Option) *client.API {
	t.Helper()
	api := newAPI(t, url, opts...)
	email := name + "@clinic.test"
	_, err := api.Register(t.Context(), name, email, password)
	require.NoError(t, err)
	_, err = api.Login(t.Context(), email, password)
	require.NoError(t, err)
	return api
}

func newAPI(t testing.TB, url string, opts ...client.Option) *client.API {
	t.Helper()
	api, err := client.New(url, append([]client.Option{client.WithHTTPClient(webClient(t))}, opts...)...)
	require.NoError(t, err)
	return api
}

// clinic is a doctor with confirmed appointments, one for each patient, made through the balancer.
type clinic struct {
	doctor       *client.API
	patients     []*client.API
	appointments []client.Appointment
}

func openClinic(t testing.TB, s *site, url string, patients int) *clinic {
	t.Helper()
	ctx, c := t.Context(), &clinic{}
	s.createAdmin(t, "admin@clinic.test")
	admin := newAPI(t, url)
	_, err := admin.Login(ctx, "admin@clinic.test", password)
	require.NoError(t, err)
	invitation, err := admin.InviteDoctor(ctx,
		client.NewDoctor{Name: "Ada Doctor", Email: "doctor@clinic.test", Specialization: "Cardiology"})
	require.NoError(t, err)
	c.doctor = newAPI(t, url)
	require.NoError(t, c.doctor.AcceptInvitation(ctx, invitation, password))
	doctor, err := c.doctor.Login(ctx, "doctor@clinic.test", password)
	require.NoError(t, err)

	tomorrow := time.Now().AddDate(0, 0, 1)
	slots, err := c.doctor.Slots(ctx, doctor.UserID, tomorrow, tomorrow.AddDate(0, 0, 2))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(slots), patients)
	for n := range patients {
		patient := register(t, url, fmt.Sprintf("patient%d", n))
		booked, err := patient.Book(ctx, doctor.UserID, slots[n].StartsAt, "check-up")
		require.NoError(t, err)
		confirmed, err := c.doctor.Confirm(ctx, booked.ID, nil)
		require.NoError(t, err)
		require.Equal(t, "BOOKED", confirmed.Status)
		c.patients = append(c.patients, patient)
		c.appointments = append(c.appointments, confirmed)
	}
	return c
}

// testTrustedProxies: which address an instance takes as the client's.
func testTrustedProxies(t *testing.T, img *image) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("only on Linux is 127.0.0.2 this machine without further ado")
	}
	s := startSite(t, img)
	trusting := s.start(t, freeAddress(t), nil).address
	wary := s.start(t, freeAddress(t), map[string]string{"HOUSECALL_TRUSTED_PROXIES": ""}).address
	behind := startBalancer(t, trusting, trusting).url
	forged := http.Header{"X-Forwarded-For": {"203.0.113.9"}}
	n := 0
	for name, c := range map[string]struct {
		url  string
		sent http.Header
		want string
	}{
		"through the balancer":                            {behind, nil, "127.0.0.2"},
		"through the balancer, forged":                    {behind, forged, "127.0.0.2"},
		"through the balancer, which is not trusted":      {startBalancer(t, wary, wary).url, nil, "127.0.0.1"},
		"past the balancer, forged":                       {"http://" + trusting, forged, "127.0.0.2"},
		"past the balancer, forged, nobody being trusted": {"http://" + wary, forged, "127.0.0.2"},
	} {
		n++
		email := fmt.Sprintf("visitor%d", n)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.sent = c.sent.Clone()
			visitor := from(t, "127.0.0.2")
			visitor.Transport = adding{visitor.Transport, c.sent}
			api := register(t, c.url, email, client.WithHTTPClient(visitor))
			require.Equal(t, c.want, sessionAddress(t, api))
		})
	}
}

// adding adds headers to every request.
type adding struct {
	http.RoundTripper
	header http.Header
}

func (a adding) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, values := range a.header {
		r.Header[name] = values
	}
	return a.RoundTripper.RoundTrip(r)
}

// sessionAddress returns the address from which the user has signed in, according to the service.
func sessionAddress(t testing.TB, api *client.API) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	token, err := api.Token(ctx)
	require.NoError(t, err)
	got := ask(t, http.MethodGet, api.BaseURL()+"/api/v1/me/sessions", nil,
		http.Header{"Authorization": {"Bearer " + token}})
	require.Equal(t, http.StatusOK, got.status, got.body)
	var sessions struct{ Items []struct{ Address string } }
	require.NoError(t, json.Unmarshal([]byte(got.body), &sessions))
	require.Len(t, sessions.Items, 1)
	return sessions.Items[0].Address
}
