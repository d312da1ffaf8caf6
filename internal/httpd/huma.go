package httpd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"

	"housecall/internal/errs"
	"housecall/internal/text"
	"housecall/internal/wirejson"
)

func (s *Server) humaConfig() huma.Config {
	c := huma.DefaultConfig("Housecall", s.opts.Version)
	c.CreateHooks = nil // the hooks would add $schema to every body
	written := huma.DefaultJSONFormat
	written.Marshal = func(w io.Writer, v any) error {
		raw, err := wirejson.Marshal(v)
		if err == nil {
			_, err = w.Write(raw)
		}
		return err
	}
	c.Formats = map[string]huma.Format{"application/json": written, "json": written}
	c.DocsPath, c.OpenAPIPath, c.SchemasPath = "", "", ""
	c.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", s.schemaName)
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		bearer: {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "The accessToken of a sign-in."},
	}
	c.Info.Description = "A patient books a doctor, and the two chat inside the appointment. " +
		"Times are RFC 3339, always with six digits after the second. " +
		"Errors are problem documents (RFC 9457); programs switch on `code`. When a time is refused, the problem lists " +
		"`alternatives`. Resources that change have an `ETag`, and changing them takes `If-Match`. Lists are pages with a " +
		"`cursor`. A POST that creates something takes an `Idempotency-Key`: for a day, sending it again returns the first " +
		"answer. The WebSockets are described in AsyncAPI 3, at /asyncapi.json."
	c.Servers = []*huma.Server{{URL: "/"}}
	return c
}

// replaceHumaErrors makes Huma raise our problems. Huma's own repeat submitted values, passwords included. Huma's
// hooks are global, so they are set once for all servers of the process.
var replaceHumaErrors = sync.OnceFunc(func() {
	huma.DefaultArrayNullable = false // lists are never null, in requests and answers
	huma.ValidateStrictCasing = true  // otherwise a key in other letter case would pass unchecked, and win
	huma.NewError = func(status int, _ string, details ...error) huma.StatusError { return humaProblem(status, details) }
	huma.NewErrorWithContext = func(ctx huma.Context, status int, message string, details ...error) huma.StatusError {
		p := humaProblem(status, details)
		if r := requestFrom(ctx.Context()); r != nil {
			p.RequestID = r.client.RequestID
			if p.Status >= 500 {
				r.cause = fmt.Errorf("huma: %s", message)
			}
		}
		return p
	}
})

// humaProblem keeps the places and messages of Huma's details, but never the values.
func humaProblem(status int, details []error) *problem {
	p := frameworkProblem(status)
	switch status {
	case http.StatusUnprocessableEntity:
	case http.StatusBadRequest:
		p.Code, p.Detail = "bad_json", "Send one JSON document as the body."
		return p
	default:
		return p
	}
	for _, d := range details {
		if len(p.Errors) == maxFieldErrors {
			break
		}
		if detailer, ok := d.(huma.ErrorDetailer); ok {
			p.Errors = append(p.Errors, fieldOf(detailer.ErrorDetail()))
		}
	}
	return p
}

const (
	maxFieldErrors = 50
	maxFieldPath   = 200
	maxFieldName   = 100
)

// malformed replaces messages that quote what was sent or name Go types.
const malformed = "has the wrong form"

func fieldOf(d *huma.ErrorDetail) errs.Field {
	f := errs.Field{Path: d.Location, Message: d.Message}
	if name, ok := strings.CutPrefix(f.Message, "expected required property "); ok {
		// Huma puts the name of a missing field only into the message.
		name, _ = strings.CutSuffix(name, " to be present")
		return errs.Field{Path: f.Path + "." + name, Message: "is required"}
	}
	// For an unknown field, the path ends with a name that the client chose.
	if len(f.Path) > maxFieldPath || strings.ContainsFunc(f.Path, unicode.IsControl) {
		f.Path, _, _ = strings.Cut(f.Path, ".")
	}
	value, isText := d.Value.(string)
	quotes := isText && value != "" && utf8.RuneCountInString(value) > 1 && strings.Contains(f.Message, value)
	if quotes || strings.HasPrefix(f.Message, "json:") || strings.HasPrefix(f.Message, "parsing time") ||
		strings.HasPrefix(f.Message, "invalid value") {
		f.Message = malformed
	}
	return f
}

