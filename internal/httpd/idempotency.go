package httpd

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"

	"housecall/internal/errs"
)

const (
	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotent-Replayed"
	// idempotencyKeyMax is the greatest length of a key, in bytes.
	idempotencyKeyMax = 255
	// settle is how long keeping an answer, or freeing a key, may take after the handler.
	settle = 5 * time.Second
)

// Attempt is a request that carries an Idempotency-Key.
type Attempt struct {
	Actor int64 // users.id
	// Operation is the method, the route's pattern and the values of its parameters.
	Operation string
	Key       string
	// Fingerprint distinguishes this request from others with the same key. It also covers the key: since the key is
	// not stored anywhere, nobody can find out a body by guessing.
	Fingerprint [sha256.Size]byte
}

// Answer is what a retry gets again: the status, the body, and the headers that belong to them.
type Answer struct {
	Status int
	Header map[string]string
	Body   []byte
}

// Idempotency keeps first answers, for all instances; idempotency.Service does it.
type Idempotency interface {
	// Claim takes the attempt's key for a while and returns a name for the claim. If the attempt already has an
	// answer, it returns that instead. The error is ErrKeyReused if another request used the key, and ErrInProgress
	// while the first one is in progress.
	Claim(ctx context.Context, a Attempt) (claim string, first *Answer, err error)
	// Keep stores the answer of the attempt that has the claim. If a later attempt has taken the claim, it does
	// nothing.
	Keep(ctx context.Context, a Attempt, claim string, answer Answer) error
	// Free releases the key without an answer.
	Free(ctx context.Context, a Attempt, claim string) error
}

// The refusals of Claim.
var (
	ErrKeyReused = errs.New(errs.Invalid, "idempotency_key_reused",
		"This Idempotency-Key was used for a different request. Use a new key for a new request.")
	ErrInProgress = &errs.Error{
		Kind: errs.Conflict, Code: "request_in_progress", RetryAfter: time.Second,
		Message: "The first request with this Idempotency-Key is still in progress. Try again shortly.",
	}
)

var errKeyForm = errs.InvalidField("header."+idempotencyHeader,
	"must be 1 to 255 printable ASCII characters, bare or as a quoted string")

// replayedHeaders are the headers that a retry gets again; all others are its own.
var replayedHeaders = []string{fiber.HeaderContentType, fiber.HeaderLocation, fiber.HeaderETag}

// takesKey tells whether the route takes an Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): routes that
// create something for a signed-in user do. On a public route there is no actor to whom the key could belong; there, a
// retry does no harm: an email address is registered once, an invitation is accepted once, and one can sign in twice.
func (r Route) takesKey() bool {
	return r.Method == http.MethodPost && r.Status == http.StatusCreated && !r.Access.public && !r.Repeatable
}

// documentKey describes the header and its effects in the OpenAPI document.
func documentKey(op *huma.Operation) {
	least, most := 1, idempotencyKeyMax
	op.Parameters = append(op.Parameters, &huma.Param{
		Name: idempotencyHeader, In: "header",
		Schema: &huma.Schema{Type: huma.TypeString, MinLength: &least, MaxLength: &most},
		Description: "A value such as a UUID, chosen once for a request and kept for its retries. For 24 hours the same " +
			"key " +
			"and body return the first answer again, even a refusal; a different body is 422 `idempotency_key_reused`, and " +
			"while the first request is in flight the answer is 409 `request_in_progress`. Failures of the service (5xx), " +
			"401, 408, 413, 429 and every answer with Retry-After free the key.",
	})
	op.Responses = map[string]*huma.Response{"201": {
		Description: http.StatusText(http.StatusCreated),
		Headers: map[string]*huma.Param{replayedHeader: {
			Description: "true if this is the first answer, returned again",
			Schema:      &huma.Schema{Type: huma.TypeString, Enum: []any{"true"}},
		}},
	}}
}

