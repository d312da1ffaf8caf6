package conversation

import (
	"context"
	"net/http"
	"time"

	"housecall/internal/errs"
	"housecall/internal/httpd"
)

type sendInput struct {
	ID   string `path:"id" maxLength:"20"`
	Body struct {
		ClientID     string  `json:"clientId" format:"uuid" minLength:"36" maxLength:"36" doc:"Make one for each message and keep it for every retry."`
		Text         *string `json:"text,omitempty" doc:"At most 4,000 characters, not blank. Give either this or attachmentId."`
		AttachmentID *string `json:"attachmentId,omitempty" format:"uuid" minLength:"36" maxLength:"36" doc:"A file that you have uploaded to this conversation. It can be sent once."`
	}
}

type retractInput struct {
	ID   string `path:"id" maxLength:"20"`
	Seq  int64  `path:"seq" minimum:"1" doc:"The seq of the message."`
	Body struct {
		ClientID string `json:"clientId" format:"uuid" minLength:"36" maxLength:"36" doc:"Make one for each retraction and keep it for every retry."`
	}
}

type correctInput struct {
	ID   string `path:"id" maxLength:"20"`
	Seq  int64  `path:"seq" minimum:"1" doc:"The seq of the text."`
	Body struct {
		ClientID string `json:"clientId" format:"uuid" minLength:"36" maxLength:"36" doc:"Make one for each correction and keep it for every retry."`
		Text     string `json:"text" doc:"The new text: at most 4,000 characters, not blank."`
	}
}

// sendOutput is the answer to every draft.
type sendOutput struct {
	Body struct {
		ClientID  string    `json:"clientId" format:"uuid" doc:"As the request spelled it."`
		Seq       int64     `json:"seq" doc:"The seq of the event."`
		At        time.Time `json:"at"`
		Duplicate bool      `json:"duplicate" doc:"Whether the log already had this clientId."`
	}
}

// sendRoutes adds the routes for sending, retracting and correcting.
func sendRoutes(s *httpd.Server, h handlers) {
	route := func(path, summary, description string, also ...int) httpd.Route {
		return httpd.Route{
			Method: http.MethodPost, Path: "/appointments/{id}/messages" + path, Tag: "chat", Summary: summary,
			Description: description + " You can safely repeat the request with the same clientId: it is stored once.",
			Status:      http.StatusCreated, Access: httpd.SignedIn, Repeatable: true,
			Errors: append(also, http.StatusNotFound, http.StatusConflict, http.StatusTooManyRequests),
		}
	}
	httpd.Register(s, route("", "Send a message", "A text, or a file that you have uploaded."), h.serveSend)
	httpd.Register(s, route(
		"/{seq}/retract", "Retract a message",
		"Only your own, and only while the conversation is open. The message keeps its place but permanently loses its "+
			"content, for everyone.",
		http.StatusForbidden,
	), h.serveRetract)
	httpd.Register(s, route("/{seq}/correct", "Correct a message",
		"Only your own text, and only while the conversation is open. The message then has the new wording and is marked "+
			"as corrected.",
		http.StatusForbidden), h.serveCorrect)
}

func (h handlers) serveSend(ctx context.Context, in *sendInput) (*sendOutput, error) {
	d := Draft{Kind: KindText}
	switch text, file := in.Body.Text, in.Body.AttachmentID; {
	case (text == nil) == (file == nil):
		return nil, errs.InvalidField("body.text", "give either text or attachmentId, not both")
	case text != nil:
		d.Text = *text
	default:
		id, err := ParseClientID(*file)
		if err != nil {
			return nil, errs.InvalidField("body.attachmentId", "must be a UUID in the form with 36 characters")
		}
		d.Kind, d.Attachment = KindAttachment, id
	}
	return h.write(ctx, in.ID, in.Body.ClientID, d)
}

func (h handlers) serveRetract(ctx context.Context, in *retractInput) (*sendOutput, error) {
	return h.write(ctx, in.ID, in.Body.ClientID, Draft{Kind: KindRetraction, Target: in.Seq})
}

func (h handlers) serveCorrect(ctx context.Context, in *correctInput) (*sendOutput, error) {
	return h.write(ctx, in.ID, in.Body.ClientID, Draft{Kind: KindCorrection, Target: in.Seq, Text: in.Body.Text})
}

// write submits the actor's draft to a conversation in which they take part.
func (h handlers) write(ctx context.Context, publicID, clientID string, d Draft) (*sendOutput, error) {
	var err error
	if d.ClientID, err = ParseClientID(clientID); err != nil {
		return nil, errs.InvalidField("body.clientId", "must be a UUID in the form with 36 characters")
	}
	d.Sender = httpd.Actor(ctx)
	r, err := h.svc.TakesPart(ctx, d.Sender, publicID)
	if err != nil {
		return nil, err
	}
	d.Conversation = r.Conversation()
	ack, err := h.svc.Send(ctx, d)
	if err != nil {
		return nil, err
	}
	out := &sendOutput{}
	out.Body.ClientID, out.Body.Seq = clientID, ack.Seq
	out.Body.At, out.Body.Duplicate = ack.At.UTC(), ack.Duplicate
	return out, nil
}
