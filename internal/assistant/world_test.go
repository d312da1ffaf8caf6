package assistant

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/httpd/ratelimit"
	"housecall/internal/testing/logtest"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const patience = 3 * time.Minute

// machine is a server on which a model runs: it speaks one of the protocols.
type machine struct {
	*httptest.Server
	api API

	mu     sync.Mutex // guards the rest
	asked  []string   // the bodies of requests
	header http.Header
	behave func(w http.ResponseWriter, r *http.Request)
}

func newMachine(t *testing.T, api API) *machine {
	t.Helper()
	m := &machine{api: api}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

// endpoint is where the protocol's chats are posted to.
func (m *machine) endpoint() string {
	return m.URL + map[API]string{Ollama: "/api/chat", OpenAI: "/v1/chat/completions"}[m.api]
}

// ServeHTTP implements http.Handler.
func (m *machine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	m.mu.Lock()
	m.asked, m.header = append(m.asked, string(body)), r.Header
	behave := m.behave
	m.mu.Unlock()
	if r.URL.Path != strings.TrimPrefix(m.endpoint(), m.URL) || r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	behave(w, r)
}

// does has the machine answer like this from now on.
func (m *machine) does(behave func(w http.ResponseWriter, r *http.Request)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.behave = behave
}

func (m *machine) requests() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked
}

// says has the machine answer with a text, in pieces of a few bytes, each sent at once.
func (m *machine) says(text string) {
	m.does(func(w http.ResponseWriter, _ *http.Request) {
		m.write(w, text)
		m.finish(w)
	})
}

// write sends a text in the machine's protocol.
func (m *machine) write(w http.ResponseWriter, text string) {
	const size = 7
	for i := 0; i < len(text); i += size {
		piece := map[string]any{"role": "assistant", "content": text[i:min(i+size, len(text))]}
		if m.api == Ollama {
			line(w, map[string]any{"model": "m", "message": piece, "done": false}, "", "\n")
			continue
		}
		w.Header().Set("Content-Type", "text/event-stream")
		line(w, map[string]any{"choices": []any{map[string]any{"index": 0, "delta": piece, "finish_reason": nil}}}, "data: ", "\n\n")
	}
}

func line(w http.ResponseWriter, content any, before, after string) {
	raw, _ := json.Marshal(content)
	_, _ = fmt.Fprint(w, before, string(raw), after)
	_ = http.NewResponseController(w).Flush()
}

// finish ends an answer as the protocol wants it.
func (m *machine) finish(w http.ResponseWriter) {
	if m.api == Ollama {
		line(w, map[string]any{"message": map[string]any{"role": "assistant", "content": ""}, "done": true}, "", "\n")
		return
	}
	_, _ = io.WriteString(w, "data: [DONE]\n\n")
}

// world is the assistant with a machine.
type world struct {
	t        *testing.T
	machine  *machine
	svc      *Service
	log      *logtest.Buffer
	registry *prometheus.Registry
	patient  auth.Actor
}

func newWorld(t *testing.T, api API, change ...func(*Options)) *world {
	t.Helper()
	w := &world{
		t: t, machine: newMachine(t, api), log: &logtest.Buffer{}, registry: prometheus.NewRegistry(),
		patient: auth.Actor{ID: 1, UserID: "PAT0000000001", Name: "Pia Patient", Role: auth.Patient},
	}
	o := Options{
		Endpoint: w.machine.endpoint(), API: api, Key: "the-key", Model: "a-model", Timeout: patience, PerHour: 1000, AtOnce: 8,
		Emergency: "112",
	}
	for _, f := range change {
		f(&o)
	}
	log := zerolog.New(w.log)
	w.svc = New(Deps{Limiter: ratelimit.New(nil, log), Registry: w.registry, Logger: log, Options: o})
	t.Cleanup(w.svc.Interrupt)
	return w
}

// asks returns the answer to a message, and checks that it is well-formed and that nothing of it is in the log.
func (w *world) asks(message string) Answer {
	w.t.Helper()
	q, err := w.svc.Take(context.Background(), w.patient, message)
	require.NoError(w.t, err)
	var parts strings.Builder
	a := q.Answer(context.Background(), func(part string) error { parts.WriteString(part); return nil })
	if a.Source == Health && parts.Len() > 0 {
		require.True(w.t, strings.HasPrefix(a.Reply, strings.TrimSpace(parts.String())), "the parts begin the reply: %q", a.Reply)
	}
	require.Contains(w.t, []string{w.svc.ended(english, "", "").Reply, w.svc.ended(german, "", "").Reply},
		a.Reply[strings.LastIndex(a.Reply, "\n\n"):], "it ends with the disclaimer")
	require.NotContains(w.t, w.log.String(), message)
	return a
}

// counted returns how many answers there were with a source and a reason.
func (w *world) counted(from Source, reason string) float64 {
	return testutil.ToFloat64(w.svc.metrics.answers.WithLabelValues(string(from), reason))
}
