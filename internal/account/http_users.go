package account

import (
	"context"
	"net/http"
	"time"

	"housecall/internal/auth"
	"housecall/internal/httpd"
)

// listedUser is an account as an administrator sees it.
type listedUser struct {
	Identity
	EmailVerified      bool      `json:"emailVerified"`
	Disabled           bool      `json:"disabled"`
	Invited            bool      `json:"invited" doc:"Whether the invitation has not been accepted yet"`
	MustChangePassword bool      `json:"mustChangePassword"`
	CreatedAt          time.Time `json:"createdAt"`
}

func listedFrom(u User) listedUser {
	return listedUser{
		Identity: identityOf(u), EmailVerified: u.EmailVerified, Disabled: u.DisabledAt != nil, Invited: u.Invited,
		MustChangePassword: u.MustChangePassword, CreatedAt: u.CreatedAt.UTC(),
	}
}

type userOutput struct {
	ETag string `header:"ETag"`
	Body listedUser
}

func userFrom(u User) *userOutput {
	return &userOutput{ETag: httpd.ETag(u.Version), Body: listedFrom(u)}
}

type usersInput struct {
	httpd.PageQuery
	Query    string `query:"q" maxLength:"100" doc:"Part of the name (whatever its case and accents), the email address or the user id"`
	Role     string `query:"role" enum:"PATIENT,DOCTOR,ADMIN"`
	Disabled string `query:"disabled" enum:"true,false" doc:"true: only disabled accounts; false: only the others"`
}

type usersOutput struct{ Body httpd.Page[listedUser] }

type userInput struct {
	ID string `path:"id" maxLength:"20"`
}

type roleInput struct {
	ID   string `path:"id" maxLength:"20"`
	Body struct {
		Role               auth.Role `json:"role" enum:"PATIENT,DOCTOR,ADMIN"`
		CancelAppointments bool      `json:"cancelAppointments,omitempty" doc:"Cancel a former doctor's future appointments"`
		HandOverTo         string    `json:"handOverTo,omitempty" maxLength:"20" doc:"Or hand them over to this doctor"`
	}
}

type disableBody struct {
	CancelAppointments bool   `json:"cancelAppointments,omitempty" doc:"Cancel a doctor's future appointments"`
	HandOverTo         string `json:"handOverTo,omitempty" maxLength:"20" doc:"Or hand them over to this doctor"`
}

type disableInput struct {
	ID   string `path:"id" maxLength:"20"`
	Body *disableBody
}

type invitationOutput struct {
	Body struct {
		InvitationToken string    `json:"invitationToken" doc:"Shown only once"`
		ExpiresAt       time.Time `json:"expiresAt"`
	}
}

func userRoutes(s *httpd.Server, h handlers) {
	admin := httpd.Only(auth.Admin)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/users", Tag: usersTag, Summary: "List accounts", Access: admin,
	}, h.serveUsers)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/users/{id}", Tag: usersTag, Summary: "Get an account", Access: admin,
		Errors: []int{http.StatusNotFound},
	}, h.serveUser)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPut, Path: "/users/{id}/role", Tag: usersTag, Summary: "Change a user's role",
		Description: "Ends the user's sessions. Nobody can change their own role, and at least one administrator remains.",
		Access:      admin, Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, h.serveSetRole)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/users/{id}/invitation", Tag: usersTag, Summary: "Renew an invitation",
		Description: "Only while the user has no password. The earlier invitation stops working.",
		Status:      http.StatusCreated, Access: admin, Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, h.serveReinvite)
}

func (h handlers) serveUsers(ctx context.Context, in *usersInput) (*usersOutput, error) {
	cursor, err := decodeCursor(ctx, in.Cursor)
	if err != nil {
		return nil, err
	}
	f := Filter{Query: in.Query, Role: auth.Role(in.Role)}
	if in.Disabled != "" {
		disabled := in.Disabled == "true"
		f.Disabled = &disabled
	}
	users, next, err := h.svc.Users(ctx, f, cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &usersOutput{Body: httpd.Page[listedUser]{NextCursor: encodeCursor(ctx, next)}}
	for _, u := range users {
		out.Body.Items = append(out.Body.Items, listedFrom(u))
	}
	return out, nil
}

func (h handlers) serveUser(ctx context.Context, in *userInput) (*userOutput, error) {
	u, err := h.svc.User(ctx, in.ID)
	return userFrom(u), err
}

func (h handlers) serveSetRole(ctx context.Context, in *roleInput) (*userOutput, error) {
	l := Leave{CancelAppointments: in.Body.CancelAppointments, HandOverTo: in.Body.HandOverTo}
	u, err := h.svc.SetRole(ctx, httpd.Actor(ctx), in.ID, in.Body.Role, l)
	return userFrom(u), err
}

func (h handlers) serveReinvite(ctx context.Context, in *userInput) (*invitationOutput, error) {
	l, err := h.svc.Reinvite(ctx, httpd.Actor(ctx), in.ID)
	out := &invitationOutput{}
	out.Body.InvitationToken, out.Body.ExpiresAt = l.Token, l.Expires
	return out, err
}

// disableRoutes adds the routes that disable and enable accounts.
func disableRoutes(s *httpd.Server, h handlers) {
	admin := httpd.Only(auth.Admin)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/users/{id}/disable", Tag: usersTag, Summary: "Disable an account",
		Description: "Ends the user's sessions. A doctor's future appointments must be cancelled or handed over, here or " +
			"beforehand. Conversations of past appointments are closed and stay closed.",
		Access: admin, Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, h.serveDisable)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/users/{id}/enable", Tag: usersTag, Summary: "Enable a disabled account",
		Access: admin, Errors: []int{http.StatusNotFound},
	}, h.serveEnable)
}

func (h handlers) serveDisable(ctx context.Context, in *disableInput) (*userOutput, error) {
	var l Leave
	if in.Body != nil {
		l = Leave{CancelAppointments: in.Body.CancelAppointments, HandOverTo: in.Body.HandOverTo}
	}
	u, err := h.svc.Disable(ctx, httpd.Actor(ctx), in.ID, l)
	return userFrom(u), err
}

func (h handlers) serveEnable(ctx context.Context, in *userInput) (*userOutput, error) {
	u, err := h.svc.Enable(ctx, httpd.Actor(ctx), in.ID)
	return userFrom(u), err
}
