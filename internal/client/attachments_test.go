package client

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// files answers requests for files, and notes how long each may take.
type files struct {
	times   []time.Duration
	tokens  []string
	expired string // a token that is refused
}

func (f *files) RoundTrip(r *http.Request) (*http.Response, error) {
	until, bounded := r.Context().Deadline()
	if !bounded {
		until = time.Now().Add(24 * time.Hour)
	}
	f.times = append(f.times, time.Until(until).Round(time.Minute))
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	f.tokens = append(f.tokens, token)
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	answer := func(status int, body string) *http.Response {
		kind := "application/json"
		if status >= 400 {
			kind = "application/problem+json"
		}
		return &http.Response{
			StatusCode: status, Header: http.Header{"Content-Type": {kind}},
			Body: io.NopCloser(strings.NewReader(body)), Request: r,
		}
	}
	switch {
	case strings.Contains(r.URL.Path, "/auth/"):
		return answer(200,
			`{"accessToken":"token-`+string(rune('0'+len(f.times)))+`","expiresIn":900,"refreshToken":"r","user":{}}`), nil
	case token == f.expired:
		return answer(401, `{"status":401,"code":"unauthenticated"}`), nil
	case r.Method == http.MethodPost:
		return answer(201, `{"id":"F1"}`), nil
	default:
		return answer(200, "content"), nil
	}
}

// A file may take as long as the service allows: on a slow line, 15 seconds are not enough.
func TestAPI_filesHaveTime(t *testing.T) {
	t.Parallel()
	f := &files{}
	api, err := New("http://clinic.test", WithHTTPClient(&http.Client{Transport: f}))
	require.NoError(t, err)
	_, err = api.Login(t.Context(), "p@x.test", "secret")
	require.NoError(t, err)
	file, err := api.Upload(t.Context(), "APP1", "scan.pdf", strings.NewReader("content"))
	require.NoError(t, err)
	require.Equal(t, "F1", file.ID)
	require.NoError(t, api.Download(t.Context(), "APP1", "F1", io.Discard))
	require.Equal(t, []time.Duration{0, 10 * time.Minute, 10 * time.Minute}, f.times, "15 s, and the service's own bound")
	require.Zero(t, NewHTTPClient(1).Timeout, "it would also apply to files")
}

// Like every other call, a download renews a token that is no longer accepted; it does not write the refusal to w.
func TestAPI_DownloadRenews(t *testing.T) {
	t.Parallel()
	f := &files{expired: "token-1"}
	api, err := New("http://clinic.test", WithHTTPClient(&http.Client{Transport: f}))
	require.NoError(t, err)
	_, err = api.Login(t.Context(), "p@x.test", "secret")
	require.NoError(t, err)
	var got bytes.Buffer
	require.NoError(t, api.Download(t.Context(), "APP1", "F1", &got))
	require.Equal(t, "content", got.String())
	require.Equal(t, []string{"", "token-1", "", "token-3"}, f.tokens)
}
