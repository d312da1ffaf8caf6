package conversation

import (
	"context"
	"net/http"
	"time"

	"housecall/internal/auth"
	"housecall/internal/httpd"
)

// participantBody is a participant with their cursors. Only connections show who is online.
type participantBody struct {
	UserID       string    `json:"userId"`
	Role         auth.Role `json:"role"`
	Name         string    `json:"name"`
	DeliveredSeq int64     `json:"deliveredSeq"`
	ReadSeq      int64     `json:"readSeq"`
}

// stateBody is the state of a conversation. Connections get the same in hello.
type stateBody struct {
	AppointmentID string            `json:"appointmentId"`
	CanReply      bool              `json:"canReply" doc:"Whether the caller can write now."`
	ReplyUntil    *time.Time        `json:"replyUntil,omitempty" doc:"When the conversation will close by itself."`
	WhyNot        string            `json:"whyNot,omitempty" doc:"Why the caller cannot write." enum:"pending,rejected,cancelled,expired,no_show,follow_up_over,closed_by_doctor,doctor_unavailable,read_only"`
	HeadSeq       int64             `json:"headSeq" doc:"The last seq of the conversation."`
	Epoch         string            `json:"epoch" doc:"Names the current history of the log. It changes when the database was restored or has failed over."`
	Participants  []participantBody `json:"participants" doc:"The patient, then the doctor."`
	Notice        string            `json:"notice" doc:"When messages are answered, and whom to call in an emergency."`
}

func (v View) body() stateBody {
	a := v.Appointment
	b := stateBody{
		AppointmentID: a.PublicID, CanReply: v.Can, WhyNot: v.WhyNot, HeadSeq: v.HeadSeq, Epoch: v.Epoch,
		Notice: v.ClinicNotice,
	}
	for _, p := range a.Participants() {
		at := v.Cursors[p.ID]
		b.Participants = append(b.Participants, participantBody{
			UserID: p.UserID, Role: p.Role, Name: p.Name, DeliveredSeq: at.Delivered, ReadSeq: at.Read,
		})
	}
	if !v.Until.IsZero() {
		until := v.Until.UTC()
		b.ReplyUntil = &until
	}
	return b
}

type stateInput struct {
	ID string `path:"id" maxLength:"20"`
}

type closeInput struct {
	ID   string `path:"id" maxLength:"20"`
	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"500" doc:"The patient sees it in the conversation."`
	}
}

type stateOutput struct{ Body stateBody }

// stateRoutes adds the routes for a conversation's state and for closing and reopening it.
func stateRoutes(s *httpd.Server, h handlers) {
	refusals := []int{http.StatusNotFound, http.StatusConflict}
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/appointments/{id}/conversation", Tag: "chat",
		Summary: "Get the state of a conversation", Access: httpd.SignedIn, Errors: []int{http.StatusNotFound},
	}, h.serveState)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/conversation/close", Tag: "chat", Summary: "Close a conversation",
		Description: "Only for its doctor. Nothing changes if it is already closed. If it is not open for another " +
			"reason, the answer is 409 `not_open`, with `whyNot`.",
		Status: http.StatusOK, Access: httpd.Only(auth.Doctor), Errors: refusals,
	}, h.serveClose)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/conversation/open", Tag: "chat",
		Summary: "Reopen a closed conversation",
		Description: "Only for its doctor, while the appointment is BOOKED or shortly after its completion. Otherwise " +
			"the answer is 409 `cannot_open`, with `whyNot`.",
		Status: http.StatusOK, Access: httpd.Only(auth.Doctor), Errors: refusals,
	}, h.serveOpen)
}

func (h handlers) serveState(ctx context.Context, in *stateInput) (*stateOutput, error) {
	v, err := h.svc.State(ctx, httpd.Actor(ctx), in.ID)
	return shown(v, err)
}

func (h handlers) serveClose(ctx context.Context, in *closeInput) (*stateOutput, error) {
	reason := ""
	if in.Body != nil {
		reason = in.Body.Reason
	}
	v, err := h.svc.Close(ctx, httpd.Actor(ctx), in.ID, reason)
	return shown(v, err)
}

func (h handlers) serveOpen(ctx context.Context, in *stateInput) (*stateOutput, error) {
	v, err := h.svc.Reopen(ctx, httpd.Actor(ctx), in.ID)
	return shown(v, err)
}

func shown(v View, err error) (*stateOutput, error) {
	if err != nil {
		return nil, err
	}
	return &stateOutput{v.body()}, nil
}
