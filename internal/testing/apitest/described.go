package apitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"housecall/internal/httpd"
)

// serverWide are the statuses of problems that the server itself raises, before any route: no route has to describe
// them.
var serverWide = []int{http.StatusMethodNotAllowed, http.StatusNotAcceptable}

// problemPointer is where the document describes the body of every error.
const problemPointer = "/components/schemas/Problem"

// Description is an OpenAPI 3.1 document that answers are held to. It is safe for concurrent use.
type Description struct {
	paths    []describedPath
	compiler *jsonschema.Compiler

	mu       sync.Mutex // guards the compiler and what it has compiled
	compiled map[string]*jsonschema.Schema
}

type describedPath struct {
	template   string
	segments   []string
	operations map[string]describedOperation // by method, in lower case
}

type describedOperation struct {
	Responses map[string]struct {
		// Ref stands for one of the problems that the document describes once for all routes.
		Ref     string                     `json:"$ref"`
		Content map[string]json.RawMessage `json:"content"`
	} `json:"responses"`
}

// Describe reads an OpenAPI document.
func Describe(document []byte) (*Description, error) {
	var read struct {
		Paths map[string]map[string]describedOperation `json:"paths"`
	}
	if err := json.Unmarshal(document, &read); err != nil {
		return nil, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return nil, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	d := &Description{compiler: jsonschema.NewCompiler(), compiled: map[string]*jsonschema.Schema{}}
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource("openapi.json", value); err != nil {
		return nil, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	for template, operations := range read.Paths {
		d.paths = append(d.paths, describedPath{template, strings.Split(template, "/"), operations})
	}
	// A literal comes before a parameter: /doctors/mine is not /doctors/{id}.
	slices.SortFunc(d.paths, func(a, b describedPath) int { return strings.Compare(b.template, a.template) })
	slices.SortStableFunc(d.paths, func(a, b describedPath) int {
		return strings.Count(a.template, "{") - strings.Count(b.template, "{")
	})
	return d, nil
}

// Check compares an answer of the REST API with what the document says: the status and the media type must be there,
// and the body must be as described, without fields that are not.
func (d *Description) Check(method, path string, status int, header http.Header, body []byte) error {
	if !strings.HasPrefix(path, httpd.APIPrefix+"/") || method == http.MethodOptions {
		return nil
	}
	kind, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	template, op, known := d.find(method, path)
	response, described := op.Responses[strconv.Itoa(status)]
	switch {
	case response.Ref != "":
		return d.validate(problemPointer, body)
	case described && len(response.Content) == 0:
		if len(body) > 0 {
			return fmt.Errorf("%s %s: a body with status %d, described without", method, template, status)
		}
		return nil
	case !described && kind == httpd.ProblemType && (!known || slices.Contains(serverWide, status)):
		return d.validate(problemPointer, body)
	case !described:
		return fmt.Errorf("%s %s: status %d is not described: %s", method, path, status, body)
	}
	content, ok := response.Content[kind]
	switch {
	case !ok:
		return fmt.Errorf("%s %s: media type %q of status %d is not described", method, template, kind, status)
	case method == http.MethodHead || !strings.HasSuffix(kind, "json") || !bytes.Contains(content, []byte(`"schema"`)):
		return nil
	}
	if err := d.validate(pointer(template, method, status, kind), body); err != nil {
		return fmt.Errorf("%s %s: the body of status %d: %w: %s", method, template, status, err, body)
	}
	return nil
}

// pointer returns the JSON pointer (RFC 6901) of the schema of an answer.
func pointer(template, method string, status int, kind string) string {
	escape := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace
	return "/paths/" + escape(template) + "/" + described(method) + "/responses/" + strconv.Itoa(status) + "/content/" +
		escape(kind) + "/schema"
}

// described returns the method under which the document has an operation: HEAD is GET without the body.
func described(method string) string {
	if method == http.MethodHead {
		return "get"
	}
	return strings.ToLower(method)
}

func (d *Description) find(method, path string) (template string, op describedOperation, ok bool) {
	segments := strings.Split(strings.TrimSuffix(path, "/"), "/") // the server takes it with and without
	for _, p := range d.paths {
		matches := slices.EqualFunc(p.segments, segments, func(want, got string) bool {
			return want == got || strings.HasPrefix(want, "{") && got != ""
		})
		if op, ok := p.operations[described(method)]; matches && ok {
			return p.template, op, true
		}
	}
	return "", describedOperation{}, false
}

// validate holds a JSON document to the schema at a pointer.
func (d *Description) validate(at string, body []byte) error {
	schema, err := d.schema(at)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	return schema.Validate(value)
}

func (d *Description) schema(at string) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.compiled[at]; s != nil {
		return s, nil
	}
	s, err := d.compiler.Compile("openapi.json#" + at)
	if err != nil {
		return nil, fmt.Errorf("compile the schema: %w", err)
	}
	d.compiled[at] = s
	return s, nil
}

// whole is the description of whole instances, which all instances of a process share.
var whole struct {
	sync.Mutex
	d *Description
}

// Held makes a client of whole instances hold every answer of their REST API to their description. A mismatch fails the
// test, but not the request: clients would try again.
func Held(t testing.TB, c *http.Client) *http.Client {
	held := *c
	held.Transport = &holding{t, c.Transport}
	return &held
}

// holding is a transport that checks what it receives.
type holding struct {
	t    testing.TB
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (h *holding) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := h.next.RoundTrip(r)
	if err != nil || !strings.HasPrefix(r.URL.Path, httpd.APIPrefix+"/") {
		return resp, err
	}
	var body []byte
	if strings.Contains(resp.Header.Get("Content-Type"), "json") { // others may be long, and have no schema
		if body, err = io.ReadAll(resp.Body); err != nil {
			// What was cut off cannot be checked; the client gets as much, and the same error.
			resp.Body = &cut{resp.Body, io.MultiReader(bytes.NewReader(body), failing{err})}
			return resp, nil //nolint:nilerr // the body says it
		}
		resp.Body = &cut{resp.Body, bytes.NewReader(body)}
	}
	d, err := h.description(r)
	if err != nil {
		return resp, nil //nolint:nilerr // the instance has gone away meanwhile
	}
	if err := d.Check(r.Method, r.URL.EscapedPath(), resp.StatusCode, resp.Header, body); err != nil {
		h.t.Errorf("an answer differs from its description: %v", err)
	}
	return resp, nil
}

// CloseIdleConnections is called by http.Client.CloseIdleConnections.
func (h *holding) CloseIdleConnections() {
	if c, ok := h.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// description asks the instance that answers r, unless another one has been asked before.
func (h *holding) description(r *http.Request) (*Description, error) {
	whole.Lock()
	defer whole.Unlock()
	if whole.d != nil {
		return whole.d, nil
	}
	at := url.URL{Scheme: r.URL.Scheme, Host: r.URL.Host, Path: "/openapi.json"}
	ask, err := http.NewRequestWithContext(r.Context(), http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := h.next.RoundTrip(ask)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	document, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("/openapi.json answered status %d", resp.StatusCode)
	}
	if whole.d, err = Describe(document); err != nil {
		h.t.Errorf("the description cannot be read: %v", err)
	}
	return whole.d, err
}

// cut is a body that is read from elsewhere.
type cut struct {
	io.Closer
	io.Reader
}

type failing struct{ err error }

// Read implements io.Reader.
func (f failing) Read([]byte) (int, error) { return 0, f.err }
