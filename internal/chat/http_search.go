package chat

import (
	"context"
	"net/http"
	"time"

	"housecall/internal/httpd"
)

// SearchQuery is embedded into the input of a search; Huma wants embedded types exported.
type SearchQuery struct {
	Q string `query:"q" required:"true" minLength:"1" maxLength:"200" doc:"Words that must all be there, in any order; \"several in a row\" in quotes; -excluded. The last one also stands for the beginning of a word. Neither capitals nor accents matter."`
	httpd.PageQuery
}

type searchInput struct {
	ID string `path:"id" maxLength:"20"`
	SearchQuery
}

type mySearchInput struct{ SearchQuery }

// searchItem is a message that fits.
type searchItem struct {
	AppointmentID string      `json:"appointmentId"`
	Seq           int64       `json:"seq"`
	Kind          Kind        `json:"kind" enum:"text,attachment"`
	Sender        string      `json:"sender" doc:"User id."`
	At            time.Time   `json:"at"`
	Snippet       string      `json:"snippet" doc:"What of the message's text, or of its attachment's name, surrounds the first highlight. Plain text on one line: it is not escaped for HTML."`
	Highlights    []highlight `json:"highlights" doc:"The parts of the snippet that fit, in order and without overlaps."`
}

type highlight struct {
	Start  int `json:"start" doc:"Code points before it."`
	Length int `json:"length" doc:"Code points."`
}

type searchOutput struct{ Body httpd.Page[searchItem] }

func searchRoutes(s *httpd.Server, svc *Service) {
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/appointments/{id}/messages/search", Tag: "chat", Summary: "Search a conversation",
		Description: "Newest first: texts as they stand now, and names of attachments. What was taken back is not found. " +
			"Chinese, Japanese, Korean, Thai, Lao, Khmer and Burmese are found anywhere in a text, character by character.",
		Access: httpd.SignedIn, Errors: []int{http.StatusNotFound},
	}, svc.searchRoom)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/me/search", Tag: "Me", Summary: "Search all my conversations",
		Description: "As in one conversation, over all in which one takes part, as patient or as doctor.",
		Access:      httpd.SignedIn,
	}, svc.searchMine)
}

func (s *Service) searchRoom(ctx context.Context, in *searchInput) (*searchOutput, error) {
	after, err := decodePosition(ctx, in.Cursor)
	if err != nil {
		return nil, err
	}
	r, err := s.Readable(ctx, httpd.Actor(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	hits, more, err := s.SearchIn(ctx, r.Appointment, in.Q, after, in.Limit)
	return searchPage(ctx, hits, more, err)
}

func (s *Service) searchMine(ctx context.Context, in *mySearchInput) (*searchOutput, error) {
	after, err := decodePosition(ctx, in.Cursor)
	if err != nil {
		return nil, err
	}
	hits, more, err := s.Search(ctx, httpd.Actor(ctx), in.Q, after, in.Limit)
	return searchPage(ctx, hits, more, err)
}

func decodePosition(ctx context.Context, cursor string) (p Position, err error) {
	err = httpd.DecodeCursor(ctx, cursor, &p.At, &p.Room, &p.Seq)
	return p, err
}

func searchPage(ctx context.Context, hits []Hit, more bool, err error) (*searchOutput, error) {
	if err != nil {
		return nil, err
	}
	out := &searchOutput{}
	for _, h := range hits {
		item := searchItem{
			AppointmentID: h.AppointmentID, Seq: h.Seq, Kind: h.Kind, Sender: h.Sender, At: h.At.UTC(), Snippet: h.Snippet,
			Highlights: make([]highlight, len(h.Highlights)),
		}
		for i, s := range h.Highlights {
			item.Highlights[i] = highlight{s.from, s.to - s.from}
		}
		out.Body.Items = append(out.Body.Items, item)
	}
	if more {
		last := hits[len(hits)-1].Position()
		out.Body.NextCursor = httpd.EncodeCursor(ctx, last.At, last.Room, last.Seq)
	}
	return out, nil
}
