package pms

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
)

// envelope is the body of every answer. Data is never null, since clients do not check.
type envelope struct {
	Success bool   `json:"success"`
	Message string `json:"message"`
	Data    any    `json:"data"`
}

// reply is a success. A zero status means 200, nil data an empty object.
type reply struct {
	status  int
	message string
	data    any
}

// call is a request as its handler sees it.
type call struct {
	*fields
	actor  auth.Actor
	client httpd.Client
}

type handler func(ctx context.Context, c call) (reply, error)

// access lists the roles that may call a route; nil means everybody, signed in or not.
type access []auth.Role

var (
	anyone access
	users  = access{auth.Patient, auth.Doctor, auth.Admin}
	staff  = access{auth.Doctor, auth.Admin}
	admins = access{auth.Admin}
)

// The old server's words for refused access, which clients know.
var (
	errNoToken  = errs.New(errs.Unauthenticated, "unauthenticated", "Auth token required")
	errBadToken = errs.New(errs.Unauthenticated, "unauthenticated", "Incorrect credentials")
	errNoAccess = errs.New(errs.Forbidden, "forbidden", "You are not authorized")
)

func (a api) route(s *httpd.Server, method, path string, who access, f handler) {
	s.Router().Add(method, Prefix+path, func(c *fiber.Ctx) error {
		actor, err := a.admit(c, who)
		if err != nil {
			return err
		}
		in, err := read(c, who != nil)
		if err != nil {
			return err
		}
		ctx := auth.WithActor(c.UserContext(), actor)
		r, err := f(ctx, call{fields: in, actor: actor, client: httpd.ClientFrom(ctx)})
		if err != nil {
			return answerRefusal(c, err)
		}
		if r.status == 0 {
			r.status = http.StatusOK
		}
		if r.data == nil {
			r.data = struct{}{}
		}
		return c.Status(r.status).JSON(envelope{Success: true, Message: r.message, Data: r.data},
			fiber.MIMEApplicationJSONCharsetUTF8)
	})
}

// admit returns the actor of a request, before anything else in it is looked at.
func (a api) admit(c *fiber.Ctx, who access) (auth.Actor, error) {
	if who == nil {
		return auth.Actor{}, nil
	}
	header := c.Get(fiber.HeaderAuthorization)
	if header == "" {
		return auth.Actor{}, errNoToken
	}
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return auth.Actor{}, errBadToken
	}
	actor, err := a.Accounts.AuthenticateOlder(c.UserContext(), strings.TrimSpace(token), auth.AudiencePMS)
	switch {
	case errs.KindOf(err) == errs.Unauthenticated:
		return auth.Actor{}, errBadToken
	case err != nil:
		return auth.Actor{}, err
	case actor.MustChangePassword:
		return auth.Actor{}, errPasswordChange
	case !slices.Contains(who, actor.Role):
		return auth.Actor{}, errNoAccess
	}
	return actor, nil
}

// errPasswordChange is what users get who must change their password, which this API cannot do.
var errPasswordChange = errs.New(errs.Forbidden, "password_change_required",
	"Choose a new password first, in the new application.")

// answerRefusal answers 200 if the clinic's rules refuse a request, and leaves other errors to the server.
func answerRefusal(c *fiber.Ctx, err error) error {
	var e *errs.Error
	if !errors.As(err, &e) || !refuses(e) {
		return err
	}
	return c.JSON(envelope{Message: wording(e), Data: struct{}{}}, fiber.MIMEApplicationJSONCharsetUTF8)
}

// refuses tells whether an error is the refusal of a rule, not bad input or a failure.
func refuses(e *errs.Error) bool {
	switch e.Kind {
	case errs.NotFound, errs.Conflict, errs.Forbidden, errs.PreconditionFailed:
		return true
	case errs.Invalid: // the time was understood, but is not available
		return strings.HasPrefix(e.Code, "slot_")
	default:
		return false
	}
}

// refused returns the envelope for every status but 200.
func refused(status int, e *errs.Error) (int, any) {
	switch status {
	case http.StatusUnauthorized:
		status = http.StatusForbidden
	case http.StatusUnprocessableEntity:
		status = http.StatusBadRequest
	}
	return status, envelope{Message: wording(e), Data: struct{}{}}
}

// The old server's words for refusals, which clients know.
const (
	sayNoUser    = "User not found !"
	sayNotUser   = "Not a registered user"
	sayNoPatient = "Patient not found"
	sayNoDoctor  = "Doctor not found"
	sayDoctor    = "docId is required"
	sayNoSlot    = "Appointment slot not available"
	sayOneself   = "You cannot perform this action on yourself"
)

// wordings are refusals of other packages, by code, for which clients know other words.
var wordings = map[string]string{
	"slot_taken":         sayNoSlot,
	"own_account":        sayOneself,
	"already_registered": "Already a registered patient",
	"not_registered":     "Please register as a patient first: this user is not registered as one",
}

// wording returns an error's message for this API's clients, with their names for bad fields.
func wording(e *errs.Error) string {
	if known, ok := wordings[e.Code]; ok {
		return known
	}
	if strings.HasPrefix(e.Code, "slot_") {
		return sayNoSlot
	}
	if len(e.Fields) == 0 {
		return e.Message
	}
	var all []string
	for _, bad := range badFields(e) {
		all = append(all, bad.name+" "+bad.what)
	}
	return strings.Join(all, ", ")
}

// badFields returns the bad fields of an error of another package, under their names in this API.
func badFields(err error) (out []complaint) {
	var e *errs.Error
	if !errors.As(err, &e) {
		return nil
	}
	for _, f := range e.Fields {
		name := f.Path[strings.LastIndex(f.Path, ".")+1:]
		if older, ok := names[name]; ok {
			name = older
		}
		out = append(out, complaint{name: name, what: f.Message})
	}
	return out
}

// names maps other packages' field names to those of this API.
var names = map[string]string{"phone": "contact", "startsAt": "date", "doctorId": "docId"}

// refusal makes the refusal of a rule, in this API's words.
func refusal(message string) error { return errs.New(errs.Conflict, "refused", message) }
