package httpd

import "context"

// ParseKey reads an Idempotency-Key.
var ParseKey = parseKey

// Listing returns the context of a request to a route of s, with what cursors need.
func Listing(ctx context.Context, s *Server, path string) context.Context {
	return context.WithValue(ctx, requestKey{}, &request{sealer: s.sealer, list: listPurpose(path)})
}

// SealCursor seals any text as a cursor.
func SealCursor(ctx context.Context, plain string) string {
	r := requestFrom(ctx)
	return r.sealer.Seal(r.list, []byte(plain))
}

// Spelled returns a path of an older API as its route spells it.
func (s *Server) Spelled(method, path string) string { return s.spelled(method, path) }
