package httpd_test

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/errs"
	"housecall/internal/httpd"
)

const (
	cursorSecret = "k3J9vQ2xLz8Rr5TnYw1Bd7Hf4Gm6Ps0C"
	otherSecret  = "b8Rr5TnYw1Bd7Hf4Gm6Ps0Ck3J9vQ2xLz"
)

// listing returns the context of a request for a list, on a server with these secrets.
func listing(t testing.TB, path string, secrets ...string) context.Context {
	t.Helper()
	var o httpd.Options
	for _, s := range secrets {
		o.CursorSecrets = append(o.CursorSecrets, []byte(s))
	}
	s, err := httpd.New(httpd.Deps{Log: zerolog.Nop(), Registry: prometheus.NewRegistry(), Options: o})
	require.NoError(t, err)
	return httpd.Listing(context.Background(), s, path)
}

func TestCursor_RoundTrip(t *testing.T) {
	t.Parallel()
	ctx := listing(t, "/doctors", cursorSecret)
	at := time.Date(2026, 11, 22, 1, 2, 3, 456789000, time.UTC)
	cursor := httpd.EncodeCursor(ctx, "Dr. Ö/+?", int64(1)<<62, at)
	require.Regexp(t, `^[A-Za-z0-9_-]+$`, cursor)
	var name string
	var id int64
	var when time.Time
	require.NoError(t, httpd.DecodeCursor(ctx, cursor, &name, &id, &when))
	require.Equal(t, "Dr. Ö/+?", name)
	require.Equal(t, int64(1)<<62, id)
	require.True(t, at.Equal(when))

	require.NoError(t, httpd.DecodeCursor(ctx, "", &name))
	require.Equal(t, "Dr. Ö/+?", name, "the first page has no key")
	require.NoError(t, httpd.DecodeCursor(listing(t, "/doctors", otherSecret, cursorSecret), cursor, &name, &id, &when),
		"on every instance")
	plain, err := base64.RawURLEncoding.DecodeString(cursor)
	require.NoError(t, err)
	require.NotContains(t, string(plain), "Dr.")
}

func TestCursor_RefusesOthers(t *testing.T) {
	t.Parallel()
	ctx := listing(t, "/doctors", cursorSecret)
	genuine := httpd.EncodeCursor(ctx, "a", 1)
	for name, cursor := range map[string]string{
		"not base64": "?", "by hand": base64.RawURLEncoding.EncodeToString([]byte(`["a",1]`)), "cut": genuine[1:], "longer": genuine + "AAAA",
		"of another list": httpd.EncodeCursor(listing(t, "/patients", cursorSecret), "a", 1),
		"of others":       httpd.EncodeCursor(listing(t, "/doctors", otherSecret), "a", 1),
		"of nobody":       httpd.EncodeCursor(listing(t, "/doctors"), "a", 1),
		"too few":         httpd.EncodeCursor(ctx, "a"), "too many": httpd.EncodeCursor(ctx, "a", 1, 2), "types": httpd.EncodeCursor(ctx, 1, "a"),
		"an object": httpd.SealCursor(ctx, "{}"), "not JSON": httpd.SealCursor(ctx, "x"), "long": strings.Repeat("a", 2000),
	} {
		var text string
		var number int64
		err := httpd.DecodeCursor(ctx, cursor, &text, &number)
		require.Equal(t, errs.Invalid, errs.KindOf(err), name)
		var e *errs.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "query.cursor", e.Fields[0].Path)
	}
}

// There are no cursors outside of routes.
func TestCursor_OutsideOfARoute(t *testing.T) {
	t.Parallel()
	require.Panics(t, func() { httpd.EncodeCursor(t.Context(), 1) })
	var n int
	require.Equal(t, errs.Invalid, errs.KindOf(httpd.DecodeCursor(t.Context(), "AAAA", &n)))
	require.NoError(t, httpd.DecodeCursor(t.Context(), "", &n))
}

// Over HTTP a cursor is valid only on the route for which it was made, with GET and HEAD.
func TestCursor_IsTheRoutes(t *testing.T) {
	t.Parallel()
	type input struct{ httpd.PageQuery }
	list := func(ctx context.Context, in *input) (*pageOutput, error) {
		n := 0
		if err := httpd.DecodeCursor(ctx, in.Cursor, &n); err != nil {
			return nil, err
		}
		return &pageOutput{Body: httpd.Page[row]{NextCursor: httpd.EncodeCursor(ctx, n+1)}}, nil
	}
	h := startWith(t, func(s *httpd.Server) {
		for _, path := range []string{"/a", "/b/{id}"} {
			httpd.Register(s, httpd.Route{Method: "GET", Path: path, Tag: "test", Summary: "List", Access: httpd.Public}, list)
		}
	})
	next := func(path string) string {
		_, rest, _ := strings.Cut(h.do(t, "GET", path, "").body, `"nextCursor":"`)
		return strings.TrimSuffix(strings.TrimSpace(rest), `"}`)
	}
	a, b := next("/api/v1/a"), next("/api/v1/b/1")
	for path, status := range map[string]int{
		"/api/v1/a?cursor=" + a: 200, "/api/v1/b/2?cursor=" + b: 200, "/api/v1/a?cursor=" + b: 422, "/api/v1/b/1?cursor=" + a: 422,
	} {
		require.Equal(t, status, h.do(t, "GET", path, "").StatusCode, path)
		require.Equal(t, status, h.do(t, "HEAD", path, "").StatusCode, path)
	}
}

func FuzzDecodeCursor(f *testing.F) {
	ctx := listing(f, "/doctors", cursorSecret)
	f.Add(`["a",1,"2026-11-22T01:02:03Z"]`, true)
	f.Add("", false)
	f.Add("W10", false)
	f.Add("[null,null,null]", true)
	f.Fuzz(func(t *testing.T, s string, sealed bool) {
		if sealed {
			s = httpd.SealCursor(ctx, s)
		}
		var text string
		var number int64
		var at time.Time
		err := httpd.DecodeCursor(ctx, s, &text, &number, &at)
		if err != nil {
			require.Equal(t, errs.Invalid, errs.KindOf(err))
			return
		}
		require.True(t, sealed || s == "", "forged")
	})
}
