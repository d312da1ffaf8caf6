package httpd

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/wirejson"
)

// ProblemType is the media type of every error (RFC 9457).
const ProblemType = "application/problem+json"

// statusOf is the one table of the statuses of kinds.
var statusOf = [...]int{
	errs.Internal:             http.StatusInternalServerError,
	errs.BadRequest:           http.StatusBadRequest,
	errs.Unauthenticated:      http.StatusUnauthorized,
	errs.Forbidden:            http.StatusForbidden,
	errs.NotFound:             http.StatusNotFound,
	errs.MethodNotAllowed:     http.StatusMethodNotAllowed,
	errs.Conflict:             http.StatusConflict,
	errs.PreconditionFailed:   http.StatusPreconditionFailed,
	errs.TooLarge:             http.StatusRequestEntityTooLarge,
	errs.UnsupportedType:      http.StatusUnsupportedMediaType,
	errs.OutOfRange:           http.StatusRequestedRangeNotSatisfiable,
	errs.Invalid:              http.StatusUnprocessableEntity,
	errs.UpgradeRequired:      http.StatusUpgradeRequired,
	errs.PreconditionRequired: http.StatusPreconditionRequired,
	errs.RateLimited:          http.StatusTooManyRequests,
	errs.Unavailable:          http.StatusServiceUnavailable,
}

// framework has, by status, the code and detail of errors that Fiber, fasthttp and Huma raise. Their own messages are
// not used, because they may repeat what was sent.
var framework = map[int][2]string{
	http.StatusBadRequest:                  {"bad_request", "The request is malformed."},
	http.StatusNotFound:                    {"not_found", "There is nothing at this address."},
	http.StatusMethodNotAllowed:            {"method_not_allowed", "This address does not support that method."},
	http.StatusNotAcceptable:               {"not_acceptable", "This address answers only with application/json."},
	http.StatusRequestTimeout:              {"request_timeout", "The request did not arrive in time."},
	http.StatusRequestEntityTooLarge:       {"too_large", "The request body is too large."},
	http.StatusRequestURITooLong:           {"address_too_long", "The request's address is too long."},
	http.StatusUnsupportedMediaType:        {"unsupported_media_type", "Send the body as uncompressed application/json."},
	http.StatusUnprocessableEntity:         {"invalid", "Some fields are not valid."},
	http.StatusUpgradeRequired:             {"upgrade_required", "This address is only for WebSockets."},
	http.StatusRequestHeaderFieldsTooLarge: {"headers_too_large", "The request's headers are too large."},
}

// problem is the body of every error answer (RFC 9457).
type problem struct {
	_         struct{}     `additionalProperties:"true"`
	Type      string       `json:"type" doc:"A URI for the kind of problem" example:"about:blank"`
	Title     string       `json:"title" doc:"The status in words" example:"Conflict"`
	Status    int          `json:"status" doc:"The HTTP status" example:"409"`
	Detail    string       `json:"detail" doc:"What was wrong and what to do, for people"`
	Code      string       `json:"code" doc:"What was wrong, for programs" example:"slot_taken"`
	RequestID string       `json:"requestId" doc:"Identifies this request in the server's log"`
	Errors    []errs.Field `json:"errors,omitempty" doc:"The fields that were not valid"`

	extra      map[string]any
	retryAfter time.Duration
}

// Error implements error.
func (p *problem) Error() string { return p.Detail }

// GetStatus returns the status for Huma.
func (p *problem) GetStatus() int { return p.Status }

// ContentType returns the media type for Huma.
func (p *problem) ContentType(string) string { return ProblemType }

