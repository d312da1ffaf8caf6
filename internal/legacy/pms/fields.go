package pms

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/errs"
	"housecall/internal/text"
)

// fields are what a request says, wherever it says it: in the path, the body (JSON or a form) or the query, in this
// order. Clients of this API send numbers as texts and texts as numbers. What nobody asks for is ignored; null and ""
// are as if they were not there. Complaints gather until err.
type fields struct {
	values     map[string]any // string, json.Number or something of no use
	complaints []string
}

// errBody is a body that is neither a JSON object nor a form.
var errBody = errs.New(errs.BadRequest, "bad_json", "Send the body as a JSON object in UTF-8, or as a form.")

// read gathers the fields of a request. Somebody who is not signed in yet sends a password, which is read nowhere but
// in the body: addresses end up in histories and in the logs of proxies.
func read(c *fiber.Ctx, signedIn bool) (*fields, error) {
	f := &fields{values: map[string]any{}}
	if signedIn {
		for name, value := range c.Queries() {
			f.values[name] = value
		}
	}
	body, err := parseBody(c.Get(fiber.HeaderContentType), c.Body())
	if err != nil {
		return nil, err
	}
	for name, value := range body {
		if value != nil && value != "" {
			f.values[name] = value
		}
	}
	for _, name := range c.Route().Params {
		f.values[name] = c.Params(name)
	}
	return f, nil
}

// parseBody reads a body as Express does: one of another type is ignored.
func parseBody(contentType string, body []byte) (map[string]any, error) {
	if len(body) == 0 {
		return nil, nil
	}
	kind, _, _ := mime.ParseMediaType(contentType) // "" for one that is malformed
	switch kind {
	case fiber.MIMEApplicationJSON:
		return parseJSON(body)
	case fiber.MIMEApplicationForm:
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, errBody
		}
		out := make(map[string]any, len(form))
		for name, values := range form {
			out[name] = values[len(values)-1]
		}
		return out, nil
	default:
		return nil, nil
	}
}

func parseJSON(body []byte) (map[string]any, error) {
	if !utf8.Valid(body) {
		return nil, errBody
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var out map[string]any
	if d.Decode(&out) != nil {
		return nil, errBody
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errBody
	}
	return out, nil
}

func (f *fields) complain(name, what string) { f.complaints = append(f.complaints, name+" "+what) }

// err is the 400 that names all that was wrong, nil if nothing was.
func (f *fields) err() error {
	if len(f.complaints) == 0 {
		return nil
	}
	return errs.New(errs.BadRequest, "bad_request", strings.Join(f.complaints, ", "))
}

// given tells whether a field is there.
func (f *fields) given(name string) bool {
	v, ok := f.values[name]
	return ok && v != nil && v != ""
}

func (f *fields) require(name string) bool {
	if !f.given(name) {
		f.complain(name, "is required")
		return false
	}
	return true
}

// number reads a whole number from 1 to most, 0 where it is not given.
func (f *fields) number(name string, most int64) int64 {
	if !f.given(name) {
		return 0
	}
	n, ok := wholeNumber(f.values[name])
	if !ok || n < 1 || n > most {
		f.complain(name, fmt.Sprintf("must be a number from 1 to %d", most))
		return 0
	}
	return n
}

// id reads a number that names something, 0 where it is not given.
func (f *fields) id(name string) int64 {
	if !f.given(name) {
		return 0
	}
	n, ok := wholeNumber(f.values[name])
	if !ok || n < 1 {
		f.complain(name, "must be a number")
		return 0
	}
	return n
}

// mostExact is the largest number that JavaScript writes without loss.
const mostExact = 1 << 53

// wholeNumber reads 7, "7", " 7 ", 7.0 and 7e0 alike.
func wholeNumber(v any) (int64, bool) {
	var s string
	switch v := v.(type) {
	case json.Number:
		s = v.String()
	case string:
		s = strings.TrimSpace(v)
	default:
		return 0, false
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	if !decimal.MatchString(s) {
		return 0, false
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || x != math.Trunc(x) || math.Abs(x) > mostExact {
		return 0, false
	}
	return int64(x), true
}

// decimal is a number as JSON writes it (RFC 8259, 6); Go would read hexadecimal ones and "Inf" too.
var decimal = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// text reads a text, "" where it is not given. Spaces around it stay: they may belong to a password.
func (f *fields) text(name string) string {
	var s string
	switch v := f.values[name].(type) {
	case nil:
		return ""
	case string:
		s = v
	case json.Number:
		s = v.String()
	default:
		f.complain(name, "must be a string")
		return ""
	}
	if !text.Storable(s) {
		f.complain(name, "must be text without the character U+0000")
		return ""
	}
	return s
}

// date reads a day, YYYY-MM-DD, as midnight UTC; the zero time if it is not given.
func (f *fields) date(name string) time.Time {
	s := strings.TrimSpace(f.text(name))
	if s == "" {
		return time.Time{}
	}
	day, err := time.Parse(time.DateOnly, s)
	if err != nil {
		f.complain(name, "must be in YYYY-MM-DD format")
		return time.Time{}
	}
	return day
}
