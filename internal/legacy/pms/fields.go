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
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/errs"
	"housecall/internal/text"
)

// fields are the fields of a request: from the path, the body (JSON or a form) or the query, in this order. Clients of
// this API send numbers as texts and texts as numbers. Unknown fields are ignored; null and "" mean that a field is
// missing. Complaints are collected, one for each field, so that all faults are told at once; see err.
type fields struct {
	values     map[string]any // string, json.Number, or something that is refused
	complaints []complaint
}

// complaint is what is wrong with a field. The old server answered some of them as refusals of a rule.
type complaint struct {
	name, what string
	refusal    bool
}

// errBody refuses a body that is neither a JSON object nor a form.
var errBody = errs.New(errs.BadRequest, "bad_json", "Send the body as a JSON object in UTF-8, or as a form.")

// errTwice refuses a key that comes twice: only one of the values would count, and which one, programs disagree about.
var errTwice = errs.New(errs.BadRequest, "bad_json", "Send each field only once")

// read collects the fields of a request. Somebody who is not signed in sends a password, so then only the body is
// read: URLs end up in histories and in the logs of proxies.
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

// parseBody reads a body as Express does: it ignores bodies of other types.
func parseBody(contentType string, body []byte) (map[string]any, error) {
	if len(body) == 0 {
		return nil, nil
	}
	kind, _, _ := mime.ParseMediaType(contentType) // "" if it is malformed
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
	if _, twice := text.Twice(body); twice {
		return nil, errTwice
	}
	return out, nil
}

// complain notes that a field is bad input.
func (f *fields) complain(name, what string) { f.add(complaint{name: name, what: what}) }

// refuse notes that a rule refuses a field.
func (f *fields) refuse(name, what string) { f.add(complaint{name: name, what: what, refusal: true}) }

// add notes the first complaint about a field.
func (f *fields) add(c complaint) {
	if !slices.ContainsFunc(f.complaints, func(known complaint) bool { return known.name == c.name }) {
		f.complaints = append(f.complaints, c)
	}
}

// err returns all complaints as one error: a refusal if all of them are, otherwise a 400; nil if there are none.
func (f *fields) err() error {
	if len(f.complaints) == 0 {
		return nil
	}
	refused, all := true, make([]string, len(f.complaints))
	for i, c := range f.complaints {
		refused = refused && c.refusal
		all[i] = c.name + " " + c.what
	}
	if refused {
		return refusal(strings.Join(all, ", "))
	}
	return errs.New(errs.BadRequest, "bad_request", strings.Join(all, ", "))
}

// given tells whether a field was sent.
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

// number reads a whole number from 1 to most; 0 if it is not given.
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

// nobody is a number that nothing has.
const nobody = -1

// id reads the number of something; 0 if it is not given. Numbers begin at 1: a smaller one is nobody's, so that it is
// answered like any other that nothing has.
func (f *fields) id(name string) int64 {
	if !f.given(name) {
		return 0
	}
	n, ok := wholeNumber(f.values[name])
	switch {
	case !ok:
		f.complain(name, "must be a whole number of at most 18 digits")
		return 0
	case n < 1:
		return nobody
	}
	return n
}

// mostExact is the largest whole number that JavaScript represents exactly.
const mostExact = 1 << 53

// wholeNumber reads a whole number in any form: 7, "7", " 7 ", 7.0 or 7e0.
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

// decimal matches a number as in JSON (RFC 8259, 6); Go would also read hexadecimal numbers and "Inf".
var decimal = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// text reads a text; "" if it is not given. It keeps spaces around it: they may belong to a password.
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

// date reads a day, YYYY-MM-DD, as midnight in UTC; the zero time if it is not given.
func (f *fields) date(name string) time.Time {
	s := strings.TrimSpace(f.text(name))
	if s == "" {
		return time.Time{}
	}
	day, err := time.Parse(time.DateOnly, s)
	switch {
	case err == nil:
		return day
	case dateShape.MatchString(s):
		f.refuse(name, "must be a day that exists")
	default:
		f.complain(name, "must be in YYYY-MM-DD format")
	}
	return time.Time{}
}

// dateShape matches what looks like a date, such as 2026-13-45.
var dateShape = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`)
