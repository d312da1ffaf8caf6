package chat

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/testing/pgtest"
)

// Opening a connection takes one trip to PostgreSQL for the right to the conversation, one for its state with its
// appointment, and one for each page of events; the session, which accounts look up, comes before them. Sending over
// REST takes one for the right and one for the commit.
func TestSocket_RoundTrips(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.Conversation()
	w.fill(id, recentLimit)
	pool, trips := pgtest.Counted(t, w.DSN)
	in := w.instanceOver(pool, alone(), nil)
	in.conversations.Start() // without the loops of chat, which ask as well
	t.Cleanup(func() { in.conversations.Stop(context.Background()) })
	in.answer()
	t.Cleanup(func() { in.svc.Drain(context.Background()) })
	for query, want := range map[string]int{fmt.Sprintf("after=%d", recentLimit): 2, "after=10": 3, "": 4} {
		n, statements := trips.Of(func() { in.dial(t, w.Patient, id, query).until("live") })
		require.Equal(t, want, n, "%q: %v", query, statements)
	}
	n, statements := trips.Of(func() {
		a := in.rest(w.Patient, "POST", "/appointments/"+in.PublicID(id)+"/messages",
			`{"clientId":"6f1a0c52-7c39-4a70-9a3e-0d2f5c1b8e11","text":"x"}`)
		require.Equal(t, 201, a.Status, "%s", a.Raw)
	})
	require.Equal(t, 2, n, "%v", statements)
}
