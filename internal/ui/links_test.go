package ui

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLinks(t *testing.T) {
	t.Parallel()
	l := Links{PublicURL: "https://house.example/"}
	require.Equal(t, "https://house.example/verify?token=Ab-_9", l.VerifyEmail("Ab-_9"))
	require.Equal(t, "https://house.example/appointments/APP1", l.Appointment("APP1"))
	require.Equal(t, "https://house.example/", l.Home())
	l.PublicURL = "http://localhost:6001"
	require.Equal(t, "http://localhost:6001/invitation?token=x", l.Invitation("x"))
	u, err := url.Parse(l.PasswordReset("a b&c=d#e"))
	require.NoError(t, err)
	require.Equal(t, "a b&c=d#e", u.Query().Get("token"))
}
