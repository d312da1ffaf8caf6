package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseSMTP(t *testing.T) {
	t.Parallel()
	for url, want := range map[Secret]SMTP{
		"smtp://ann:s%40cret@mail.example":      {Host: "mail.example", Port: 587, User: "ann", Password: "s@cret"},
		"smtp://ann:secret@mail.example:2525":   {Host: "mail.example", Port: 2525, User: "ann", Password: "secret"},
		"smtps://ann:secret@mail.example":       {Host: "mail.example", Port: 465, User: "ann", Password: "secret", Implicit: true},
		"smtps://ann:secret@mail.example:1465/": {Host: "mail.example", Port: 1465, User: "ann", Password: "secret", Implicit: true},
		"smtp://localhost:1025?tls=none":        {Host: "localhost", Port: 1025, Plain: true},
		"smtp://[::1]:25":                       {Host: "::1", Port: 25},
	} {
		got, err := ParseSMTP(url)
		require.NoError(t, err, url.Reveal())
		require.Equal(t, want, got)
	}
}

func FuzzParseSMTP(f *testing.F) {
	for _, s := range []string{"smtp://ann:secret@mail.example:587", "smtps://h", "smtp://h?tls=none", "smtp://h?tls=none&tls=none", "://", "smtp://\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		server, err := ParseSMTP(Secret(s))
		if err != nil {
			require.Equal(t, errSMTP, err, "nothing of the value")
			return
		}
		require.NotEmpty(t, server.Host)
		require.True(t, server.Port >= 1 && server.Port <= 65535)
		require.False(t, server.Plain && (server.User != "" || server.Implicit), "no credentials in clear")
	})
}

func TestFrom_Mail(t *testing.T) {
	t.Parallel()
	e := with("SMTP_URL", "smtp://ann:secret@mail.example")
	_, err := From(e)
	require.ErrorContains(t, err, "HOUSECALL_MAIL_FROM must be set if SMTP_URL is")
	e["HOUSECALL_MAIL_FROM"] = "The Clinic <no-reply@clinic.example>"
	c, err := From(e)
	require.NoError(t, err)
	require.Equal(t, "no-reply@clinic.example", c.Sender().Address)
	require.Equal(t, "The Clinic", c.Sender().Name)
}

func TestFrom_ConnectionsForJobs(t *testing.T) {
	t.Parallel()
	e := with("JOB_WORKERS", "10")
	_, err := From(e)
	require.ErrorContains(t, err, "HOUSECALL_DATABASE_MAX_CONNS must be at least COMMIT_LANES + JOB_WORKERS + 3")
	e["HOUSECALL_DATABASE_MAX_CONNS"] = "17"
	_, err = From(e)
	require.NoError(t, err)
}
