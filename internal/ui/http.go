package ui

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/account"
	"housecall/internal/errs"
	"housecall/internal/httpd"
)

// policy lets a page load its style sheet and submit its form, and nothing else.
const policy = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Lengths beyond which nothing can be valid: of a login as in the REST API, of a token a few times the length of ours.
const (
	loginMax = 320
	tokenMax = 200
)

// step is a page with a form, and what submitting it does.
type step struct {
	path  string
	shown page
	done  page
	// byMail: the page is useless without the token from an email.
	byMail bool
	// next is shown when a link no longer works; nil for none.
	next *link
	act  func(ctx context.Context, in input, client httpd.Client) error
}

// Options are the configured values of the pages.
type Options struct {
	Origin string // of the pages themselves, as in the Origin header: forms from elsewhere are refused
}

// Deps are what the pages need; all are required.
type Deps struct {
	Accounts *account.Service
	Options  Options
}

// Routes adds the pages, their style sheet, and the chat client for browsers.
func Routes(s *httpd.Server, d Deps) {
	for _, p := range steps(d.Accounts) {
		s.Router().Get(p.path, p.show)
		s.Router().Post(p.path, func(c *fiber.Ctx) error { return p.take(c, d.Options.Origin) })
	}
	s.Router().Get(WaitlistPath+"/:id", func(c *fiber.Ctx) error { return send(c, http.StatusOK, signpostPage) })
	appRoutes(s)
	style, err := files.ReadFile("pages/style.css")
	if err != nil {
		panic("ui: the style sheet is not embedded") // a test makes sure that it is
	}
	s.Router().Get(stylePath, func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderCacheControl, "public, max-age=3600")
		c.Type(".css", "utf-8")
		return c.Send(style)
	})
}

func steps(accounts *account.Service) []step {
	return []step{
		{
			path: VerifyPath, shown: verifyPage, done: verifiedPage, byMail: true,
			act: func(ctx context.Context, in input, client httpd.Client) error {
				return accounts.VerifyEmail(ctx, in.token, client)
			},
		},
		{
			path: ResetPath, shown: resetPage, done: resetDonePage, byMail: true, next: forgotLink,
			act: func(ctx context.Context, in input, client httpd.Client) error {
				if err := in.same(); err != nil {
					return err
				}
				return accounts.ResetPassword(ctx, in.token, in.password, client)
			},
		},
		{
			path: InvitationPath, shown: invitationPage, done: acceptedPage, byMail: true,
			act: func(ctx context.Context, in input, client httpd.Client) error {
				if err := in.same(); err != nil {
					return err
				}
				_, err := accounts.AcceptInvitation(ctx, in.token, in.password, client)
				return err
			},
		},
		{
			path: ForgotPath, shown: forgotPage, done: forgottenPage,
			act: func(ctx context.Context, in input, client httpd.Client) error {
				if strings.TrimSpace(in.login) == "" || len(in.login) > loginMax {
					return errs.InvalidField("body."+fieldLogin, "must have 1 to 320 characters")
				}
				return accounts.ForgotPassword(ctx, in.login, client)
			},
		},
	}
}

// errIncomplete is a link whose end was lost, as happens to links that are copied.
var errIncomplete = errs.New(errs.NotFound, "link_incomplete",
	"The link is incomplete. Please open it from your email again.")

// show answers GET. It looks nothing up: only submitting the form shows whether a token works.
func (p step) show(c *fiber.Ctx) error {
	token := c.Query("token")
	if p.byMail && !plausible(token) {
		return p.refuse(c, "", errIncomplete)
	}
	return send(c, http.StatusOK, p.shown.with(token, nil))
}

// take answers POST.
func (p step) take(c *fiber.Ctx, own string) error {
	in, err := read(c, own)
	if err == nil && p.byMail && !plausible(in.token) {
		err = errIncomplete
	}
	if err == nil {
		err = p.act(c.UserContext(), in, httpd.ClientFrom(c.UserContext()))
	}
	if err != nil {
		return p.refuse(c, in.token, err)
	}
	return send(c, http.StatusOK, p.done)
}

func plausible(token string) bool { return token != "" && len(token) <= tokenMax }

// refuse shows what was wrong: beside the field where a field is at fault, otherwise above the form, or without the
// form where trying again would be pointless.
func (p step) refuse(c *fiber.Ctx, token string, err error) error {
	r := httpd.RefusalOf(c.UserContext(), err)
	if r.RetryAfter > 0 {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(r.RetryAfter.Seconds()))))
	}
	complaints := map[string]string{}
	for _, f := range r.Errors {
		complaints[strings.TrimPrefix(f.Path, "body.")] = f.Message
	}
	var shown page
	switch {
	case len(complaints) > 0:
		shown = p.shown.with(token, complaints)
	case p.byMail && (token == "" || r.Status == http.StatusNotFound || r.Status == http.StatusConflict):
		shown = brokenLinkPage
		shown.Alert, shown.Next = r.Detail, p.next
	default:
		shown = p.shown.with(token, nil)
		shown.Alert = r.Detail
	}
	if r.Status >= http.StatusInternalServerError {
		shown.Alert = fmt.Sprintf("%s If this keeps happening, give the clinic this number: %s", r.Detail, r.RequestID)
	}
	return send(c, r.Status, shown)
}

func send(c *fiber.Ctx, status int, p page) error {
	body, err := render(p)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentSecurityPolicy, policy)
	c.Type(".html", "utf-8")
	return c.Status(status).Send(body)
}
