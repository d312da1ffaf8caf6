// Package wirejson writes JSON as clients of every API read it. It is encoding/json, except that a time always has six
// digits after the second: clients compare timestamps as strings, and "…:05Z" would sort after "…:05.5Z".
package wirejson

import (
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// Time is the layout of times: RFC 3339 with the microseconds that PostgreSQL keeps.
const Time = "2006-01-02T15:04:05.000000Z07:00"

// AppendTime appends a time in UTC, without quotes.
func AppendTime(b []byte, t time.Time) []byte { return t.UTC().AppendFormat(b, Time) }

// options are those of encoding/json without its escapes for HTML, and our times.
var options = json.JoinOptions(jsonv1.DefaultOptionsV1(), jsontext.EscapeForHTML(false),
	json.WithMarshalers(json.MarshalToFunc(func(e *jsontext.Encoder, t time.Time) error {
		return e.WriteToken(jsontext.String(t.Format(Time)))
	})))

// Marshal encodes v, whose JSON tags and methods mean what they mean to encoding/json. Times keep their offset.
func Marshal(v any) ([]byte, error) { return json.Marshal(v, options) }
