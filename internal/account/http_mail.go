package account

import (
	"context"
	"net/http"

	"housecall/internal/httpd"
)

type verifyInput struct {
	Body struct {
		Token string `json:"token" minLength:"1" maxLength:"200"`
	}
}

type forgotInput struct {
	Body struct {
		Login string `json:"login" minLength:"1" maxLength:"320" doc:"Email address or user id"`
	}
}

type resetInput struct {
	Body struct {
		Token    string `json:"token" minLength:"1" maxLength:"200"`
		Password string `json:"password" minLength:"10" maxLength:"128"`
	}
}

type changeEmailInput struct {
	Body struct {
		Email    string `json:"email" maxLength:"254"`
		Password string `json:"password" maxLength:"1024" doc:"Your current password"`
	}
}

// passwordRoutes adds the routes that replace a forgotten password.
func passwordRoutes(s *httpd.Server, h handlers) {
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/auth/forgot", Tag: signInTag, Summary: "Send a password reset link by email",
		Description: "The answer is the same whether or not the account exists. An earlier link stops working.",
		Status:      http.StatusAccepted, Access: httpd.Public, Errors: []int{http.StatusTooManyRequests},
	}, h.forgot)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/auth/reset", Tag: signInTag,
		Summary:     "Choose a new password with the token from an email",
		Description: "Ends all sessions and verifies the email address. Sign in with the new password afterwards.",
		Access:      httpd.Public, Errors: []int{http.StatusNotFound, http.StatusTooManyRequests},
	}, h.reset)
}

func (h handlers) forgot(ctx context.Context, in *forgotInput) (*struct{}, error) {
	return nil, h.svc.ForgotPassword(ctx, in.Body.Login, httpd.ClientFrom(ctx))
}

func (h handlers) reset(ctx context.Context, in *resetInput) (*struct{}, error) {
	return nil, h.svc.ResetPassword(ctx, in.Body.Token, in.Body.Password, httpd.ClientFrom(ctx))
}

// emailRoutes adds the routes that verify and change email addresses.
func emailRoutes(s *httpd.Server, h handlers) {
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/auth/verify", Tag: signInTag,
		Summary:     "Verify an email address with the token from an email",
		Description: "If the user asked to change to this address, it becomes theirs and their other sessions end.",
		Access:      httpd.Public,
		Errors:      []int{http.StatusNotFound, http.StatusConflict, http.StatusTooManyRequests},
	}, h.verify)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/auth/verify/resend", Tag: signInTag, Summary: "Resend the verification email",
		Description: "It goes to the pending address if there is one. An earlier link stops working.",
		Status:      http.StatusAccepted, Access: httpd.SignedIn,
		Errors: []int{http.StatusConflict, http.StatusTooManyRequests},
	}, h.resend)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPut, Path: "/me/email", Tag: meTag, Summary: "Change my email address",
		Description: "The new address receives an email and takes effect once it is verified; until then it is " +
			"pendingEmail. The old address is notified. Sending the current address withdraws an earlier change. The answer " +
			"is the same if somebody else has the address.",
		Status: http.StatusAccepted, Access: httpd.SignedIn,
		Errors: []int{http.StatusPreconditionFailed, http.StatusTooManyRequests},
	}, h.serveChangeEmail)
}

func (h handlers) verify(ctx context.Context, in *verifyInput) (*struct{}, error) {
	return nil, h.svc.VerifyEmail(ctx, in.Body.Token, httpd.ClientFrom(ctx))
}

func (h handlers) resend(ctx context.Context, _ *struct{}) (*struct{}, error) {
	return nil, h.svc.ResendVerification(ctx, httpd.Actor(ctx))
}

func (h handlers) serveChangeEmail(ctx context.Context, in *changeEmailInput) (*struct{}, error) {
	return nil, h.svc.ChangeEmail(ctx, httpd.Actor(ctx), in.Body.Password, in.Body.Email)
}
