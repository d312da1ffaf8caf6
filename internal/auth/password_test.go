package auth_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/errs"
)

func TestPasswords(t *testing.T) {
	t.Parallel()
	p, err := auth.NewPasswords()
	require.NoError(t, err)
	hash, err := p.Hash(t.Context(), "correct horse battery")
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$"), "OWASP's minimum")
	again, err := p.Hash(t.Context(), "correct horse battery")
	require.NoError(t, err)
	require.NotEqual(t, hash, again, "salted")
	for name, tc := range map[string]struct {
		password, hash string
		want           bool
	}{
		"right":          {"correct horse battery", hash, true},
		"wrong":          {"correct horse", hash, false},
		"empty":          {"", hash, false},
		"no account":     {"correct horse battery", "", false},
		"the decoy's is": {"a password that nobody has", "", false},
	} {
		ok, err := p.Matches(t.Context(), tc.password, tc.hash)
		require.NoError(t, err, name)
		require.Equal(t, tc.want, ok, name)
	}
	_, err = p.Matches(t.Context(), "x", "not a hash")
	require.Error(t, err)
	require.Equal(t, errs.Internal, errs.KindOf(err))
}

func TestNewPublicID(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, role := range []auth.Role{auth.Patient, auth.Doctor, auth.Admin} {
		for range 1000 {
			id := auth.NewPublicID(auth.PrefixFor(role))
			require.Regexp(t, `^(PAT|DOC|ADM)[0-9A-HJKMNP-TV-Z]{10}$`, id)
			require.False(t, seen[id])
			seen[id] = true
		}
	}
}

func TestActorFrom(t *testing.T) {
	t.Parallel()
	_, ok := auth.ActorFrom(t.Context())
	require.False(t, ok)
	got, ok := auth.ActorFrom(auth.WithActor(t.Context(), ann))
	require.True(t, ok)
	require.Equal(t, ann, got)
	require.False(t, got.IsSystem())
	require.True(t, auth.System.IsSystem())
}
