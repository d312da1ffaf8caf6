package hms

import (
	"strings"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
)

// handler answers a signed-in user.
type handler func(c *fiber.Ctx, by auth.Actor) error

// errPasswordChange is what users get who must change their password first.
var errPasswordChange = errs.New(errs.Forbidden, httpd.ErrPasswordChange.Code,
	"Choose a new password first, under Update password.")

// beforePasswordChange lets in everyone who is signed in, even if they must change their password first.
func (a api) beforePasswordChange(h handler) fiber.Handler {
	return func(c *fiber.Ctx) error {
		by, err := a.Accounts.AuthenticateOlder(c.UserContext(), token(c), auth.AudienceHMS)
		if err != nil {
			return err
		}
		c.SetUserContext(auth.WithActor(c.UserContext(), by))
		return h(c, by)
	}
}

// signedIn lets in everyone who is signed in.
func (a api) signedIn(h handler) fiber.Handler {
	return a.beforePasswordChange(func(c *fiber.Ctx, by auth.Actor) error {
		if by.MustChangePassword {
			return errPasswordChange
		}
		return h(c, by)
	})
}

// only lets in users of one role.
func (a api) only(role auth.Role, h handler) fiber.Handler {
	return a.signedIn(func(c *fiber.Ctx, by auth.Actor) error {
		if by.Role != role {
			return errs.ErrForbidden
		}
		return h(c, by)
	})
}

// token returns the token of the older pages' header, or of the usual one (RFC 6750, 2.1).
func token(c *fiber.Ctx) string {
	if t := strings.TrimSpace(c.Get("auth-token")); t != "" {
		return t
	}
	scheme, t, _ := strings.Cut(c.Get(fiber.HeaderAuthorization), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(t)
}
