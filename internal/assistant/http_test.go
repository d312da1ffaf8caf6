package assistant

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/httpd"
	"housecall/internal/testing/apitest"
	"housecall/internal/testing/clinictest"
)

func serve(t *testing.T, w *world, people *clinictest.World) *apitest.API {
	t.Helper()
	return apitest.Serve(t, apitest.Options{
		Routes:        func(s *httpd.Server) { routes(s, w.svc, 10*time.Millisecond) },
		Authenticator: apitest.ByPublicID(people.Pool),
	})
}

func asking(message string) map[string]any { return map[string]any{"message": message} }

func TestHTTP(t *testing.T) {
	t.Parallel()
	people := clinictest.New(t)
	w := newWorld(t, Ollama, func(o *Options) { o.PerHour = 2 })
	api, patient := serve(t, w, people), people.Patient.UserID
	w.machine.says(advised)

	a := api.Ask("GET", "/me/assistant", patient, nil)
	require.Equal(t, 200, a.Status)
	apitest.Golden(t, "about", a)
	a = api.Ask("POST", "/me/assistant", patient, asking(question))
	require.Equal(t, 200, a.Status)
	require.Equal(t, "application/json", a.Header.Get("Content-Type"))
	require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	apitest.Golden(t, "answer", a)
	a = api.Ask("POST", "/me/assistant", patient, asking(question), "Accept", "text/event-stream")
	require.Equal(t, 200, a.Status)
	require.Equal(t, "text/event-stream", a.Header.Get("Content-Type"))
	require.Equal(t, "no", a.Header.Get("X-Accel-Buffering"))
	require.Contains(t, a.Header.Get("Vary"), "Accept")
	require.Empty(t, a.Header.Get("Content-Disposition"))
	apitest.GoldenFile(t, "answer.txt", []byte(strings.ReplaceAll(a.String(), ":\n\n", "")))

	for _, accept := range []string{"text/event-stream", "application/json"} {
		a = api.Ask("POST", "/me/assistant", patient, asking(question), "Accept", accept)
		require.Equal(t, 429, a.Status)
		require.Equal(t, "assistant_limit", a.Text("code"))
		require.NotEmpty(t, a.Header.Get("Retry-After"))
		a = api.Ask("POST", "/me/assistant", patient, asking("severe chest pain"), "Accept", accept)
		require.Contains(t, a.String(), "Call 112 now")
	}
	for body, status := range map[string]int{
		`{}`: 422, `{"message":""}`: 422, `{"message":" "}`: 422, `{"message":5}`: 422, `{"message":"x","more":1}`: 422, `[`: 400,
		`{"message":"` + strings.Repeat("private", MaxChars) + `"}`: 422,
	} {
		a = api.Ask("POST", "/me/assistant", patient, body)
		require.Equal(t, status, a.Status, a.String())
		require.NotContains(t, a.String(), "private")
	}
	for _, method := range []string{"GET", "POST"} {
		require.Equal(t, 403, api.Ask(method, "/me/assistant", people.Doctor.UserID, asking(question)).Status)
		require.Equal(t, 401, api.Ask(method, "/me/assistant", "", asking(question)).Status)
	}
	require.Len(t, w.machine.requests(), 2)

	var document struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct{ Content map[string]any }
		}
	}
	require.NoError(t, json.Unmarshal(api.Under("").Ask("GET", "/openapi.json", "", nil).Raw, &document))
	content := document.Paths["/api/v1/me/assistant"]["post"].Responses["200"].Content
	require.Contains(t, content, "application/json")
	require.Contains(t, content, "text/event-stream")
}

// While the model is silent the stream says that it is alive; if the client leaves, the model is no longer asked.
func TestHTTP_leaves(t *testing.T) {
	t.Parallel()
	people := clinictest.New(t)
	each(t, func(t *testing.T, api API) {
		w := newWorld(t, api)
		site := serve(t, w, people)
		left := make(chan struct{})
		w.machine.does(func(rw http.ResponseWriter, r *http.Request) {
			w.machine.write(rw, "Rest and drink enough water for a few days. And")
			<-r.Context().Done()
			close(left)
		})
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		req, err := site.Request("POST", "/me/assistant", people.Patient.UserID, asking(question), "Accept", eventStream)
		require.NoError(t, err)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Do(req.WithContext(ctx))
		require.NoError(t, err)
		defer resp.Body.Close()
		lines, heard, beats := bufio.NewScanner(resp.Body), false, 0
		for lines.Scan() && (!heard || beats < 3) {
			heard = heard || strings.HasPrefix(lines.Text(), `data: {"text":"Rest`)
			if lines.Text() == ":" {
				beats++
			}
		}
		require.True(t, heard, "the first part comes before the end")
		require.GreaterOrEqual(t, beats, 3, "it says that it is alive")
		leave()
		<-left
		require.Empty(t, w.log.String())
	})
}

// A stop does not wait for a model.
func TestHTTP_stop(t *testing.T) {
	t.Parallel()
	people := clinictest.New(t)
	w := newWorld(t, OpenAI)
	site := serve(t, w, people)
	asked := make(chan struct{})
	w.machine.does(func(_ http.ResponseWriter, r *http.Request) { close(asked); <-r.Context().Done() })
	stopped := make(chan error, 1)
	go func() {
		<-asked
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		stopped <- site.Server.Shutdown(ctx)
	}()
	a := site.Ask("POST", "/me/assistant", people.Patient.UserID, asking(question))
	require.Equal(t, 200, a.Status)
	require.Equal(t, "error", a.Text("source"))
	require.NoError(t, <-stopped)
}
