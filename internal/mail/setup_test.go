package mail

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// requireSame requires the error; nil means that there is none.
func requireSame(t *testing.T, want *Error, got error) {
	t.Helper()
	if want == nil {
		require.NoError(t, got)
		return
	}
	var e *Error
	require.ErrorAs(t, got, &e)
	require.Equal(t, want, e)
}

// Each of the mistakes that people make when they set up mail reads differently.
func TestSMTP_Send_setUpWrongly(t *testing.T) {
	t.Parallel()
	cert, trust := certificate(t)
	withoutTLS := (&server{}).start(t, nil, false)
	tlsFromStart := (&server{}).start(t, &cert, true)
	signIn := (&server{}).start(t, &cert, false)
	signIn.User, signIn.Password = "clinic", "wrong"
	noAuth, _ := script(t, map[string]string{"EHLO": "250 mail.test"})
	noAuth.User, noAuth.Password = "clinic", "secret"
	notTLS, noSTARTTLS := withoutTLS, withoutTLS
	notTLS.Implicit, notTLS.Plain, noSTARTTLS.Plain = true, false, false
	for name, c := range map[string]struct {
		at    Server
		trust *tls.Config
		want  Error
	}{
		"no such host":   {Server{Host: "mail.invalid", Port: 587}, trust, Error{Cause: NoSuchHost}},
		"refused":        {Server{Host: "127.0.0.1", Port: freePort(t)}, trust, Error{Cause: Refused}},
		"untrusted":      {tlsFromStart, nil, Error{Cause: Untrusted}},
		"another name":   {tlsFromStart, &tls.Config{RootCAs: trust.RootCAs, ServerName: "x.test"}, Error{Cause: Untrusted}},
		"not TLS":        {notTLS, trust, Error{Cause: NotTLS}},
		"no STARTTLS":    {noSTARTTLS, trust, Error{Cause: NoSTARTTLS}},
		"no AUTH":        {noAuth, trust, Error{Cause: NoAUTH}},
		"wrong password": {signIn, trust, Error{Code: 535, Enhanced: "5.7.8", Cause: WrongPassword}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := NewSMTP(c.at, clinic, c.trust)
			require.NoError(t, err)
			c.want.Stage = stageConnect
			err = s.Send(t.Context(), message())
			requireSame(t, &c.want, err)
			require.ErrorContains(t, err, string(c.want.Cause))
			require.NotContains(t, err.Error(), "127.0.0.1")
		})
	}
}

// patiently records how long each read from a server may take.
type patiently struct {
	net.Conn
	said func(time.Duration)
}

// SetReadDeadline implements net.Conn.
func (p patiently) SetReadDeadline(at time.Time) error {
	p.said(time.Until(at).Round(time.Second))
	return p.Conn.SetReadDeadline(at)
}

// The server's answers get the times of RFC 5321, 4.5.3.2: a server that checks a message for minutes has it, and who
// does not wait for the answer sends it twice.
func TestSMTP_Send_waits(t *testing.T) {
	t.Parallel()
	at, _ := script(t, nil)
	s := sender(t, at)
	var waits []time.Duration
	dial := s.dial
	s.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		return patiently{c, func(d time.Duration) { waits = append(waits, d) }}, err
	}
	require.NoError(t, s.Send(t.Context(), message()))
	require.Equal(t, []time.Duration{
		5 * time.Minute, 5 * time.Minute, 5 * time.Minute, 5 * time.Minute, // the greeting, EHLO, MAIL, RCPT
		2 * time.Minute, 10 * time.Minute, 10 * time.Second, // DATA, the final dot, QUIT
	}, waits)
}
