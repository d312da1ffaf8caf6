package apitest_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/testing/apitest"
)

type inner struct {
	ID string `json:"id"`
}

type thingOutput struct {
	Body struct {
		inner
		Name string `json:"name" maxLength:"5"`
	}
}

// A type that embeds one whose name is in lower case writes fields that its schema denies. The answer of such a route
// is refused, too.
func TestCheckWritten(t *testing.T) {
	t.Parallel()
	api := apitest.Serve(t, apitest.Options{Routes: func(s *httpd.Server) {
		httpd.Register(s, httpd.Route{Method: http.MethodGet, Path: "/thing", Access: httpd.Public},
			func(context.Context, *struct{}) (*thingOutput, error) { return &thingOutput{}, nil })
	}})
	require.ErrorContains(t, apitest.CheckWritten(api.Server), "additional properties 'id' not allowed")
	_, err := api.Try(http.MethodGet, "/thing", "", nil)
	require.ErrorContains(t, err, "GET /api/v1/thing: the body of status 200")
}

type nameInput struct {
	Name string `path:"name"`
}

type nameOutput struct {
	Body struct {
		Name string `json:"name" maxLength:"5"`
	}
}

// Answers are held to their descriptions: statuses, bodies, and problems of addresses that are not described.
func TestDescription_Check(t *testing.T) {
	t.Parallel()
	api := apitest.Serve(t, apitest.Options{Routes: func(s *httpd.Server) {
		httpd.Register(s, httpd.Route{Method: http.MethodGet, Path: "/names/{name}", Access: httpd.Public},
			func(_ context.Context, in *nameInput) (*nameOutput, error) {
				if in.Name == "none" {
					return nil, errs.Missing("name")
				}
				out := &nameOutput{}
				out.Body.Name = in.Name
				return out, nil
			})
	}})
	for name, c := range map[string]struct{ method, path, complaint string }{
		"as described":          {"GET", "/names/Ada", ""},
		"without the body":      {"HEAD", "/names/Ada", ""},
		"with a slash":          {"GET", "/names/Ada/", ""},
		"of the whole server":   {"PUT", "/names/Ada", ""},
		"at no address":         {"GET", "/nowhere", ""},
		"a body that is not":    {"GET", "/names/Eleanor", "the body of status 200"},
		"a status that is not":  {"GET", "/names/none", "status 404 is not described"},
		"a status without body": {"HEAD", "/names/none", "status 404 is not described"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := api.Try(c.method, c.path, "", nil)
			if c.complaint == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.complaint)
		})
	}
}
