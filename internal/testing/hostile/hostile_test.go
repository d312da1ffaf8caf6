package hostile

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMutate: it spoils what it is given, in many ways, the same ways each time, and not the original.
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
	require.Greater(t, broken, n/4, "some are no JSON")
	require.Less(t, broken, n*9/10, "and some are, so that what reads their fields is tested too")
}

func TestTarget_OnlyLoopback(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"192.0.2.1:80", "clinic.example:443", "localhost:6001", "nonsense"} {
		_, _, err := Target{Addr: addr}.connect(context.Background())
		require.ErrorContains(t, err, "loopback", addr)
	}
}