// once lets a request with an Idempotency-Key through only if it is the first with that key, and keeps its answer.
//
// The answer is kept after the handler's own transaction. If the process dies in between, the lease ends and a retry
// is carried out again, as it would be without a key. Where something must never happen twice, the database itself
// prevents it: a second booking of the same time is refused with slot_taken or patient_busy.
func (s *Server) once(ctx huma.Context, next func(huma.Context)) {
	c := humafiber.Unwrap(ctx)
	actor := Actor(ctx.Context())
	values := c.Request().Header.PeekAll(idempotencyHeader)
	if s.deps.Idempotency == nil || actor.ID == 0 || len(values) == 0 {
		next(ctx)
		return
	}
	key, ok := parseKey(string(values[0]))
	if !ok || len(values) > 1 {
		s.Answer(c, errKeyForm)
		return
	}
	attempt := Attempt{Actor: actor.ID, Operation: operationOf(ctx), Key: key, Fingerprint: fingerprint(c, key)}
	claim, first, err := s.deps.Idempotency.Claim(ctx.Context(), attempt)
	switch {
	case err != nil:
		s.Answer(c, err)
	case first != nil:
		replay(c, *first)
	default:
		s.first(ctx, next, attempt, claim)
	}
}

// first carries out a request that has claimed its key.
func (s *Server) first(ctx huma.Context, next func(huma.Context), a Attempt, claim string) {
	c := humafiber.Unwrap(ctx)
	done := false
	defer func() { // even if the handler panics
		// The key must not stay claimed because the client has gone or the request's deadline has passed.
		settling, cancel := context.WithTimeout(context.WithoutCancel(ctx.Context()), settle)
		defer cancel()
		var err error
		if done && final(c) {
			err = s.deps.Idempotency.Keep(settling, a, claim, answerOf(c))
		} else {
			err = s.deps.Idempotency.Free(settling, a, claim)
		}
		if err != nil { // the request was carried out: the client gets the answer, and a retry waits for the lease
			s.deps.Log.Warn().Err(err).Str("request", ClientFrom(ctx.Context()).RequestID).
				Msg("an Idempotency-Key could not be settled")
		}
	}()
	next(ctx)
	done = true
}

// final tells whether a retry may get the same answer. Failures of the service, and answers that ask the client to
// send something else or come back later, are not final.
func final(c *fiber.Ctx) bool {
	switch status := c.Response().StatusCode(); status {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusTooEarly,
		http.StatusTooManyRequests:
		return false
	default:
		return status < 500 && len(c.Response().Header.Peek(fiber.HeaderRetryAfter)) == 0
	}
}

func answerOf(c *fiber.Ctx) Answer {
	a := Answer{Status: c.Response().StatusCode(), Header: map[string]string{}, Body: c.Response().Body()}
	for _, name := range replayedHeaders {
		if v := c.GetRespHeader(name); v != "" {
			a.Header[name] = v
		}
	}
	return a
}

func replay(c *fiber.Ctx, a Answer) {
	for name, value := range a.Header {
		c.Set(name, value)
	}
	c.Set(replayedHeader, "true")
	c.Status(a.Status).Response().SetBody(a.Body)
}

// operationOf names a route by its pattern, because paths with and without a slash at the end are the same route. No
// parameter contains a NUL, so names are unique.
func operationOf(ctx huma.Context) string {
	op := ctx.Operation()
	parts := []string{op.Method + " " + op.Path}
	for _, p := range op.Parameters {
		if p.In == "path" {
			parts = append(parts, ctx.Param(p.Name))
		}
	}
	return strings.Join(parts, "\x00")
}

func fingerprint(c *fiber.Ctx, key string) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, part := range [][]byte{[]byte(key), c.Request().URI().QueryString(), c.Request().Body()} {
		whole := sha256.Sum256(part) // all of the same length, so that parts cannot run into each other
		h.Write(whole[:])
	}
	h.Sum(sum[:0])
	return sum
}

// parseKey reads an Idempotency-Key: a String of RFC 8941 (3.3.3) with its quotes, as the draft requires, or the bare
// text that many clients send. Both mean the same key. Parameters after the string are refused.
func parseKey(header string) (key string, ok bool) {
	key = strings.Trim(header, " ")
	if text, quoted := strings.CutPrefix(key, `"`); quoted {
		if key, ok = unquote(text); !ok {
			return "", false
		}
	}
	unprintable := func(r rune) bool { return r < ' ' || r > '~' }
	if key == "" || len(key) > idempotencyKeyMax || strings.ContainsFunc(key, unprintable) {
		return "", false
	}
	return key, true
}

// unquote reads a String from after its first quote to its last, which must be at the end of the text.
func unquote(text string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			return b.String(), i == len(text)-1
		case '\\':
			if i++; i == len(text) || text[i] != '"' && text[i] != '\\' {
				return "", false
			}
		}
		b.WriteByte(text[i])
	}
	return "", false
}
