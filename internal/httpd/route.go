package httpd

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"

	"housecall/internal/auth"
	"housecall/internal/errs"
)

// Access says who may call a route.
type Access struct {
	public bool
	roles  []auth.Role // empty: any
	// beforePasswordChange lets in users who must change their password first.
	beforePasswordChange bool
}

// The usual kinds of access. On a Public route a valid token still names the actor, and an invalid one is ignored.
var (
	Public   = Access{public: true}
	SignedIn = Access{}
)

// Only lets in actors with one of the roles; others get 403.
func Only(roles ...auth.Role) Access { return Access{roles: roles} }

// BeforePasswordChange returns the same access, but also lets in actors who must change their password first.
func (a Access) BeforePasswordChange() Access {
	a.beforePasswordChange = true
	return a
}

// ErrPasswordChange is what an actor who must change their password gets from all other routes, and for sockets.
var ErrPasswordChange = errs.New(errs.Forbidden, "password_change_required",
	"Choose a new password first, with PUT /me/password.")

// Route describes one typed operation.
type Route struct {
	Method string
	// Path is below APIPrefix, with parameters in braces: "/doctors/{id}".
	Path string
	// Tag groups the route in the documentation, Summary names it.
	Tag, Summary, Description string
	// Status is the status of success; 0 means 200, or 204 when the output has no body.
	Status int
	Access Access
	// Errors are the statuses of errors besides those that the access and the input imply.
	Errors []int
	// Repeatable says that a POST that creates something (201) takes no Idempotency-Key, because a retry is recognised
	// or harmless without one. All others that need an actor take one.
	Repeatable bool
	// Stream is for a route whose handler reads the body itself; nil: the server reads it before the handler.
	Stream Streaming
	// Media are, by media type, values of the types that a route answers with that writes its body itself, such as one
	// with a Stream as its answer: they are only for the documentation.
	Media map[string]any
	// File is for a route that answers with a file, for the document; nil: the output says what it answers.
	File *File
}

// File describes an answer that is a file.
type File struct {
	// Types are its media types, without parameters.
	Types []string
	// Whole says that it always comes as a whole. Of others, clients may ask for a range, or whether they have changed.
	Whole bool
}

// bearer is the name of the security scheme.
const bearer = "bearer"

// Register adds a typed route. I is a Huma input struct (path, query and header fields by tag, Body), O an output
// struct (header fields by tag, Body). The body is decoded strictly: an unknown field is 422. The handler's error is
// answered as a problem document; auth.ActorFrom gives the actor. A GET route also answers HEAD. Register panics on a
// route that cannot work, such as one registered twice.
func Register[I, O any](s *Server, r Route, h func(ctx context.Context, in *I) (*O, error)) {
	s.naming = packageOf(reflect.TypeFor[I]())
	if s.naming == "" || s.naming == "httpd" { // nothing, or only a page, is asked for
		s.naming = packageOf(reflect.TypeFor[O]())
	}
	if r.Stream != nil {
		s.expectStream(r)
	}
	purpose := listPurpose(APIPrefix + r.Path)
	answer := func(ctx context.Context, in *I) (*O, error) {
		if request := requestFrom(ctx); request != nil {
			request.list = purpose
		}
		out, err := h(ctx, in)
		if err != nil {
			return nil, problemFrom(ctx, err)
		}
		return out, nil
	}
	op := s.operation(r)
	huma.Register(s.api, op, answer)
	s.outputs = append(s.outputs, Output{r.Method, op.Path, reflect.TypeFor[O]()})
	if r.Stream != nil {
		documentStream(s.api.OpenAPI().Paths[op.Path].Post)
	}
	s.documentMedia(op, r.Media)
	if r.File != nil {
		documentFile(s.api.OpenAPI().Paths[op.Path].Get, *r.File)
	}
	if r.Method == http.MethodGet {
		// RFC 9110, 9.1 and 9.3.2: HEAD is the same without the body, which fasthttp leaves out. The document does not
		// list it.
		op.Method, op.Hidden = http.MethodHead, true
		huma.Register(s.api, op, answer)
	}
}

