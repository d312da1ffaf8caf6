package ui

import (
	"mime"
	"net/url"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/errs"
	"housecall/internal/text"
)

// What a browser sends only when something is wrong with the page that sent it.
var (
	errForeign = errs.New(errs.Forbidden, "foreign_page",
		"This form was sent from another website. Please open the link from your email again.")
	errForm = errs.New(errs.BadRequest, "bad_form", "This form does not belong to this page.")
	errText = errs.New(errs.Invalid, "invalid", "The form contains characters that are not text.")
)

// input is what a form contains. All of it may be secret.
type input struct{ token, login, password, again string }

// read returns what a form of ours contains.
func read(c *fiber.Ctx, own string) (input, error) {
	if !fromOurPage(c, own) {
		return input{}, errForeign
	}
	kind, _, err := mime.ParseMediaType(c.Get(fiber.HeaderContentType))
	if err != nil || kind != fiber.MIMEApplicationForm {
		return input{}, errForm
	}
	args := c.Request().PostArgs()
	for key, value := range args.All() {
		if !text.Storable(key) || !text.Storable(value) {
			return input{}, errText
		}
	}
	// Copied: the request is used again for another one.
	get := func(name string) string { return string(args.Peek(name)) }
	return input{token: get("token"), login: get(fieldLogin), password: get(fieldPassword), again: get(fieldAgain)}, nil
}

// same refuses a new password that was not typed the same way twice.
func (in input) same() error {
	if in.again != in.password {
		return errs.InvalidField("body."+fieldAgain, "does not match")
	}
	return nil
}

// fromOurPage reports whether a form was sent from a page of this origin. Browsers say so in Sec-Fetch-Site (Fetch
// metadata), but only over HTTPS and to localhost; otherwise Origin counts, which our own pages send as null, since
// they send no referrer either (Fetch standard, "append a request Origin header"). Where neither is present, the
// sender is not a browser. The forms need no more protection than that: what they do depends on the token they carry.
func fromOurPage(c *fiber.Ctx, own string) bool {
	switch c.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
	default:
		return false
	}
	origin := c.Get(fiber.HeaderOrigin)
	if folded, ok := text.Origin(origin); origin == "" || origin == "null" || ok && folded == own {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && u.Host == c.Hostname()
}
