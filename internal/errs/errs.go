// Package errs has the one error type that crosses packages. A package says what kind of failure it was and which
// machine-readable code names it; only httpd knows which HTTP status that is, and only chat which close code.
package errs

import (
	"errors"
	"fmt"
	"time"
)

// Kind says who is to blame and whether trying again can help. The zero value is Internal, so that an unclassified
// error is never shown to a client.
type Kind uint8

// The kinds, each with the HTTP status that httpd gives it.
const (
	Internal             Kind = iota // 500: a bug or a broken dependency; the client sees nothing of the cause
	BadRequest                       // 400: the request could not be understood
	Unauthenticated                  // 401: no valid token
	Forbidden                        // 403: signed in, but not allowed
	NotFound                         // 404: does not exist, or not for this caller
	MethodNotAllowed                 // 405
	Conflict                         // 409: the state forbids it
	PreconditionFailed               // 412: If-Match is stale
	TooLarge                         // 413: the body exceeds the limit
	UnsupportedType                  // 415: the content is not of an accepted type
	OutOfRange                       // 416: the requested range lies outside the content
	Invalid                          // 422: understood, but a value breaks a rule
	UpgradeRequired                  // 426: this route speaks WebSocket only
	PreconditionRequired             // 428: If-Match is missing
	RateLimited                      // 429: try again after RetryAfter
	Unavailable                      // 503: a dependency cannot be reached; try again after RetryAfter
)

// Field is one bad field of a request. Path is dotted as in the JSON body ("body.email"); Message never
// echoes the submitted value.
type Field struct {
	Path    string `json:"path"`
	Message string `json:"message"`
}

// Error is a failure with a stable Code for programs and a Message for people. Err is the cause: it is logged
// once, by whoever answers the client, and never shown.
type Error struct {
	Kind       Kind
	Code       string
	Message    string
	Fields     []Field
	RetryAfter time.Duration
	// Extra are further members of the problem document (RFC 9457 section 3.2), such as alternatives.
	Extra map[string]any
	Err   error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Err)
	}
	return e.Code + ": " + e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes two errors with one kind and code equal for errors.Is, so that a sentinel can be compared with an
// error that carries details.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind && t.Code == e.Code
}

// New makes an error of a kind.
func New(kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message}
}

// InvalidField is the 422 for one bad field; path as in Field.
func InvalidField(path, message string) *Error {
	return InvalidFields(Field{Path: path, Message: message})
}

// InvalidFields is the 422 for several bad fields.
func InvalidFields(fields ...Field) *Error {
	return &Error{Kind: Invalid, Code: "invalid", Message: "Some fields are not valid.", Fields: fields}
}

// Missing is the 404 for a thing that does not exist, or not for this caller; what is a plain noun.
func Missing(what string) *Error {
	return New(NotFound, "not_found", "There is no such "+what+".")
}

// With returns a copy of e that carries one more member of the problem document.
func (e *Error) With(key string, value any) *Error {
	c := *e
	c.Extra = make(map[string]any, len(e.Extra)+1)
	for k, v := range e.Extra {
		c.Extra[k] = v
	}
	c.Extra[key] = value
	return &c
}

// KindOf returns the kind of the first *Error in err's chain, Internal if there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// CodeOf returns the code of the first *Error in err's chain, "" if there is none.
func CodeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// Sentinels that several packages return.
var (
	ErrUnauthenticated = New(Unauthenticated, "unauthenticated",
		"Sign in first: the access token is missing, expired or revoked.")
	ErrForbidden = New(Forbidden, "forbidden", "Your role does not allow this.")
	ErrStale     = New(PreconditionFailed, "stale",
		"Somebody changed this meanwhile. Load it again and repeat your change.")
	ErrNoMatch     = New(PreconditionRequired, "if_match_required", "Send the ETag you last saw as If-Match.")
	ErrUnavailable = &Error{
		Kind: Unavailable, Code: "unavailable",
		Message:    "The service cannot reach its database right now. Try again shortly.",
		RetryAfter: 2 * time.Second,
	}
)
