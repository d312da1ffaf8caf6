package chat

import (
	"context"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/httpd"
	"housecall/internal/httpd/transfer"
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
	}, func(ctx context.Context, in *transcriptInput) (*transfer.Download, error) {
		actor := httpd.Actor(ctx)
		r, err := svc.Readable(ctx, actor, in.ID)
		if err != nil {
			return nil, err
		}
		t, err := svc.Transcript(ctx, actor, r, TranscriptRequest{Format: in.format(), Zone: in.Zone, UpTo: in.UpTo})
		if err != nil {
			return nil, err
		}
		return transfer.NewStream(s, transfer.Stream{
			Body: t, Type: t.Format.MediaType(), Disposition: `attachment; filename="` + t.Name + `"`, Vary: fiber.HeaderAccept, Timeout: transcriptTime,
		}), nil
	})
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
