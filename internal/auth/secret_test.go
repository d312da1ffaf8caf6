package auth

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNewSecret(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		secret, fingerprint := NewSecret()
		require.Len(t, secret, 43, "256 bits in base64")
		require.Regexp(t, `^[A-Za-z0-9_-]+$`, secret, "safe in a URL")
		require.Equal(t, Fingerprint(secret), fingerprint)
		require.Len(t, fingerprint, 32)
		require.False(t, seen[secret])
		seen[secret] = true
	}
	require.NotEqual(t, Fingerprint("a"), Fingerprint("b"))
}

func TestReference(t *testing.T) {
	t.Parallel()
	first := Reference("mail", "secret", "7")
	require.Equal(t, first, Reference("mail", "secret", "7"))
	require.Len(t, Reference("mail", "secret"), 24)
	for _, other := range []string{
		Reference("mail", "secret7"), Reference("job", "secret", "7"), Reference("mail", "7", "secret"),
	} {
		require.NotEqual(t, Reference("mail", "secret", "7"), other)
	}
}
