// Package client is the reference client of Housecall: REST sign-in and booking (API), one WebSocket connection
// (Conn), and a conversation that survives disconnects (Conversation). The terminal chat, the load tool and the
// tests use it. It knows the contracts, the OpenAPI document and PROTOCOL.md, and none of the server's code.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// API calls the REST interface of one instance (or load balancer) as one user. Its methods may be called from several
// goroutines. If the service refuses a request, the error is a *Problem; any other error means that it was not
// reached.
type API struct {
	base    *url.URL
	http    *http.Client
	now     func() time.Time
	agent   string
	timeout time.Duration // of a REST call

	mu         sync.Mutex // guards what follows
	tokens     tokens
	user       User
	refreshing *refreshCall // nil unless one is under way
}

// Option is an option of New.
type Option func(*API)

// WithHTTPClient uses the caller's HTTP client, such as one that many APIs share.
func WithHTTPClient(h *http.Client) Option { return func(a *API) { a.http = h } }

// WithUserAgent sets the name of the program, which the list of sessions shows.
func WithUserAgent(agent string) Option { return func(a *API) { a.agent = agent } }

// WithRequestTimeout limits each REST call, body included. It should be longer than the service's own limit
// (REQUEST_TIMEOUT), or outcomes stay unknown that the service would have told. Without it the limit is 15 s.
func WithRequestTimeout(d time.Duration) Option { return func(a *API) { a.timeout = d } }

const (
	// requestTimeout limits one REST call. It is longer than the usual limit of the service.
	requestTimeout = 15 * time.Second
	// fileTimeout limits one upload or download; the service's limit is the same.
	fileTimeout = 10 * time.Minute
)

// NewHTTPClient returns a client that keeps perHost connections alive and limits the wait for a connection and for an
// answer. How long a body may take depends on the request.
func NewHTTPClient(perHost int) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout:   5 * time.Second,
			ResponseHeaderTimeout: requestTimeout,
			MaxIdleConns:          4 * perHost,
			MaxIdleConnsPerHost:   perHost,
			IdleConnTimeout:       30 * time.Second,
		},
	}
}

// New makes an API for a base URL such as http://localhost:6001. It does not connect yet.
func New(baseURL string, opts ...Option) (*API, error) {
	u, err := url.Parse(strings.TrimSuffix(baseURL, "/"))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" {
		return nil, fmt.Errorf("%q is not a server's address: it must look like http://localhost:6001", baseURL)
	}
	a := &API{base: u, now: time.Now, agent: "housecall-client", timeout: requestTimeout}
	for _, o := range opts {
		o(a)
	}
	if a.http == nil {
		a.http = NewHTTPClient(4)
	}
	return a, nil
}

// CloseIdle closes the pool's idle connections.
func (a *API) CloseIdle() { a.http.CloseIdleConnections() }

// BaseURL returns the address given to New.
func (a *API) BaseURL() string { return a.base.String() }

// ask is one REST request: in is sent as JSON, out is where the answer goes (see do); both may be nil.
type ask struct {
	method, path string // below apiPath
	query        url.Values
	token        string // "" sends none
	in, out      any
}

// call makes one signed-in request. If the service no longer accepts the token, call renews it, once.
func (a *API) call(ctx context.Context, q ask) error {
	return a.signedIn(ctx, func(token string) error {
		q.token = token
		return a.sendOnce(ctx, q)
	})
}

// signedIn makes a request. If the service no longer accepts the token, it makes the request again with a new one.
func (a *API) signedIn(ctx context.Context, request func(token string) error) error {
	token, err := a.Token(ctx)
	if err != nil {
		return err
	}
	err = request(token)
	if !isUnauthenticated(err) {
		return err
	}
	if token, err = a.renew(ctx, token); err != nil {
		return err
	}
	return request(token)
}

// sendOnce makes one request.
func (a *API) sendOnce(ctx context.Context, q ask) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	req, err := a.request(ctx, q)
	if err != nil {
		return err
	}
	return a.do(req, q.token, q.out)
}

// do sends a request. out receives the answer: an io.Writer gets it unchanged, anything else is decoded from JSON;
// with nil, it is dropped.
func (a *API) do(req *http.Request, token string, out any) error {
	what := req.Method + " " + strings.TrimPrefix(req.URL.Path, a.base.JoinPath(apiPath).Path)
	req.Header.Set("User-Agent", a.agent)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", what, reachError(err))
	}
	defer func() {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, problemBodyMax)) // so that the connection can be reused
		_ = resp.Body.Close()
	}()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("%s: %w", what, problemOf(resp))
	}
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if w, raw := out.(io.Writer); raw {
		_, err = io.Copy(w, resp.Body)
	} else {
		err = json.NewDecoder(resp.Body).Decode(out)
	}
	if err != nil {
		return fmt.Errorf("%s: read the answer: %w", what, err)
	}
	return nil
}

const apiPath = "/api/v1"

// address returns the URL of a path below apiPath.
func (a *API) address(path string) string { return a.base.JoinPath(apiPath, path).String() }

func (a *API) request(ctx context.Context, q ask) (*http.Request, error) {
	u := a.base.JoinPath(apiPath, q.path)
	u.RawQuery = q.query.Encode()
	var body io.Reader
	if q.in != nil {
		raw, err := json.Marshal(q.in)
		if err != nil {
			return nil, fmt.Errorf("%s %s: encode the request: %w", q.method, q.path, err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, q.method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", q.method, q.path, err)
	}
	req.Header.Set("Accept", "application/json")
	if q.in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// reachError removes the method and URL, which net/http repeats, from an error.
func reachError(err error) error {
	if u, ok := err.(*url.Error); ok { //nolint:errorlint // http.Client.Do documents exactly this type
		return u.Err
	}
	return err
}
