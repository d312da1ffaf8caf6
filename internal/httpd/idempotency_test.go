package httpd_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/httpd"
)

func TestParseKey(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"8e03978e-40d5-43dd-bc93-6894a57f9324": "8e03978e-40d5-43dd-bc93-6894a57f9324", `"8e03978e"`: "8e03978e", " a b ": "a b", `" a "`: " a ",
		`"a\"b\\c"`: `a"b\c`, `a"b\c`: `a"b\c`, strings.Repeat("x", 255): strings.Repeat("x", 255),
	} {
		got, ok := httpd.ParseKey(header)
		require.True(t, ok, header)
		require.Equal(t, want, got)
	}
	for _, header := range []string{
		"", " ", `"`, `""`, `"a`, `"a"b`, `"a";b=1`, `"a\b"`, `"a\`, "a\tb", "a\x00", "a\x7f", "é", "\"é\"", strings.Repeat("x", 256), `"` + strings.Repeat("x", 256) + `"`,
	} {
		got, ok := httpd.ParseKey(header)
		require.False(t, ok, header)
		require.Empty(t, got)
	}
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"", "a", `"a"`, `"a\"b"`, `"a\\`, "é"} {
		f.Add(s)
	}
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	f.Fuzz(func(t *testing.T, header string) {
		key, ok := httpd.ParseKey(header)
		if !ok {
			require.Empty(t, key)
			return
		}
		require.NotEmpty(t, key)
		require.LessOrEqual(t, len(key), 255)
		require.NotContains(t, key, "\x00")
		again, ok := httpd.ParseKey(`"` + escape.Replace(key) + `"`)
		require.True(t, ok, "every key can be written as a String")
		require.Equal(t, key, again)
	})
}

// Routes that create for an actor document the key; others do not mention it.
func TestServer_OpenAPI_idempotency(t *testing.T) {
	t.Parallel()
	keyed := func(context.Context, *struct{}) (*itemOutput, error) { return &itemOutput{ETag: httpd.ETag(1)}, nil }
	h := startWith(t, func(s *httpd.Server) {
		route := httpd.Route{
			Method: "POST", Path: "/keyed", Tag: "test", Summary: "Make", Access: httpd.SignedIn, Status: 201,
		}
		httpd.Register(s, route, keyed)
		route.Path, route.Repeatable = "/repeatable", true
		httpd.Register(s, route, keyed)
		route.Path, route.Repeatable, route.Access = "/public", false, httpd.Public
		httpd.Register(s, route, keyed)
		route.Path, route.Status, route.Access = "/moved", 0, httpd.SignedIn
		httpd.Register(s, route, keyed)
	})
	var document struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name, In string }
			Responses  map[string]struct {
				Headers map[string]any
				Content map[string]any
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(h.do(t, "GET", "/openapi.json", "").body), &document))
	require.Len(t, document.Paths, 4)
	for path, operations := range document.Paths {
		o := operations["post"]
		if path != "/api/v1/keyed" {
			require.Empty(t, o.Parameters, path)
			continue
		}
		require.Len(t, o.Parameters, 1)
		require.Equal(t, "Idempotency-Key", o.Parameters[0].Name)
		require.Equal(t, "header", o.Parameters[0].In)
		require.Contains(t, o.Responses, "409")
		require.Contains(t, o.Responses, "422")
		require.Contains(t, o.Responses["201"].Headers, "Idempotent-Replayed")
		require.Contains(t, o.Responses["201"].Headers, "ETag")
		require.Contains(t, o.Responses["201"].Content, "application/json")
	}
	// Without a store the header is ignored.
	require.Equal(t, 201, h.do(t, "POST", "/api/v1/keyed", "", as("patient"), header("Idempotency-Key", "é")).StatusCode)
}
