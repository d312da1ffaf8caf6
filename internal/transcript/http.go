package transcript

import (
	"context"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/conversation"
	"housecall/internal/httpd"
	"housecall/internal/httpd/transfer"
)

type transcriptInput struct {
	ID     string `path:"id" maxLength:"20"`
	Format string `query:"format" enum:"json,txt,pdf" doc:"If left out, the Accept header decides: application/pdf, text/plain, or else JSON."`
	Zone   string `query:"zone" maxLength:"64" doc:"IANA time zone in which to show times. Defaults to the one in your preferences, or else the clinic's."`
	UpTo   int64  `query:"upTo" minimum:"0" doc:"The seq of the last event; defaults to the latest. Use it to get an earlier transcript again, with the same SHA-256 unless something in it has been retracted or corrected since."`
	Accept string `header:"Accept"`
}

// handlers answer requests for transcripts.
type handlers struct {
	svc           *Service
	conversations *conversation.Service
	server        *httpd.Server
}

// Routes adds the route for downloading the transcript of a conversation.
func Routes(s *httpd.Server, svc *Service) {
	h := handlers{svc, svc.d.Conversations, s}
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/appointments/{id}/transcript", Tag: "chat",
		Summary: "Download a transcript of a conversation",
		Description: "The whole conversation as it stands now, as a file: JSON (one event per line), text, or PDF. It " +
			"ends with a SHA-256 that is the same in all formats. It is computed over lines that end with U+000A, each a JSON " +
			"object in canonical form (RFC 8785): first one of appointmentId, headSeq and version (1), then each event as " +
			"in the JSON format but without `local`. If the transfer breaks off, the file is incomplete.",
		Access: httpd.SignedIn, Errors: []int{http.StatusNotFound},
		File: &httpd.File{Whole: true, Types: []string{"application/json", "text/plain", "application/pdf"}},
	}, h.transcript)
}

func (h handlers) transcript(ctx context.Context, in *transcriptInput) (*transfer.Download, error) {
	actor := httpd.Actor(ctx)
	r, err := h.conversations.Readable(ctx, actor, in.ID)
	if err != nil {
		return nil, err
	}
	t, err := h.svc.Open(ctx, actor, r, Request{Format: in.format(), Zone: in.Zone, UpTo: in.UpTo})
	if err != nil {
		return nil, err
	}
	return transfer.NewStream(h.server, transfer.Stream{
		Body: t, Type: t.Format.MediaType(), Disposition: `attachment; filename="` + t.Name + `"`,
		Vary: fiber.HeaderAccept, Timeout: timeLimit,
	}), nil
}

func (in *transcriptInput) format() Format {
	switch {
	case in.Format != "":
		return Format(in.Format)
	case strings.Contains(in.Accept, "application/pdf"):
		return PDF
	case strings.Contains(in.Accept, "text/plain"):
		return Text
	default:
		return JSON
	}
}
