package assistant

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"

	"housecall/internal/auth"
	"housecall/internal/httpd"
	"housecall/internal/httpd/transfer"
)

// eventStream is the media type of Server-Sent Events.
const eventStream = "text/event-stream"

// beat is how often a stream says that it is alive while the model is silent. It is also how a client is noticed that
// has left: writing to it fails.
const beat = 2 * time.Second

type input struct {
	Accept string `header:"Accept" doc:"text/event-stream for a stream; anything else for JSON."`
	Body   struct {
		Message string `json:"message" doc:"The question: 1 to 2000 characters. An emergency is recognised in a longer one, too."`
	}
}

// answerBody is the whole answer, and the last event of a stream.
type answerBody struct {
	Reply  string `json:"reply" doc:"Plain text in paragraphs. It ends with the disclaimer."`
	Source Source `json:"source" enum:"general,non-health,health,error" doc:"Where it comes from: a greeting, a question that was declined, an answer about health (or what to do in an emergency), or none because the assistant is off, busy or failed."`
}

// partBody is a checked part of an answer on its way.
type partBody struct {
	Text string `json:"text" doc:"The next part of the reply, with its spaces. Put it after the parts before it."`
}

type aboutOutput struct {
	Body struct {
		Available       bool   `json:"available" doc:"Whether the clinic has an assistant."`
		EmergencyNumber string `json:"emergencyNumber" doc:"The clinic's number for emergencies, or words such as your local emergency number."`
		Disclaimer      string `json:"disclaimer" doc:"What every reply ends with, in English."`
		MaxChars        int    `json:"maxChars" doc:"Length of the longest message, in code points."`
	}
}

type handlers struct {
	svc    *Service
	server *httpd.Server
	beat   time.Duration
}

// Routes adds the patients' routes.
func Routes(s *httpd.Server, svc *Service) { routes(s, svc, beat) }

func routes(s *httpd.Server, svc *Service, every time.Duration) {
	s.Track(svc)
	h := handlers{svc, s, every}
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/me/assistant", Tag: "Me", Summary: "Whether there is an assistant",
		Access: httpd.Only(auth.Patient),
	}, h.about)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/me/assistant", Tag: "Me", Summary: "Ask the automatic health assistant",
		Description: "For patients: general information about health, from a language model. It is not a doctor: it never " +
			"diagnoses or prescribes, and each sentence is checked before it is sent. Each question stands for itself, and " +
			"nothing is stored. What may be an emergency is answered at once with the clinic's emergency number. As a stream " +
			"(`Accept: text/event-stream`), it sends an event `part` for each part of the reply as soon as it is checked, and " +
			"at the end an event `answer`, which replaces all parts: a model may fail in the middle. Lines that begin with a " +
			"colon mean nothing. After too many questions the answer is 429 `assistant_limit`.",
		Access: httpd.Only(auth.Patient), Errors: []int{http.StatusUnprocessableEntity, http.StatusTooManyRequests},
		Media: map[string]any{"application/json": answerBody{}, eventStream: struct {
			Part   partBody   `json:"part" doc:"The data of an event part."`
			Answer answerBody `json:"answer" doc:"The data of the event answer, which ends the stream."`
		}{}},
	}, h.ask)
}

func (h handlers) about(context.Context, *struct{}) (*aboutOutput, error) {
	out := &aboutOutput{}
	out.Body.Available = h.svc.On()
	out.Body.EmergencyNumber = h.svc.d.Options.Emergency
	out.Body.Disclaimer = h.svc.Disclaimer()
	out.Body.MaxChars = MaxChars
	return out, nil
}

func (h handlers) ask(ctx context.Context, in *input) (*transfer.Download, error) {
	q, err := h.svc.Take(ctx, httpd.Actor(ctx), in.Body.Message)
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx) // the model has its own time limit
	if strings.Contains(in.Accept, eventStream) {
		return transfer.NewStream(h.server, transfer.Stream{
			Body: newEvents(ctx, q, h.beat), Type: eventStream, Vary: "Accept", Live: true,
			Timeout: h.svc.d.Options.Timeout + time.Minute,
		}), nil
	}
	a := q.Answer(ctx, nil)
	return &transfer.Download{Body: func(ctx huma.Context) {
		c := humafiber.Unwrap(ctx)
		c.Vary("Accept")
		if err := c.JSON(answerBody(a)); err != nil {
			h.server.Answer(c, err)
		}
	}}, nil
}

// events is an answer as Server-Sent Events, which are read while the model is writing. Whoever reads has to close it.
type events struct {
	cancel context.CancelFunc
	ready  chan []byte   // closed after the last event
	done   chan struct{} // closed when nobody writes any more
	beat   *time.Ticker
	rest   []byte
}

var _ io.ReadCloser = (*events)(nil)

// hello is the first thing in a stream, so that its header is sent at once.
const hello = ": the assistant is answering\n\n"

func newEvents(ctx context.Context, q *Question, every time.Duration) *events {
	ctx, cancel := context.WithCancel(ctx)
	e := &events{
		cancel: cancel, ready: make(chan []byte), done: make(chan struct{}), beat: time.NewTicker(every), rest: []byte(hello),
	}
	go func() {
		defer close(e.done)
		defer close(e.ready)
		a := q.Answer(ctx, func(part string) error { return e.send(ctx, "part", partBody{part}) })
		_ = e.send(ctx, "answer", answerBody(a)) // fails only if nobody reads any more
	}()
	return e
}

// send hands an event to the reader.
func (e *events) send(ctx context.Context, name string, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode an event: %w", err)
	}
	select {
	case e.ready <- fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, body):
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // it only says that there is no reader
	}
}

// Read implements io.Reader: it waits for the next event, or says that the stream is alive.
func (e *events) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		select {
		case next, ok := <-e.ready:
			if !ok {
				return 0, io.EOF
			}
			e.rest = next
		case <-e.beat.C:
			e.rest = []byte(":\n\n")
		}
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// Close implements io.Closer: it ends what the model is being asked.
func (e *events) Close() error {
	e.cancel()
	e.beat.Stop()
	<-e.done
	return nil
}
