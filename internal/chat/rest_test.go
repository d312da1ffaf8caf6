package chat

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/testing/apitest"
)

// knows signs users in at an instance.
func (in *instance) knows(actors ...auth.Actor) {
	in.accounts.mu.Lock()
	defer in.accounts.mu.Unlock()
	for _, a := range actors {
		in.accounts.actors[a.UserID] = a
	}
}

// restAnswer is an answer of the REST API.
type restAnswer struct {
	apitest.Answer
	status int
	raw    []byte
	body   map[string]any
}

// rest asks an instance for something below /api/v1; body may be "".
func (in *instance) rest(a auth.Actor, method, path, body string) restAnswer {
	in.T.Helper()
	var sent any
	if body != "" {
		sent = json.RawMessage(body)
	}
	answer := in.api.Ask(method, path, a.UserID, sent)
	out := restAnswer{Answer: answer, status: answer.Status, raw: answer.Raw}
	require.NoError(in.T, json.Unmarshal(answer.Raw, &out.body), "%s", answer.Raw)
	return out
}

// goldenRest holds an answer against its file.
func goldenRest(t *testing.T, name string, a restAnswer) {
	t.Helper()
	apitest.Golden(t, "rest_"+name, a.Answer, apitest.MaskMember("at"), apitest.MaskMember("appointmentId"),
		apitest.MaskMember("nextCursor"))
}
