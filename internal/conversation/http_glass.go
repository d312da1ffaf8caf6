package conversation

import (
	"context"
	"net/http"
	"time"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
)

// glassBody is break-glass access on the wire.
type glassBody struct {
	ID            string      `json:"id" format:"uuid"`
	AppointmentID string      `json:"appointmentId"`
	Admin         adminBody   `json:"admin" doc:"The administrator who can read the conversation."`
	Reason        string      `json:"reason"`
	Status        GlassStatus `json:"status" enum:"active,expired,ended" doc:"ended: an administrator or the end of the sign-in session ended it before it expired."`
	CreatedAt     time.Time   `json:"createdAt"`
	ExpiresAt     time.Time   `json:"expiresAt"`
	EndedAt       *time.Time  `json:"endedAt,omitempty"`
}

type adminBody struct {
	UserID string `json:"userId"`
	Name   string `json:"name"`
}

func (g Glass) body(now time.Time) glassBody {
	b := glassBody{
		ID: g.ID.String(), AppointmentID: g.Appointment, Admin: adminBody{g.Admin, g.AdminName}, Reason: g.Reason,
		Status: g.Status(now), CreatedAt: g.CreatedAt.UTC(), ExpiresAt: g.ExpiresAt.UTC(),
	}
	if g.EndedAt != nil && b.Status == GlassEnded {
		at := g.EndedAt.UTC()
		b.EndedAt = &at
	}
	return b
}

type breakInput struct {
	Body struct {
		AppointmentID string `json:"appointmentId" minLength:"1" maxLength:"20"`
		Reason        string `json:"reason" minLength:"10" maxLength:"500" doc:"The participants see it in the conversation."`
		Minutes       int    `json:"minutes,omitempty" minimum:"5" maximum:"240" default:"60" doc:"How long the access lasts."`
	}
}

type glassInput struct {
	ID string `path:"id" maxLength:"36"`
}

type glassesInput struct{ httpd.PageQuery }

type glassOutput struct{ Body glassBody }

type glassesOutput struct{ Body httpd.Page[glassBody] }

type versionsInput struct {
	ID  string `path:"id" maxLength:"20"`
	Seq int64  `path:"seq" minimum:"1"`
}

type versionsOutput struct {
	Body struct {
		Items []eventBody `json:"items" doc:"The message as it was sent, then each correction and the retraction."`
	}
}

// glassRoutes adds the operations of break-glass access.
func glassRoutes(s *httpd.Server, h handlers) {
	admin, tag := httpd.Only(auth.Admin), "Administration"
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/admin/break-glass", Tag: tag, Summary: "Get break-glass access to a conversation",
		Description: "The participants see who has access, why and until when. While the access and your sign-in " +
			"session last, you can read its messages, attachments, transcript and WebSocket, but not " +
			"write. Each access leaves an audit row.",
		Status: http.StatusCreated, Access: admin, Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, h.serveBreakGlass)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/admin/break-glass", Tag: tag, Summary: "List break-glass access, newest first",
		Description: "Which conversations were opened, by whom, and why.", Access: admin,
	}, h.serveGlasses)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/admin/break-glass/{id}/end", Tag: tag,
		Summary:     "End break-glass access before it expires",
		Description: "Your own or another administrator's. Nothing happens if it is already over.",
		Status:      http.StatusOK, Access: admin, Errors: []int{http.StatusNotFound},
	}, h.serveEndGlass)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/appointments/{id}/messages/{seq}/versions", Tag: tag,
		Summary:     "Get a message as it was before it was corrected or retracted",
		Description: "Only for an administrator with break-glass access; for the participants it does not exist.",
		Access:      httpd.SignedIn, Errors: []int{http.StatusNotFound},
	}, h.serveVersions)
}

func (h handlers) serveBreakGlass(ctx context.Context, in *breakInput) (*glassOutput, error) {
	g, err := h.svc.BreakGlass(ctx, httpd.Actor(ctx), GlassRequest{
		Appointment: in.Body.AppointmentID, Reason: in.Body.Reason, Lasts: time.Duration(in.Body.Minutes) * time.Minute,
	})
	return &glassOutput{g.body(h.now())}, err
}

func (h handlers) serveGlasses(ctx context.Context, in *glassesInput) (*glassesOutput, error) {
	var before int64
	if err := httpd.DecodeCursor(ctx, in.Cursor, &before); err != nil {
		return nil, err
	}
	page, next, err := h.svc.Glasses(ctx, before, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &glassesOutput{}
	for _, g := range page {
		out.Body.Items = append(out.Body.Items, g.body(h.now()))
	}
	if next != 0 {
		out.Body.NextCursor = httpd.EncodeCursor(ctx, next)
	}
	return out, nil
}

func (h handlers) serveEndGlass(ctx context.Context, in *glassInput) (*glassOutput, error) {
	id, err := ParseClientID(in.ID)
	if err != nil {
		return nil, errs.Missing("break-glass")
	}
	g, err := h.svc.EndGlass(ctx, httpd.Actor(ctx), id)
	return &glassOutput{g.body(h.now())}, err
}

func (h handlers) serveVersions(ctx context.Context, in *versionsInput) (*versionsOutput, error) {
	versions, err := h.svc.Versions(ctx, httpd.Actor(ctx), in.ID, in.Seq)
	if err != nil {
		return nil, err
	}
	out := &versionsOutput{}
	out.Body.Items = make([]eventBody, len(versions))
	for i, e := range versions {
		out.Body.Items[i] = bodyOf(e)
	}
	return out, nil
}