// schemaName names a type in the OpenAPI document by its package and its name (doctor.profile is DoctorProfile), since
// several packages may use the same name. Types without a name get Huma's hint.
func (s *Server) schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Name() == "" {
		return capital(s.naming) + capital(hint)
	}
	var b strings.Builder
	b.WriteString(qualified(packageOf(t) + "." + strings.SplitN(t.Name(), "[", 2)[0]))
	if _, parameters, ok := strings.Cut(t.Name(), "["); ok {
		for _, p := range strings.FieldsFunc(parameters, func(r rune) bool { return strings.ContainsRune("[],*", r) }) {
			b.WriteString(qualified(p[strings.LastIndex(p, "/")+1:]))
		}
	}
	return b.String()
}

// qualified makes DoctorProfile of doctor.profile, and Page of httpd.Page.
func qualified(name string) string {
	pkg, base, ok := strings.Cut(name, ".")
	if !ok {
		return capital(name)
	}
	base, _, _ = strings.Cut(base, "·") // a type local to a function
	if pkg == "httpd" || pkg == "errs" || pkg == "" {
		return capital(base)
	}
	if strings.HasPrefix(strings.ToLower(base), pkg) {
		return capital(base)
	}
	return capital(pkg) + capital(base)
}

func capital(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(r)) + s[size:]
}

// packageOf is the last element of the package path of t.
func packageOf(t reflect.Type) string {
	return t.PkgPath()[strings.LastIndex(t.PkgPath(), "/")+1:]
}

// errNotUTF8 refuses a body that is not JSON (RFC 8259, 8.1), although Go's decoder would accept it.
var errNotUTF8 = errs.New(errs.BadRequest, "bad_json", "Send the body as JSON in UTF-8.")

// refuseText refuses, on every route, what no package could store, show, or read in one way only: with 422 a key that
// comes twice; with 400 bytes that are not UTF-8, which Go
// would silently replace, and with 422 U+0000 in any text, which PostgreSQL cannot store. A raw NUL is bad JSON
// anyway, so it looks only for the escape.
func refuseText(ctx huma.Context, next func(huma.Context)) {
	c := humafiber.Unwrap(ctx)
	body := c.Request().Body()
	if kind := c.Get("Content-Type"); !utf8.Valid(body) && (kind == "" || strings.Contains(kind, "json")) {
		if Problem(c, errNotUTF8) != nil {
			c.Status(http.StatusInternalServerError)
		}
		return
	}
	if key, twice := text.Twice(body); twice {
		if Problem(c, errs.InvalidField(pathOfKey(key), "comes twice")) != nil {
			c.Status(http.StatusInternalServerError)
		}
		return
	}
	if bytes.Contains(body, []byte(`\u0000`)) {
		var v any
		if json.Unmarshal(body, &v) == nil && hasNUL(v) {
			path := pathOfNUL(v)
			if Problem(c, errs.InvalidField(path, notStorable)) != nil {
				c.Status(http.StatusInternalServerError)
			}
			return
		}
	}
	next(ctx)
}

// hasNUL looks for a text with a NUL, keys included.
func hasNUL(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.ContainsRune(v, 0)
	case []any:
		return slices.ContainsFunc(v, hasNUL)
	case map[string]any:
		for k, e := range v {
			if strings.ContainsRune(k, 0) || hasNUL(e) {
				return true
			}
		}
	}
	return false
}

// pathOfKey returns the path of a field that a client named, or of the body if the name cannot be shown.
func pathOfKey(key string) string {
	if len(key) > maxFieldName || strings.ContainsFunc(key, unicode.IsControl) || !utf8.ValidString(key) {
		return "body"
	}
	return "body." + key
}

// pathOfNUL returns the path of the field of a body that contains a NUL, only down to its outermost name: clients can
// nest as deep as they like.
func pathOfNUL(v any) string {
	fields, _ := v.(map[string]any)
	for k, e := range fields {
		if hasNUL(e) && len(k) <= maxFieldName && !strings.ContainsFunc(k, unicode.IsControl) {
			return "body." + k
		}
	}
	return "body"
}