// GetHeaders returns the headers that Huma adds to the answer.
func (p *problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retryAfter > 0 {
		h.Set(fiber.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set(fiber.HeaderWWWAuthenticate, `Bearer realm="housecall"`)
	case http.StatusUpgradeRequired: // RFC 9110, 15.5.22 and 7.8, and RFC 6455, 4.4
		h.Set(fiber.HeaderUpgrade, "websocket")
		h.Set(fiber.HeaderConnection, "Upgrade")
		h.Set(fiber.HeaderSecWebSocketVersion, "13")
	}
	return h
}

// MarshalJSON writes extension members (RFC 9457, 3.2) after the standard ones, which they never replace.
func (p *problem) MarshalJSON() ([]byte, error) {
	type plain problem
	base, err := wirejson.Marshal((*plain)(p))
	if err != nil || len(p.extra) == 0 {
		return base, err
	}
	more := make(map[string]any, len(p.extra))
	for k, v := range p.extra {
		switch k {
		case "type", "title", "status", "detail", "code", "requestId", "errors":
		default:
			more[k] = v
		}
	}
	rest, err := wirejson.Marshal(more)
	if err != nil || len(more) == 0 {
		return base, err
	}
	return append(append(base[:len(base)-1], ','), rest[1:]...), nil
}

// frameworkProblem returns the problem for an error that has only a status.
func frameworkProblem(status int) *problem {
	text, ok := framework[status]
	switch {
	case ok:
	case status >= 500:
		status, text = http.StatusInternalServerError, [2]string{"internal", "Something went wrong on our side."}
	case status >= 400:
		text = [2]string{"bad_request", http.StatusText(status)}
	default:
		status, text = http.StatusInternalServerError, [2]string{"internal", "Something went wrong on our side."}
	}
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: text[0], Detail: text[1]}
}

// problemFrom turns any error into what the client sees. It keeps the cause of a 5xx for the access log; the client
// never sees it.
func problemFrom(ctx context.Context, err error) *problem {
	p := translate(ctx, err)
	if r := requestFrom(ctx); r != nil {
		p.RequestID = r.client.RequestID
		if p.Status >= 500 {
			r.cause = err
		}
	}
	return p
}

func translate(ctx context.Context, err error) *problem {
	var own *problem
	if errors.As(err, &own) {
		c := *own
		return &c
	}
	var f *fiber.Error
	if errors.As(err, &f) {
		return frameworkProblem(f.Code)
	}
	if errors.Is(err, auth.ErrToken) {
		err = errs.ErrUnauthenticated
	}
	var e *errs.Error
	if !errors.As(postgres.Classify(err), &e) {
		e = &errs.Error{}
	}
	if (e.Kind == errs.Internal || e.Kind == errs.Unavailable) && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		e = &errs.Error{
			Kind: errs.Unavailable, Code: "timeout", RetryAfter: errs.ErrUnavailable.RetryAfter,
			Message: "The request timed out. Try again shortly.",
		}
	}
	if e.Kind == errs.Internal || int(e.Kind) >= len(statusOf) {
		return frameworkProblem(http.StatusInternalServerError)
	}
	p := &problem{
		Type: "about:blank", Status: statusOf[e.Kind], Title: http.StatusText(statusOf[e.Kind]),
		Detail: e.Message, Code: e.Code, Errors: e.Fields, extra: e.Extra, retryAfter: e.RetryAfter,
	}
	if e.Kind == errs.Unavailable && p.retryAfter <= 0 {
		p.retryAfter = errs.ErrUnavailable.RetryAfter
	}
	return p
}

// Problem answers a request to a route that is not typed with the problem document of err. It returns nil once the
// answer is written, so that a handler can return its result.
func Problem(c *fiber.Ctx, err error) error {
	p := problemFrom(c.UserContext(), err)
	for name, values := range p.GetHeaders() {
		c.Set(name, values[0])
	}
	body, err := p.MarshalJSON()
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, ProblemType)
	return c.Status(p.Status).Send(body)
}

// Refusal is an error as a page shows it; a program would get a problem document.
type Refusal struct {
	Status    int
	Code      string
	Detail    string
	RequestID string
	Errors    []errs.Field
	// RetryAfter is 0 if trying again later does not help.
	RetryAfter time.Duration
}

// RefusalOf turns an error of a page's request into a refusal, by the same table as problems, and keeps the cause of a
// 5xx for the access log. The caller writes the answer, with the status and the Retry-After of the refusal.
func RefusalOf(ctx context.Context, err error) Refusal {
	p := problemFrom(ctx, err)
	return Refusal{
		Status: p.Status, Code: p.Code, Detail: p.Detail, RequestID: p.RequestID, Errors: p.Errors, RetryAfter: p.retryAfter,
	}
}
