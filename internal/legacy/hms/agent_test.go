package hms_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/config"
)

// The page of the assistant asks a model over Ollama's API, and shows replies.
func TestRoutes_agent(t *testing.T) {
	t.Parallel()
	const reply = "Rest and drink enough water. See a doctor if it does not get better."
	machine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"message": map[string]any{"content": reply}, "done": true})
	}))
	t.Cleanup(machine.Close)
	w := newWorld(t, func(c *config.Config) {
		c.AssistantURL, c.AssistantModel, c.AssistantPerHour, c.ClinicEmergency = machine.URL, "a-model", 1, "112"
	})
	admin := w.admin()
	pia, cara := w.patient("Pia Patient"), w.doctor(admin, "Dr Cara Lim")
	const path = "/api/patient/agent/chat"
	asks := func(message string) agentSaid {
		t.Helper()
		r := w.call(pia.token, "POST", path, fmt.Sprintf(`{"message":%q}`, message))
		require.Equal(t, 200, r.Status, "%s", r.Raw)
		require.Len(t, r.Body, 2)
		return agentSaid{r.Text("reply"), r.Text("source")}
	}
	golden(t, "agent_chat", w.call(pia.token, "POST", path, `{"message":"What helps against a cough?"}`))
	require.Equal(t, "general", asks("Hello").source)
	require.Equal(t, "non-health", asks("What is the capital of France?").source)
	a := asks("I have chest pain")
	require.Equal(t, "health", a.source)
	require.Contains(t, a.text, "Call 112 now")
	a = asks("What helps against a cold?")
	require.Equal(t, "error", a.source)
	require.Contains(t, a.text, "You can ask again in")

	for _, body := range []string{"", "{}", `{"message":""}`, `{"message":"  "}`, `{"message":null}`} {
		w.refused(w.call(pia.token, "POST", path, body), 400, "Message is required")
	}
	w.refused(w.call(pia.token, "POST", path, `{"message":{}}`), 400, "message must be text")
	w.refused(w.call(pia.token, "POST", path, fmt.Sprintf(`{"message":%q}`, strings.Repeat("x", 2001))), 400,
		"message must have 1 to 2000 characters")
	for _, token := range []string{"", "nonsense", cara.token, admin.token} {
		w.refused(w.call(token, "POST", path, `{"message":"Hello"}`), 401, "ign in")
	}
	require.NotContains(t, w.log.String(), "cough")
}

// agentSaid is a reply of the assistant.
type agentSaid struct{ text, source string }
