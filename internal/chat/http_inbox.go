package chat

import (
	"context"
	"net/http"

	"housecall/internal/conversation"
	"housecall/internal/errs"
	"housecall/internal/httpd"
)

type unreadOutput struct {
	Body struct {
		Items         []UnreadItem `json:"items"`
		NextCursor    string       `json:"nextCursor,omitempty" doc:"Send it as cursor to get the next page; absent on the last page."`
		Total         int64        `json:"total" doc:"Unread messages in all conversations, not just on this page."`
		Conversations int64        `json:"conversations" doc:"The number of conversations with unread messages."`
	}
}

type receiptsInput struct {
	ID   string `path:"id" maxLength:"20"`
	Body struct {
		DeliveredSeq *int64 `json:"deliveredSeq,omitempty" minimum:"0" doc:"You have received everything up to this seq."`
		ReadSeq      *int64 `json:"readSeq,omitempty" minimum:"0" doc:"You have read everything up to this seq, and so received it."`
	}
}

type receiptsOutput struct {
	Body struct {
		UserID       string `json:"userId"`
		DeliveredSeq int64  `json:"deliveredSeq"`
		ReadSeq      int64  `json:"readSeq"`
	}
}

// handlers answer requests about unread messages and read positions.
type handlers struct{ svc *Service }

// Routes adds the REST routes that a list of conversations needs.
func Routes(s *httpd.Server, svc *Service) {
	h := handlers{svc}
	httpd.Register(s, httpd.Route{
		Method:      http.MethodGet,
		Path:        "/me/unread",
		Tag:         "chat",
		Summary:     "List your conversations with unread messages",
		Description: "The most recently changed conversation comes first. The inbox WebSocket keeps such a list up to date.",
		Access:      httpd.SignedIn,
	}, h.serveUnread)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPut, Path: "/appointments/{id}/receipts", Tag: "chat",
		Summary: "Report how far you have received and read a conversation",
		Description: "Positions never move back, or past the end of the conversation. The response has the resulting " +
			"positions.",
		Access: httpd.SignedIn, Errors: []int{http.StatusNotFound},
	}, h.serveReceipts)
}

func (h handlers) serveUnread(ctx context.Context, in *httpd.PageQuery) (*unreadOutput, error) {
	var before *unreadKey
	if in.Cursor != "" {
		before = &unreadKey{}
		if err := httpd.DecodeCursor(ctx, in.Cursor, &before.at, &before.id); err != nil {
			return nil, err
		}
	}
	page, all, err := unreadOf(ctx, h.svc.d.Pool, httpd.Actor(ctx).ID, before, in.Limit+1)
	if err != nil {
		return nil, err
	}
	out := &unreadOutput{}
	out.Body.Total, out.Body.Conversations = all.messages, all.conversations
	if len(page) > in.Limit {
		page = page[:in.Limit]
		last := page[len(page)-1]
		out.Body.NextCursor = httpd.EncodeCursor(ctx, *last.At, last.ID)
	}
	out.Body.Items = make([]UnreadItem, len(page))
	for i, st := range page {
		out.Body.Items[i] = st.unreadItem()
	}
	return out, nil
}

func (h handlers) serveReceipts(ctx context.Context, in *receiptsInput) (*receiptsOutput, error) {
	var to conversation.Cursors
	if in.Body.DeliveredSeq == nil && in.Body.ReadSeq == nil {
		return nil, errs.InvalidField("body", "needs deliveredSeq or readSeq")
	}
	if in.Body.DeliveredSeq != nil {
		to.Delivered = *in.Body.DeliveredSeq
	}
	if in.Body.ReadSeq != nil {
		to.Read = *in.Body.ReadSeq
	}
	actor := httpd.Actor(ctx)
	r, err := h.svc.d.Conversations.TakesPart(ctx, actor, in.ID)
	if err != nil {
		return nil, err
	}
	at, err := h.svc.MoveReceipts(ctx, r, to)
	if err != nil {
		return nil, err
	}
	out := &receiptsOutput{}
	out.Body.UserID, out.Body.DeliveredSeq, out.Body.ReadSeq = actor.UserID, at.Delivered, at.Read
	return out, nil
}
