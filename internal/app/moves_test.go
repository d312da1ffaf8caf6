package app

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
)

// Every move has a kind of mail, or is known to need none.
func TestKinds_everyMove(t *testing.T) {
	t.Parallel()
	for _, m := range appointment.Moves {
		_, mails := kinds[m]
		require.NotEqual(t, mails, slices.Contains(silent, m), m)
	}
	require.Len(t, appointment.Moves, len(kinds)+len(silent))
}
