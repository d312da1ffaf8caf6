package apitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/httpd"
)

// API is an API and a client for it. It keeps no connections, so that none is left when the test ends.
type API struct {
	Server *httpd.Server // nil unless Serve started it
	Root   string        // "http://" and the server's address
	Prefix string        // precedes the paths of requests

	t         testing.TB
	described func() (*Description, error) // what answers are held to; nil unless Serve started the server
}

// Client returns a client for a server that the test has started by other means, such as a whole instance.
func Client(t testing.TB, root, prefix string) *API { return &API{Root: root, Prefix: prefix, t: t} }

// Under returns the same API with another prefix: "" for pages, "/web" for an older API.
func (a *API) Under(prefix string) *API {
	other := *a
	other.Prefix = prefix
	return &other
}

// URL returns the URL of a path.
func (a *API) URL(path string) string { return a.Root + a.Prefix + path }

// Ask sends a request and returns the answer, whatever its status; the test fails if there is none. With the token "",
// nobody is signed in. body is nil or "" for none, JSON as text or bytes, a value to be sent as JSON, or a reader of
// anything else, whose Content-Type the headers name. headers are pairs; one with an empty value is left out.
func (a *API) Ask(method, path, token string, body any, headers ...string) Answer {
	a.t.Helper()
	answer, err := a.Try(method, path, token, body, headers...)
	require.NoError(a.t, err)
	return answer
}

// Try is Ask for goroutines other than the test's own, which must not end the test. It also fails if an answer is not
// what the OpenAPI document says of it.
func (a *API) Try(method, path, token string, body any, headers ...string) (Answer, error) {
	req, err := a.Request(method, path, token, body, headers...)
	if err != nil {
		return Answer{}, err
	}
	return a.Send(req)
}

// Request makes the request that Ask sends, for tests that change it before they Send it.
func (a *API) Request(method, path, token string, body any, headers ...string) (*http.Request, error) {
	content, err := reader(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.URL(path), content)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	if _, other := body.(io.Reader); !other && content != http.NoBody {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] != "" {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	return req, nil
}

// reader returns a reader of a body of Ask.
func reader(body any) (io.Reader, error) {
	switch b := body.(type) {
	case nil:
		return http.NoBody, nil
	case io.Reader:
		return b, nil
	case []byte:
		return bytes.NewReader(b), nil
	case string:
		if b == "" {
			return http.NoBody, nil
		}
		return strings.NewReader(b), nil
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			return nil, fmt.Errorf("write the body: %w", err)
		}
		return bytes.NewReader(raw), nil
	}
}

// Send sends a request unchanged and reads the answer. It does not follow redirects.
func (a *API) Send(req *http.Request) (Answer, error) {
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, fmt.Errorf("ask %s: %w", req.URL.Path, err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	out := Answer{Status: resp.StatusCode, Header: resp.Header}
	if out.Raw, err = io.ReadAll(resp.Body); err != nil {
		return out, fmt.Errorf("read the answer of %s: %w", req.URL.Path, err)
	}
	if err := a.hold(req, out); err != nil {
		return out, err
	}
	kind := resp.Header.Get("Content-Type")
	if strings.Contains(kind, "json") && bytes.HasPrefix(out.Raw, []byte("{")) {
		if err := json.Unmarshal(out.Raw, &out.Body); err != nil {
			return out, fmt.Errorf("the answer of %s is not JSON: %w", req.URL.Path, err)
		}
	}
	return out, nil
}

// hold compares an answer with the description of the server that Serve started, statuses and problems included.
func (a *API) hold(req *http.Request, out Answer) error {
	if a.described == nil {
		return nil
	}
	d, err := a.described()
	if err != nil {
		return err
	}
	return d.Check(req.Method, req.URL.EscapedPath(), out.Status, out.Header, out.Raw)
}

// Answer is the answer to a request.
type Answer struct {
	Status int
	Header http.Header
	Raw    []byte
	Body   map[string]any // nil unless it is a JSON object
}

// String returns the unchanged body.
func (a Answer) String() string { return string(a.Raw) }

// ETag returns the ETag header, which can be sent as If-Match.
func (a Answer) ETag() string { return a.Header.Get("ETag") }

// Code returns the code of a problem; "" for any other answer.
func (a Answer) Code() string { return a.Text("code") }

// Text returns the string at a dotted path in the body; "" if there is none.
func (a Answer) Text(path string) string {
	s, _ := a.Value(path).(string)
	return s
}

// Value returns the value at a dotted path in the body; nil if there is none.
func (a Answer) Value(path string) any {
	var v any = a.Body
	for key := range strings.SplitSeq(path, ".") {
		object, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = object[key]
	}
	return v
}

// BadFields returns the paths of the fields that a 422 complains about, never nil.
func (a Answer) BadFields() []string { return each(a.list("errors"), "path") }

// BadField returns the first of them; "" if there is none.
func (a Answer) BadField() string {
	if all := a.BadFields(); len(all) > 0 {
		return all[0]
	}
	return ""
}

// Items returns the items of a page.
func (a Answer) Items() []map[string]any { return a.list("items") }

// Each returns the string with a name in every item of a page, never nil.
func (a Answer) Each(name string) []string { return each(a.Items(), name) }

func each(objects []map[string]any, name string) []string {
	out := []string{}
	for _, o := range objects {
		s, _ := o[name].(string)
		out = append(out, s)
	}
	return out
}

func (a Answer) list(name string) []map[string]any {
	all, _ := a.Body[name].([]any)
	out := make([]map[string]any, 0, len(all))
	for _, v := range all {
		object, _ := v.(map[string]any)
		out = append(out, object)
	}
	return out
}
