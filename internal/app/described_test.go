package app

import (
	"crypto/rand"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/config"
	"housecall/internal/testing/apitest"
)

// What a route's type writes is what /openapi.json says of it, for all routes of an instance.
func TestApp_WritesWhatItDescribes(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.DatabaseURL, cfg.RedisURL = "postgres://nobody@127.0.0.1:1/none", "redis://127.0.0.1:1"
	cfg.TokenSecrets = []config.Secret{config.Secret(rand.Text() + rand.Text())}
	cfg.MailDir, cfg.AttachmentsDir = t.TempDir(), t.TempDir()
	a, err := New(cfg, zerolog.Nop()) // it connects to nothing until Start
	require.NoError(t, err)
	t.Cleanup(a.closeClients)
	require.Greater(t, len(a.http.Outputs()), 50)
	require.NoError(t, apitest.CheckWritten(a.http))
}
