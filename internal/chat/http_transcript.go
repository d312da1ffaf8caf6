package chat

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"

	"housecall/internal/httpd"
	"housecall/internal/transcript"
)

type transcriptInput struct {
	ID     string `path:"id" maxLength:"20"`
	Format string `query:"format" enum:"json,txt,pdf" doc:"Without it Accept decides: application/pdf, text/plain, or else JSON."`
	Zone   string `query:"zone" maxLength:"64" doc:"IANA time zone of the times; without it the one of the reader's preferences, or else the clinic's."`
	UpTo   int64  `query:"upTo" minimum:"0" doc:"The last event; without it that of the present. It gives a transcript of before once more, with the same sum unless something of it was taken back or corrected since."`
	Accept string `header:"Accept"`
}

func transcriptRoutes(s *httpd.Server, svc *Service) {
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/appointments/{id}/transcript", Tag: "chat", Summary: "Write a conversation down",
		Description: "The whole conversation as it stands, as a file: JSON (one event a line), text, or PDF. At the end stands a SHA-256, the same in " +
			"all formats: over lines that end with U+000A, each in canonical form (RFC 8785), first an object of appointmentId, headSeq and " +
			"version (1), then each event as in the JSON without `local`. A transfer that breaks off is not whole.",
		Access: httpd.SignedIn, Errors: []int{http.StatusNotFound},
	}, svc.transcriptFile)
}

func (s *Service) transcriptFile(ctx context.Context, in *transcriptInput) (*huma.StreamResponse, error) {
	actor := httpd.Actor(ctx)
	r, err := s.Readable(ctx, actor, in.ID)
	if err != nil {
		return nil, err
	}
	t, err := s.Transcript(ctx, actor, r, TranscriptRequest{Format: in.format(), Zone: in.Zone, UpTo: in.UpTo})
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		c := humafiber.Unwrap(ctx)
		c.Set(fiber.HeaderContentType, t.Format.MediaType())
		c.Set(fiber.HeaderContentDisposition, `attachment; filename="`+t.Name+`"`)
		c.Vary(fiber.HeaderAccept)
		c.Context().SetBodyStream(unhurried{t, c.Context().Conn()}, -1)
	}}, nil
}

func (in *transcriptInput) format() transcript.Format {
	switch {
	case in.Format != "":
		return transcript.Format(in.Format)
	case strings.Contains(in.Accept, "application/pdf"):
		return transcript.PDF
	case strings.Contains(in.Accept, "text/plain"):
		return transcript.Text
	default:
		return transcript.JSON
	}
}

// streamPatience is how long a client may take for each part of a stream.
const streamPatience = 30 * time.Second

// unhurried gives a client time for each part of a stream, where the server has a deadline for the whole answer.
type unhurried struct {
	io.ReadCloser
	conn net.Conn
}

// Read implements io.Reader. fasthttp has sent the part before when it asks for the next.
func (p unhurried) Read(b []byte) (int, error) {
	_ = p.conn.SetWriteDeadline(time.Now().Add(streamPatience)) // where it fails, so does writing
	return p.ReadCloser.Read(b)                                 //nolint:wrapcheck // a reader's errors are its own
}
