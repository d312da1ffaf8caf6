package chat

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/testing/apitest"
)

// knows signs users in to an instance.
func (in *instance) knows(actors ...auth.Actor) {
	in.accounts.mu.Lock()
	defer in.accounts.mu.Unlock()
	for _, a := range actors {
		in.accounts.actors[a.UserID] = a
	}
}

// rest asks an instance for something below /api/v1; body may be "".
func (in *instance) rest(a auth.Actor, method, path, body string) apitest.Answer {
	in.T.Helper()
	var sent any
	if body != "" {
		sent = json.RawMessage(body)
	}
	answer := in.api.Ask(method, path, a.UserID, sent)
	require.NotNil(in.T, answer.Body, "%s", answer.Raw)
	return answer
}

// goldenRest compares an answer with its golden file.
func goldenRest(t *testing.T, name string, a apitest.Answer) {
	t.Helper()
	apitest.Golden(t, "rest_"+name, a, apitest.MaskMember("at"), apitest.MaskMember("appointmentId"),
		apitest.MaskMember("nextCursor"))
}
