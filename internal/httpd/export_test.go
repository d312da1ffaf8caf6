package httpd

import "context"

// ParseKey is what reads an Idempotency-Key.
var ParseKey = parseKey

// Listing is the context of a request that a route of s answers, as far as cursors need it.
func Listing(ctx context.Context, s *Server, path string) context.Context {
	return context.WithValue(ctx, requestKey{}, &request{sealer: s.sealer, list: listPurpose(path)})
}

// SealCursor seals any text as a cursor.
func SealCursor(ctx context.Context, plain string) string {
	r := requestFrom(ctx)
	return r.sealer.Seal(r.list, []byte(plain))
}
