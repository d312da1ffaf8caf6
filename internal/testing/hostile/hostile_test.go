package hostile

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMutate: Mutate spoils a frame in many ways, the same with the same seed, and does not change the original.
func TestMutate(t *testing.T) {
	t.Parallel()
	const n = 2000
	different, broken := map[string]bool{}, 0
	one, two := newRandom(1, 2), newRandom(1, 2)
	for i := range n {
		original := Frames[i%len(Frames)]
		before := string(original)
		spoilt := Mutate(one, original)
		require.Equal(t, before, string(original))
		require.Equal(t, spoilt, Mutate(two, original))
		different[string(spoilt)] = true
		if !json.Valid(spoilt) {
			broken++
		}
	}
	require.Greater(t, len(different), n*3/4)
	require.Greater(t, broken, n/4, "some are not JSON")
	require.Less(t, broken, n*9/10, "and some are, so that the code that reads their fields is tested")
}

func TestTarget_OnlyLoopback(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"192.0.2.1:80", "clinic.example:443", "localhost:6001", "nonsense"} {
		_, _, err := Target{Addr: addr}.connect(context.Background())
		require.ErrorContains(t, err, "loopback", addr)
	}
}
