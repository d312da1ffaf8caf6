package search

import (
	"context"
	"net/http"
	"time"

	"housecall/internal/conversation"
	"housecall/internal/httpd"
)

// Query is the part that the inputs of both searches share; Huma requires embedded types to be exported.
type Query struct {
	Q string `query:"q" required:"true" minLength:"1" maxLength:"200" doc:"Words that must all occur, in any order. Put \"words in a row\" in quotes and a minus before -excluded words. The last word also matches words that begin with it. Case and accents make no difference, nor do widths, tatweel, and the scripts of digits."`
	httpd.PageQuery
}

type searchInput struct {
	ID string `path:"id" maxLength:"20"`
	Query
}

type mySearchInput struct{ Query }

// searchItem is a found message.
type searchItem struct {
	AppointmentID string            `json:"appointmentId"`
	Seq           int64             `json:"seq"`
	Kind          conversation.Kind `json:"kind" enum:"text,attachment"`
	Sender        string            `json:"sender" doc:"User id."`
	At            time.Time         `json:"at"`
	Snippet       string            `json:"snippet" doc:"The part of the message's text, or of its attachment's name, around the first highlight. Plain text on one line, not escaped for HTML."`
	Highlights    []highlight       `json:"highlights" doc:"The parts of the snippet that match, in order and without overlaps."`
}

type highlight struct {
	Start  int `json:"start" doc:"Where it starts in the snippet, in code points."`
	Length int `json:"length" doc:"Its length, in code points."`
}

type searchOutput struct{ Body httpd.Page[searchItem] }

// handlers answer search requests.
type handlers struct {
	svc           *Service
	conversations *conversation.Service
}

// Routes adds the routes for searching one conversation and all of the caller's.
func Routes(s *httpd.Server, svc *Service) {
	h := handlers{svc, svc.d.Conversations}
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/appointments/{id}/messages/search", Tag: "chat", Summary: "Search a conversation",
		Description: "Searches the latest text of messages and the names of attachments; newest first. Retracted messages " +
			"are not found. Chinese, Japanese, Korean, Thai, Lao, Khmer and Burmese are found anywhere in a text, character " +
			"by character.",
		Access: httpd.SignedIn, Errors: []int{http.StatusNotFound},
	}, h.inOne)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/me/search", Tag: "Me", Summary: "Search all my conversations",
		Description: "Like searching one conversation, but in all in which you take part, as a patient or a doctor.",
		Access:      httpd.SignedIn,
	}, h.inAll)
}

func (h handlers) inOne(ctx context.Context, in *searchInput) (*searchOutput, error) {
	w, err := in.want(ctx)
	if err != nil {
		return nil, err
	}
	r, err := h.conversations.Readable(ctx, httpd.Actor(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	hits, more, err := h.svc.SearchIn(ctx, r, w)
	if err != nil {
		return nil, err
	}
	return pageOf(ctx, hits, more), nil
}

func (h handlers) inAll(ctx context.Context, in *mySearchInput) (*searchOutput, error) {
	w, err := in.want(ctx)
	if err != nil {
		return nil, err
	}
	hits, more, err := h.svc.Search(ctx, httpd.Actor(ctx), w)
	if err != nil {
		return nil, err
	}
	return pageOf(ctx, hits, more), nil
}

func (q Query) want(ctx context.Context) (Want, error) {
	w := Want{Query: q.Q, Limit: q.Limit}
	err := httpd.DecodeCursor(ctx, q.Cursor, &w.After.At, &w.After.Conversation, &w.After.Seq)
	return w, err
}

func pageOf(ctx context.Context, hits []Hit, more bool) *searchOutput {
	out := &searchOutput{}
	for _, h := range hits {
		item := searchItem{
			AppointmentID: h.AppointmentID, Seq: h.Seq, Kind: h.Kind, Sender: h.Sender, At: h.At.UTC(), Snippet: h.Snippet,
			Highlights: make([]highlight, len(h.Highlights)),
		}
		for i, s := range h.Highlights {
			item.Highlights[i] = highlight{s.From, s.To - s.From}
		}
		out.Body.Items = append(out.Body.Items, item)
	}
	if more {
		last := hits[len(hits)-1].Position()
		out.Body.NextCursor = httpd.EncodeCursor(ctx, last.At, last.Conversation, last.Seq)
	}
	return out
}
