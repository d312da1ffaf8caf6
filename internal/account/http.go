package account

import (
	"context"
	"net/http"
	"time"

	"housecall/internal/auth"
	"housecall/internal/httpd"
)

// Routes adds sign-in, one's own account and the administration of users.
func Routes(s *httpd.Server, svc *Service) {
	h := handlers{svc}
	signInRoutes(s, h)
	passwordRoutes(s, h)
	emailRoutes(s, h)
	meRoutes(s, h)
	userRoutes(s, h)
	disableRoutes(s, h)
}

// The groups of routes in the API's documentation.
const (
	signInTag = "Sign-in"
	meTag     = "Me"
	usersTag  = "Users"
)

type handlers struct{ svc *Service }

// Identity is how a user is named in answers.
type Identity struct {
	UserID string    `json:"userId" example:"PAT7Q2M4XK9Z1"`
	Name   string    `json:"name"`
	Email  string    `json:"email"`
	Role   auth.Role `json:"role" enum:"PATIENT,DOCTOR,ADMIN"`
}

func identityOf(u User) Identity {
	return Identity{UserID: u.PublicID, Name: u.Name, Email: u.Email, Role: u.Role}
}

// signedIn is the answer to a sign-in and to a refresh.
type signedIn struct {
	AccessToken  string       `json:"accessToken"`
	ExpiresIn    int          `json:"expiresIn" doc:"Seconds until the access token expires"`
	RefreshToken string       `json:"refreshToken" doc:"Valid for one refresh"`
	User         signedInUser `json:"user"`
}

type signedInUser struct {
	Identity
	EmailVerified      bool `json:"emailVerified"`
	MustChangePassword bool `json:"mustChangePassword" doc:"While true, only /me, /me/password and logout work"`
}

type signedInOutput struct{ Body signedIn }

func answerOf(r SignIn) *signedInOutput {
	return &signedInOutput{Body: signedIn{
		AccessToken: r.AccessToken, ExpiresIn: int(r.ExpiresIn / time.Second), RefreshToken: r.RefreshToken,
		User: signedInUser{
			Identity: identityOf(r.User), EmailVerified: r.User.EmailVerified, MustChangePassword: r.User.MustChangePassword,
		},
	}}
}

type identityOutput struct{ Body Identity }

type registerInput struct {
	Body struct {
		Name        string `json:"name" minLength:"1" maxLength:"100"`
		Email       string `json:"email" maxLength:"254"`
		Password    string `json:"password" minLength:"10" maxLength:"128"`
		Phone       string `json:"phone,omitempty" maxLength:"40"`
		DateOfBirth string `json:"dateOfBirth,omitempty" format:"date"`
		Gender      string `json:"gender,omitempty" enum:"male,female,other"`
		Address     string `json:"address,omitempty" maxLength:"500"`
	}
}

type acceptInput struct {
	Body struct {
		Token    string `json:"token" minLength:"1" maxLength:"200"`
		Password string `json:"password" minLength:"10" maxLength:"128"`
	}
}

type loginInput struct {
	Body struct {
		Login    string `json:"login" minLength:"1" maxLength:"320" doc:"Email address or user id"`
		Password string `json:"password" maxLength:"1024"`
	}
}

type refreshInput struct {
	Body struct {
		RefreshToken string `json:"refreshToken" minLength:"1" maxLength:"200"`
	}
}

func signInRoutes(s *httpd.Server, h handlers) {
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/auth/register", Tag: signInTag, Summary: "Register as a patient",
		Status: http.StatusCreated, Access: httpd.Public,
		Errors: []int{http.StatusConflict, http.StatusTooManyRequests},
	}, h.serveRegister)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/auth/invitations/accept", Tag: signInTag,
		Summary:     "Set the password of an invited account",
		Description: "An invitation works once. Sign in with the new password afterwards.",
		Access:      httpd.Public, Errors: []int{http.StatusNotFound, http.StatusTooManyRequests},
	}, h.accept)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/auth/login", Tag: signInTag, Summary: "Sign in",
		Access: httpd.Public, Errors: []int{http.StatusUnauthorized, http.StatusTooManyRequests},
	}, h.serveLogin)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/auth/refresh", Tag: signInTag, Summary: "Exchange a refresh token for new tokens",
		Description: "The same token returns the same successor for 30 seconds; using it later ends the session.",
		Access:      httpd.Public, Errors: []int{http.StatusUnauthorized},
	}, h.serveRefresh)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/auth/logout", Tag: signInTag, Summary: "Sign out of this session",
		Access: httpd.SignedIn.BeforePasswordChange(),
	}, h.serveLogout)
}

func (h handlers) serveRegister(ctx context.Context, in *registerInput) (*identityOutput, error) {
	r := Registration{Name: in.Body.Name, Email: in.Body.Email, Password: in.Body.Password, Details: PatientDetails{
		Phone: in.Body.Phone, Gender: in.Body.Gender, DateOfBirth: date(in.Body.DateOfBirth), Address: in.Body.Address,
	}}
	u, err := h.svc.Register(ctx, r, httpd.ClientFrom(ctx))
	return &identityOutput{Body: identityOf(u)}, err
}

func (h handlers) accept(ctx context.Context, in *acceptInput) (*identityOutput, error) {
	u, err := h.svc.AcceptInvitation(ctx, in.Body.Token, in.Body.Password, httpd.ClientFrom(ctx))
	return &identityOutput{Body: identityOf(u)}, err
}

func (h handlers) serveLogin(ctx context.Context, in *loginInput) (*signedInOutput, error) {
	r, err := h.svc.Login(ctx, in.Body.Login, in.Body.Password, httpd.ClientFrom(ctx))
	return answerOf(r), err
}

func (h handlers) serveRefresh(ctx context.Context, in *refreshInput) (*signedInOutput, error) {
	r, err := h.svc.Refresh(ctx, in.Body.RefreshToken)
	return answerOf(r), err
}

func (h handlers) serveLogout(ctx context.Context, _ *struct{}) (*struct{}, error) {
	return nil, h.svc.Logout(ctx, httpd.Actor(ctx))
}

// date parses what format:"date" has accepted; nil if nothing was given.
func date(s string) *time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return nil
	}
	return &t
}
