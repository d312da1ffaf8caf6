package hms

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/errs"
	"housecall/internal/text"
)

// form is what a page sent. It is read leniently: unknown fields are ignored, a number may come as text and the
// reverse, and null means that a field is missing. Complaints are collected; see err.
type form struct {
	values map[string]any
	bad    []errs.Field
}

var errBody = errs.New(errs.BadRequest, "bad_json", "Send one JSON object as the body.")

// read reads the body as a form; without a body the form is empty.
func read(c *fiber.Ctx) (*form, error) { return parseForm(c.Body()) }

// errTwice refuses a key that comes twice: only one of the values would count, and which one, programs disagree about.
var errTwice = errs.New(errs.BadRequest, "bad_json", "Send each field only once.")

func parseForm(body []byte) (*form, error) {
	f := &form{}
	if len(bytes.TrimSpace(body)) == 0 {
		return f, nil
	}
	if !utf8.Valid(body) {
		return nil, errBody
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&f.values) != nil {
		return nil, errBody
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errBody
	}
	if _, twice := text.Twice(body); twice {
		return nil, errTwice
	}
	return f, nil
}

func (f *form) refuse(name, message string) {
	f.bad = append(f.bad, errs.Field{Path: name, Message: message})
}

// err returns all complaints as one error; nil if there are none.
func (f *form) err() error {
	if len(f.bad) == 0 {
		return nil
	}
	return errs.InvalidFields(f.bad...)
}

// maybe returns a text; nil if it was not sent.
func (f *form) maybe(name string) *string {
	var s string
	switch v := f.values[name].(type) {
	case nil:
		return nil
	case string:
		s = v
	case json.Number:
		s = v.String()
	case bool:
		s = strconv.FormatBool(v)
	default:
		f.refuse(name, "must be text")
		return nil
	}
	if !text.Storable(s) {
		f.refuse(name, "must not contain the character U+0000")
		return nil
	}
	return &s
}

// text returns a text; "" if it was not sent.
func (f *form) text(name string) string {
	if s := f.maybe(name); s != nil {
		return *s
	}
	return ""
}

// required returns a text that must be sent and not blank.
func (f *form) required(name string) string {
	before := len(f.bad)
	s := f.text(name)
	if strings.TrimSpace(s) == "" && len(f.bad) == before {
		f.refuse(name, "is required")
	}
	return s
}

// number returns a whole number; nil if it was not sent.
func (f *form) number(name string) *int {
	s := f.maybe(name)
	if s == nil || strings.TrimSpace(*s) == "" {
		return nil
	}
	n, err := strconv.Atoi(strings.TrimSpace(*s))
	if err != nil {
		f.refuse(name, "must be a whole number")
		return nil
	}
	return &n
}
