package assistant

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// API is a protocol of models.
type API string

// The protocols: Ollama's /api/chat (JSON lines), and /v1/chat/completions of OpenAI (Server-Sent Events), which most
// other servers speak, too.
const (
	Ollama API = "ollama"
	OpenAI API = "openai"
)

// failure is why a model gave no answer, as the log and the metrics name it. It says nothing of what was said.
type failure string

// Error implements error.
func (f failure) Error() string { return "the assistant's model failed: " + string(f) }

// The failures.
const (
	unreachable failure = "unreachable"
	refused     failure = "refused"   // a status that is not 200
	throttled   failure = "throttled" // 429 or 503
	tooSlow     failure = "too slow"
	brokenOff   failure = "broken off"
	nonsense    failure = "nonsense" // not the protocol, or no text in a language that we can check
	canceled    failure = "canceled" // nobody waits any more
)

// model asks the model. It follows no redirects, since they would take the question to somebody else, and keeps few
// connections.
type model struct {
	o      Options
	client *http.Client
}

func newModel(o Options) *model {
	return &model{o: o, client: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout: 5 * time.Second, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: o.AtOnce, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
			DisableCompression: true,
		},
	}}
}

// disconnect drops the connections that nobody uses.
func (m *model) disconnect() { m.client.CloseIdleConnections() }

// turn is a message of a chat, in both protocols.
type turn struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// ask sends the question and passes on the answer in pieces as they come. It returns say's error as it is, and
// otherwise a failure; nil once the model has said that it is done.
func (m *model) ask(ctx context.Context, instructions, question string, say func(piece string) error) error {
	body, err := m.body([]turn{{"system", instructions}, {"user", question}})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.o.Endpoint, bytes.NewReader(body))
	if err != nil {
		return unreachable
	}
	req.Header.Set("Content-Type", "application/json")
	if m.o.Key != "" {
		req.Header.Set("Authorization", "Bearer "+m.o.Key)
	}
	resp, err := m.client.Do(req)
	if err != nil {
		return because(ctx, unreachable)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return throttled
	default:
		return refused
	}
	err = m.listen(resp, say)
	var f failure
	if errors.As(err, &f) {
		return because(ctx, f)
	}
	return err
}

// listen reads an answer. A server that does not stream answers with one JSON document in both protocols.
func (m *model) listen(resp *http.Response, say func(string) error) error {
	body := io.LimitReader(resp.Body, mostStreamBytes)
	if m.o.API == OpenAI && !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		return readEvents(body, say)
	}
	return readLines(body, say)
}

// because returns why the request ended: the context says it better than the error that it causes.
func because(ctx context.Context, f failure) failure {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return tooSlow
	case ctx.Err() != nil:
		return canceled
	}
	return f
}

// body returns what is sent. OpenAI's newer models refuse a temperature and the older name of the length, so these
// only go to Ollama; the length of an answer is limited here anyway.
func (m *model) body(turns []turn) ([]byte, error) {
	request := map[string]any{"model": m.o.Model, "messages": turns, "stream": true}
	if m.o.API == Ollama {
		request["think"] = false
		request["options"] = map[string]any{"temperature": 0.2, "num_predict": 800}
	}
	out, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode a question: %w", err)
	}
	return out, nil
}
