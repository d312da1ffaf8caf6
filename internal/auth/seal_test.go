package auth_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
)

func TestSealer_Open(t *testing.T) {
	t.Parallel()
	old, err := auth.NewSealer([][]byte{[]byte("an old secret of some length")})
	require.NoError(t, err)
	rotated, err := auth.NewSealer([][]byte{
		[]byte("a new secret of some length"), []byte("an old secret of some length"),
	})
	require.NoError(t, err)
	sealed := old.Seal("cursor", []byte("17"))

	plain, err := rotated.Open("cursor", sealed)
	require.NoError(t, err, "what an old secret sealed stays readable while all know it")
	require.Equal(t, "17", string(plain))

	_, err = old.Open("job", sealed)
	require.ErrorIs(t, err, auth.ErrSeal, "another purpose")
	_, err = old.Open("cursor", rotated.Seal("cursor", []byte("17")))
	require.ErrorIs(t, err, auth.ErrSeal, "a secret it does not know")
	require.NotEqual(t, sealed, old.Seal("cursor", []byte("17")), "equal values cannot be told")
}

func FuzzSealer_Open(f *testing.F) {
	s, err := auth.NewSealer([][]byte{[]byte("a secret of some length")})
	require.NoError(f, err)
	genuine := s.Seal("cursor", []byte("17"))
	f.Add(genuine)
	f.Add("")
	f.Add(genuine[:20])
	f.Fuzz(func(t *testing.T, text string) {
		plain, err := s.Open("cursor", text)
		if err == nil && string(plain) != "17" {
			t.Fatalf("opened %q to %q", text, plain)
		}
	})
}
