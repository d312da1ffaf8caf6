package config

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConfig_Link(t *testing.T) {
	t.Parallel()
	c := Config{PublicURL: "https://house.example/"}
	require.Equal(t, "https://house.example/verify?token=Ab-_9", c.Link(VerifyPath, "Ab-_9"))
	c.PublicURL = "http://localhost:6001"
	require.Equal(t, "http://localhost:6001/invitation?token=x", c.Link(InvitationPath, "x"))
	u, err := url.Parse(c.Link(ResetPath, "a b&c=d#e"))
	require.NoError(t, err)
	require.Equal(t, "a b&c=d#e", u.Query().Get("token"))
}