func (s *Server) operation(r Route) huma.Operation {
	failures := append([]int{http.StatusBadRequest, http.StatusServiceUnavailable}, r.Errors...)
	op := huma.Operation{
		OperationID: operationID(r), Method: r.Method, Path: APIPrefix + r.Path,
		Summary: r.Summary, Description: r.Description, Tags: []string{r.Tag}, DefaultStatus: r.Status,
		// The middleware has already limited and read the whole body.
		MaxBodyBytes: -1, BodyReadTimeout: -1,
		Middlewares: huma.Middlewares{s.gate(r.Access)},
		// On a public route explicitly none, since the document has no default.
		Security: []map[string][]string{},
	}
	if r.Stream == nil {
		op.Middlewares = append(op.Middlewares, refuseText, withBody)
	}
	if !r.Access.public {
		failures = append(failures, http.StatusUnauthorized)
		op.Security = []map[string][]string{{bearer: {}}}
	}
	if len(r.Access.roles) > 0 || !r.Access.public && !r.Access.beforePasswordChange {
		failures = append(failures, http.StatusForbidden)
	}
	if r.takesKey() {
		failures = append(failures, http.StatusConflict, http.StatusUnprocessableEntity)
		op.Middlewares = append(op.Middlewares, s.once)
		documentKey(&op)
	}
	slices.Sort(failures)
	op.Errors = slices.Compact(failures)
	s.documentCommon(&op)
	return op
}

// operationID returns "get-doctors-id-hours" for GET /doctors/{id}/hours.
func operationID(r Route) string {
	words := strings.FieldsFunc(r.Path, func(c rune) bool { return strings.ContainsRune("/{}", c) })
	return strings.ToLower(strings.Join(append([]string{r.Method}, words...), "-"))
}

// gate authenticates before the input is looked at, so that strangers learn nothing from a 422.
func (s *Server) gate(a Access) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		c := humafiber.Unwrap(ctx)
		actor, _, err := s.identify(c.UserContext(), bearerToken(c))
		if err == nil && actor.MustChangePassword && !a.beforePasswordChange {
			err = ErrPasswordChange
		}
		switch {
		case err == nil:
			ctx = huma.WithContext(ctx, auth.WithActor(ctx.Context(), actor))
		case !a.public:
			s.Answer(c, err)
			return
		}
		if len(a.roles) > 0 && !slices.Contains(a.roles, actor.Role) {
			s.Answer(c, errs.ErrForbidden)
			return
		}
		next(ctx)
	}
}

// Authenticate returns the actor behind the Authorization header (RFC 6750, 2.1) and when the token expires. Without a
// valid token the error is errs.ErrUnauthenticated; if the actor must change their password first, ErrPasswordChange.
func (s *Server) Authenticate(c *fiber.Ctx) (auth.Actor, time.Time, error) {
	return s.AuthenticateToken(c.UserContext(), bearerToken(c))
}

// AuthenticateToken is Authenticate for a token that is sent in another way, such as a socket's subprotocol.
func (s *Server) AuthenticateToken(ctx context.Context, token string) (auth.Actor, time.Time, error) {
	a, expires, err := s.identify(ctx, token)
	if err == nil && a.MustChangePassword {
		return auth.Actor{}, time.Time{}, ErrPasswordChange
	}
	return a, expires, err
}

// identify returns the actor of a token, even if they must change their password first.
func (s *Server) identify(ctx context.Context, token string) (auth.Actor, time.Time, error) {
	if token == "" || s.deps.Authenticator == nil {
		return auth.Actor{}, time.Time{}, errs.ErrUnauthenticated
	}
	ctx, cancel := s.Timeout(ctx)
	defer cancel()
	return s.deps.Authenticator.Authenticate(ctx, token)
}

// bearerToken returns the token of the Authorization header; "" if there is none.
func bearerToken(c *fiber.Ctx) string {
	scheme, token, _ := strings.Cut(c.Get(fiber.HeaderAuthorization), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// Actor returns the actor of a request; the zero Actor on a public route without a token.
func Actor(ctx context.Context) auth.Actor {
	a, _ := auth.ActorFrom(ctx)
	return a
}
