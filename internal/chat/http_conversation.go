package chat

import (
	"context"
	"net/http"
	"time"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/httpd"
)

// participantBody is a participant and how far he has got. Who is online only sockets know.
type participantBody struct {
	UserID       string    `json:"userId"`
	Role         auth.Role `json:"role"`
	Name         string    `json:"name"`
	DeliveredSeq int64     `json:"deliveredSeq"`
	ReadSeq      int64     `json:"readSeq"`
}

// conversationBody is the state of a conversation; hello tells sockets the same.
type conversationBody struct {
	AppointmentID string            `json:"appointmentId"`
	CanReply      bool              `json:"canReply" doc:"Whether the caller can write now."`
	ReplyUntil    *time.Time        `json:"replyUntil,omitempty" doc:"When the conversation ends by the clock."`
	WhyNot        string            `json:"whyNot,omitempty" doc:"Why he cannot." enum:"pending,rejected,cancelled,expired,no_show,follow_up_over,closed_by_doctor,doctor_unavailable,read_only"`
	HeadSeq       int64             `json:"headSeq" doc:"The last seq of the conversation."`
	Epoch         string            `json:"epoch" doc:"Names this history of the log; it changes after a restore."`
	Participants  []participantBody `json:"participants" doc:"The patient, then the doctor."`
	Notice        string            `json:"notice" doc:"When messages are answered, and whom to call in an emergency."`
}

func (c Conversation) body() conversationBody {
	participant := func(p appointment.Person, role auth.Role) participantBody {
		at := c.receipts[p.ID]
		return participantBody{UserID: p.UserID, Role: role, Name: p.Name, DeliveredSeq: at.delivered, ReadSeq: at.read}
	}
	a := c.Appointment
	b := conversationBody{
		AppointmentID: a.PublicID, CanReply: c.CanReply, WhyNot: c.WhyNot, HeadSeq: c.HeadSeq, Epoch: c.Epoch, Notice: c.Notice,
		Participants: []participantBody{participant(a.Patient, auth.Patient), participant(a.Doctor, auth.Doctor)},
	}
	if !c.ReplyUntil.IsZero() {
		until := c.ReplyUntil.UTC()
		b.ReplyUntil = &until
	}
	return b
}

type conversationInput struct {
	ID string `path:"id" maxLength:"20"`
}

type closeInput struct {
	ID   string `path:"id" maxLength:"20"`
	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"500" doc:"The patient sees it in the conversation."`
	}
}

type conversationOutput struct{ Body conversationBody }

// conversationRoutes adds a conversation's state, and its closing and opening.
func conversationRoutes(s *httpd.Server, svc *Service) {
	refusals := []int{http.StatusNotFound, http.StatusConflict}
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/appointments/{id}/conversation", Tag: "chat", Summary: "The state of a conversation",
		Access: httpd.SignedIn, Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *conversationInput) (*conversationOutput, error) {
		c, err := svc.State(ctx, httpd.Actor(ctx), in.ID)
		return &conversationOutput{c.body()}, err
	})
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/conversation/close", Tag: "chat", Summary: "Close a conversation",
		Description: "For its doctor. One that is closed already stays as it is; one that is not open for another reason is 409 `not_open`, with `whyNot`.",
		Status:      http.StatusOK, Access: httpd.Only(auth.Doctor), Errors: refusals,
	}, func(ctx context.Context, in *closeInput) (*conversationOutput, error) {
		reason := ""
		if in.Body != nil {
			reason = in.Body.Reason
		}
		c, err := svc.CloseConversation(ctx, httpd.Actor(ctx), in.ID, reason)
		return &conversationOutput{c.body()}, err
	})
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/conversation/open", Tag: "chat", Summary: "Open a closed conversation again",
		Description: "For its doctor, while the appointment is BOOKED or in the time after its completion; else 409 `cannot_open`, with `whyNot`.",
		Status:      http.StatusOK, Access: httpd.Only(auth.Doctor), Errors: refusals,
	}, func(ctx context.Context, in *conversationInput) (*conversationOutput, error) {
		c, err := svc.OpenConversation(ctx, httpd.Actor(ctx), in.ID)
		return &conversationOutput{c.body()}, err
	})
}
