package conversation

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"housecall/internal/errs"
	"housecall/internal/httpd"
)

// eventBody is an event in the form of the chat protocol.
type eventBody struct {
	Type        string      `json:"type" enum:"event"`
	Seq         int64       `json:"seq" doc:"Starts at 1 and has no gaps in a conversation."`
	Kind        Kind        `json:"kind" enum:"text,attachment,system,retraction,correction"`
	ClientID    *uuid.UUID  `json:"clientId,omitempty" format:"uuid"`
	Sender      string      `json:"sender,omitempty" doc:"User id; absent for system events."`
	Text        *string     `json:"text,omitempty" doc:"The current text; absent for attachments, retractions and retracted messages."`
	Target      int64       `json:"target,omitempty" doc:"The seq that a retraction or correction is about."`
	Attachment  *Attachment `json:"attachment,omitempty"`
	Retracted   bool        `json:"retracted,omitempty" doc:"Whether the sender has retracted it."`
	CorrectedBy int64       `json:"correctedBy,omitempty" doc:"The seq of the correction that the text comes from."`
	At          time.Time   `json:"at"`
}

func bodyOf(e Event) eventBody {
	b := eventBody{
		Type: "event", Seq: e.Seq, Kind: e.Kind, Sender: e.Sender, Target: e.Target, Attachment: e.Attachment,
		Retracted: e.Retracted, CorrectedBy: e.CorrectedBy, At: e.At.UTC(),
	}
	if e.ClientID != uuid.Nil {
		b.ClientID = &e.ClientID
	}
	if e.HasText() {
		b.Text = &e.Text
	}
	return b
}

type historyInput struct {
	ID     string `path:"id" maxLength:"20"`
	After  int64  `query:"after" minimum:"-1" default:"-1" doc:"Events after this seq, oldest first."`
	Before int64  `query:"before" minimum:"0" doc:"The page that ends before this seq."`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20"`
}

type historyOutput struct {
	Body struct {
		Items   []eventBody `json:"items"`
		HeadSeq int64       `json:"headSeq" doc:"The last seq of the conversation."`
	}
}

// handlers answer requests about conversations.
type handlers struct {
	svc *Service
	now func() time.Time
}

// Routes adds the routes for a conversation's history and state, for sending, and for break-glass access. Callers who
// may not read a conversation get 404.
func Routes(s *httpd.Server, svc *Service) {
	h := handlers{svc, svc.d.Now}
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/appointments/{id}/messages", Tag: "chat", Summary: "Read a page of a conversation",
		Description: "Oldest first. Without `after` or `before` you get the latest page.", Access: httpd.SignedIn,
		Errors: []int{http.StatusNotFound},
	}, h.serveHistory)
	sendRoutes(s, h)
	stateRoutes(s, h)
	glassRoutes(s, h)
}

func (h handlers) serveHistory(ctx context.Context, in *historyInput) (*historyOutput, error) {
	if in.After >= 0 && in.Before > 0 {
		return nil, errs.InvalidField("query.before", "cannot be combined with after")
	}
	r, err := h.svc.Readable(ctx, httpd.Actor(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	events, head, err := h.svc.History(ctx, r, Page{After: in.After, Before: in.Before, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	out := &historyOutput{}
	out.Body.HeadSeq = head
	out.Body.Items = make([]eventBody, len(events))
	for i, e := range events {
		out.Body.Items[i] = bodyOf(e)
	}
	return out, nil
}
