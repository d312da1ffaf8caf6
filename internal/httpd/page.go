package httpd

import (
	"context"
	"encoding/json"

	"housecall/internal/errs"
	"housecall/internal/wirejson"
)

// cursorMax limits the length of a cursor; ours are much shorter.
const cursorMax = 1024

// PageQuery is to be embedded in the input of a list.
type PageQuery struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"The maximum number of items"`
	Cursor string `query:"cursor" maxLength:"1024" doc:"The nextCursor of the previous page"`
}

// Page is one page of a list; without NextCursor it is the last.
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
	return wirejson.Marshal(plain(p))
}

// EncodeCursor makes a list's cursor from the sort key of a page's last item: strings, integers and times. It seals
// the cursor for the route that is being answered, so that nobody can read the key, forge one, or use it on another
// list.
func EncodeCursor(ctx context.Context, parts ...any) string {
	r := requestFrom(ctx)
	if r == nil || r.list == "" {
		panic("httpd: only a registered route has cursors") // a programming error
	}
	raw, err := json.Marshal(parts)
	if err != nil {
		panic("httpd: a cursor is made of strings, numbers and times: " + err.Error()) // a programming error
	}
	return r.sealer.Seal(r.list, raw)
}

// DecodeCursor reads a cursor into as many pointers as it has parts. "" means the first page and leaves them
// unchanged. If the cursor does not belong to this list, the error is errs.Invalid on query.cursor, and the values are
// undefined.
func DecodeCursor(ctx context.Context, s string, into ...any) error {
	if s == "" {
		return nil
	}
	bad := errs.InvalidField("query.cursor", "is not a cursor of this list")
	r := requestFrom(ctx)
	if r == nil || r.list == "" || len(s) > cursorMax {
		return bad
	}
	raw, err := r.sealer.Open(r.list, s)
	if err != nil {
		return bad
	}
	// The cursor is ours, but may be from another version of the program whose list had another key.
	var parts []json.RawMessage
	if err := json.Unmarshal(raw, &parts); err != nil || len(parts) != len(into) {
		return bad
	}
	for i, part := range parts {
		if json.Unmarshal(part, into[i]) != nil {
			return bad
		}
	}
	return nil
}

// listPurpose binds cursors to a route, without the method: GET and HEAD are the same list.
func listPurpose(path string) string { return "cursor " + path }
