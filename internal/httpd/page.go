package httpd

import (
	"bytes"
	"encoding/base64"
	"encoding/json"

	"housecall/internal/errs"
)

// cursorMax bounds the length of a cursor; none of ours comes near.
const cursorMax = 1024

// PageQuery is embedded into the input of a list.
type PageQuery struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"How many items at most"`
	Cursor string `query:"cursor" maxLength:"1024" doc:"The nextCursor of the page before"`
}

// Page is one page of a list by keyset; without NextCursor it is the last.
type Page[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"nextCursor,omitempty" doc:"Send it as cursor to get the next page; absent on the last"`
}

// MarshalJSON writes an empty list as [], never null.
func (p Page[T]) MarshalJSON() ([]byte, error) {
	type plain Page[T]
	if p.Items == nil {
		p.Items = []T{}
	}
	return encode(plain(p))
}

// EncodeCursor makes an opaque cursor of the sort key of a page's last item: strings, integers, times.
func EncodeCursor(parts ...any) string {
	raw, err := json.Marshal(parts)
	if err != nil {
		panic("httpd: a cursor is made of strings, numbers and times: " + err.Error()) // a programming error
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// DecodeCursor reads a cursor into as many pointers as it was made of. "" is the first page and leaves them as
// they are. A cursor that is not one of this list is errs.Invalid on query.cursor; the pointers are then of no use.
func DecodeCursor(s string, into ...any) error {
	if s == "" {
		return nil
	}
	bad := errs.InvalidField("query.cursor", "is not a cursor of this list")
	if len(s) > cursorMax {
		return bad
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || !storable(raw) || bytes.Contains(raw, []byte(`\u0000`)) {
		return bad
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(raw, &parts); err != nil || len(parts) != len(into) {
		return bad
	}
	for i, part := range parts {
		// null would leave a pointer's target as it is, and pass for a key.
		if bytes.Equal(part, []byte("null")) || json.Unmarshal(part, into[i]) != nil {
			return bad
		}
	}
	return nil
}
