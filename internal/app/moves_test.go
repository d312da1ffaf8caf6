package app

import (
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
)

// Every move has a kind of mail, or is known to need none.
func TestKinds_everyMove(t *testing.T) {
	t.Parallel()
	for _, m := range appointment.Moves {
		require.Contains(t, kinds, m)
	}
	require.Len(t, kinds, len(appointment.Moves))
}
