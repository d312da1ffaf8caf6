package account

import (
	"context"
	"net/http"
	"time"

	"housecall/internal/httpd"
)

// ownAccount is an account as its owner sees it.
type ownAccount struct {
	Identity
	EmailVerified      bool      `json:"emailVerified"`
	PendingEmail       string    `json:"pendingEmail,omitempty" doc:"The address that replaces yours once it is verified"`
	MustChangePassword bool      `json:"mustChangePassword"`
	CreatedAt          time.Time `json:"createdAt"`
}

type ownAccountOutput struct {
	ETag string `header:"ETag"`
	Body ownAccount
}

func ownAccountFrom(u User) *ownAccountOutput {
	return &ownAccountOutput{ETag: httpd.ETag(u.Version), Body: ownAccount{
		Identity: identityOf(u), EmailVerified: u.EmailVerified, PendingEmail: u.PendingEmail,
		MustChangePassword: u.MustChangePassword, CreatedAt: u.CreatedAt.UTC(),
	}}
}

type changeMeInput struct {
	IfMatch string `header:"If-Match"`
	Body    struct {
		Name *string `json:"name,omitempty" minLength:"1" maxLength:"100"`
	}
}

type changePasswordInput struct {
	Body struct {
		CurrentPassword string `json:"currentPassword" maxLength:"1024"`
		NewPassword     string `json:"newPassword" minLength:"10" maxLength:"128"`
	}
}

// sessionItem is one place where a user is signed in.
type sessionItem struct {
	ID         string    `json:"id" format:"uuid"`
	Device     string    `json:"device" doc:"The User-Agent of the sign-in"`
	Address    string    `json:"address" doc:"The IP address of the sign-in"`
	CreatedAt  time.Time `json:"createdAt"`
	LastUsedAt time.Time `json:"lastUsedAt" doc:"Accurate to about a minute"`
	Current    bool      `json:"current" doc:"Whether this request was made with this session"`
}

type sessionsInput struct{ httpd.PageQuery }

type sessionsOutput struct{ Body httpd.Page[sessionItem] }

type sessionInput struct {
	ID string `path:"id" maxLength:"40"`
}

func meRoutes(s *httpd.Server, h handlers) {
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/me", Tag: meTag, Summary: "Get my account",
		Access: httpd.SignedIn.BeforePasswordChange(),
	}, h.serveMe)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPatch, Path: "/me", Tag: meTag, Summary: "Change my account", Access: httpd.SignedIn,
		Errors: []int{http.StatusPreconditionFailed, http.StatusPreconditionRequired},
	}, h.serveChangeMe)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPut, Path: "/me/password", Tag: meTag, Summary: "Change my password",
		Description: "Ends all other sessions.", Access: httpd.SignedIn.BeforePasswordChange(),
		Errors: []int{http.StatusPreconditionFailed, http.StatusTooManyRequests},
	}, h.serveChangePassword)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/me/sessions", Tag: meTag, Summary: "List my sessions", Access: httpd.SignedIn,
	}, h.serveSessions)
	httpd.Register(s, httpd.Route{
		Method: http.MethodDelete, Path: "/me/sessions/{id}", Tag: meTag, Summary: "Sign out of one of my sessions",
		Access: httpd.SignedIn, Errors: []int{http.StatusNotFound},
	}, h.serveRevokeSession)
}

func (h handlers) serveMe(ctx context.Context, _ *struct{}) (*ownAccountOutput, error) {
	u, err := h.svc.Me(ctx, httpd.Actor(ctx))
	return ownAccountFrom(u), err
}

func (h handlers) serveChangeMe(ctx context.Context, in *changeMeInput) (*ownAccountOutput, error) {
	version, _, err := httpd.IfMatch(in.IfMatch, true)
	if err != nil {
		return nil, err
	}
	u, err := h.svc.ChangeMe(ctx, httpd.Actor(ctx), version, Change{Name: in.Body.Name})
	return ownAccountFrom(u), err
}

func (h handlers) serveChangePassword(ctx context.Context, in *changePasswordInput) (*struct{}, error) {
	return nil, h.svc.ChangePassword(ctx, httpd.Actor(ctx), in.Body.CurrentPassword, in.Body.NewPassword)
}

func (h handlers) serveSessions(ctx context.Context, in *sessionsInput) (*sessionsOutput, error) {
	cursor, err := decodeCursor(ctx, in.Cursor)
	if err != nil {
		return nil, err
	}
	sessions, next, err := h.svc.Sessions(ctx, httpd.Actor(ctx), cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &sessionsOutput{Body: httpd.Page[sessionItem]{NextCursor: encodeCursor(ctx, next)}}
	for _, x := range sessions {
		out.Body.Items = append(out.Body.Items, sessionItem{
			ID: x.PublicID, Device: x.Device, Address: x.Address, CreatedAt: x.CreatedAt, LastUsedAt: x.LastUsedAt,
			Current: x.Current,
		})
	}
	return out, nil
}

func (h handlers) serveRevokeSession(ctx context.Context, in *sessionInput) (*struct{}, error) {
	return nil, h.svc.RevokeSession(ctx, httpd.Actor(ctx), in.ID)
}

// decodeCursor returns the id below which a page begins; 0 is the first page.
func decodeCursor(ctx context.Context, s string) (id int64, err error) {
	err = httpd.DecodeCursor(ctx, s, &id)
	return id, err
}

func encodeCursor(ctx context.Context, next int64) string {
	if next == 0 {
		return ""
	}
	return httpd.EncodeCursor(ctx, next)
}
