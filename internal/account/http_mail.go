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
		Login string `json:"login" minLength:"1" maxLength:"320" doc:"E-mail address or user id"`
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
		Password string `json:"password" maxLength:"1024" doc:"The present password"`
	}
}

// mailRoutes are about what is sent to people's addresses.
func mailRoutes(s *httpd.Server, svc *Service) {
	verifyRoutes(s, svc)
	const tag = "Sign-in"
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/auth/forgot", Tag: tag, Summary: "Have a link mailed that resets the password",
		Description: "The answer is the same whether or not there is such an account. A link before stops working.",
		Status:      http.StatusAccepted, Access: httpd.Public, Errors: []int{http.StatusTooManyRequests},
	}, func(ctx context.Context, in *forgotInput) (*struct{}, error) {
		return nil, svc.ForgotPassword(ctx, in.Body.Login, httpd.ClientFrom(ctx))
	})
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/auth/reset", Tag: tag, Summary: "Choose a new password with the token of a mail",
		Description: "Ends all sessions, and verifies the e-mail address. Sign in with the new password afterwards.",
		Access:      httpd.Public, Errors: []int{http.StatusNotFound, http.StatusTooManyRequests},
	}, func(ctx context.Context, in *resetInput) (*struct{}, error) {
		return nil, svc.ResetPassword(ctx, in.Body.Token, in.Body.Password, httpd.ClientFrom(ctx))
	})
}

func verifyRoutes(s *httpd.Server, svc *Service) {
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/auth/verify", Tag: "Sign-in", Summary: "Verify an e-mail address with the token of a mail",
		Description: "If it is the address that the user asked to change to, it becomes his, and his other sessions end.",
		Access:      httpd.Public, Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusTooManyRequests},
	}, func(ctx context.Context, in *verifyInput) (*struct{}, error) {
		return nil, svc.VerifyEmail(ctx, in.Body.Token, httpd.ClientFrom(ctx))
	})
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/auth/verify/resend", Tag: "Sign-in", Summary: "Have the mail that verifies my address sent again",
		Description: "It goes to the pending address if there is one. The link before stops working.",
		Status:      http.StatusAccepted, Access: httpd.SignedIn, Errors: []int{http.StatusConflict, http.StatusTooManyRequests},
	}, func(ctx context.Context, _ *struct{}) (*struct{}, error) {
		return nil, svc.ResendVerification(ctx, httpd.Actor(ctx))
	})
	httpd.Register(s, httpd.Route{
		Method: http.MethodPut, Path: "/me/email", Tag: "Me", Summary: "Change my e-mail address",
		Description: "The new address gets a mail, and counts once it is verified; until then it is pendingEmail. The old one is told. " +
			"The present address takes back what was asked for before. The answer is the same if somebody else has the address.",
		Status: http.StatusAccepted, Access: httpd.SignedIn,
		Errors: []int{http.StatusPreconditionFailed, http.StatusTooManyRequests},
	}, func(ctx context.Context, in *changeEmailInput) (*struct{}, error) {
		return nil, svc.ChangeEmail(ctx, httpd.Actor(ctx), in.Body.Password, in.Body.Email)
	})
}
