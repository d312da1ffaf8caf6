package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
)

// knows signs users in at an instance.
func (in *instance) knows(actors ...auth.Actor) {
	in.accounts.mu.Lock()
	defer in.accounts.mu.Unlock()
	for _, a := range actors {
		in.accounts.actors[a.UserID] = a
	}
}

// request asks an instance for something below /api/v1; body may be "".
func (in *instance) request(a auth.Actor, method, path, body string) *http.Response {
	in.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, "http://"+in.host+"/api/v1"+path, strings.NewReader(body))
	require.NoError(in.t, err)
	req.Close = true
	if a.UserID != "" {
		req.Header.Set("Authorization", "Bearer "+a.UserID)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(req)
	require.NoError(in.t, err)
	return response
}

// restAnswer is an answer of the REST API.
type restAnswer struct {
	status int
	header http.Header
	raw    []byte
	body   map[string]any // of JSON
}

// rest is request, read to its end.
func (in *instance) rest(a auth.Actor, method, path, body string) restAnswer {
	in.t.Helper()
	response := in.request(a, method, path, body)
	raw, err := io.ReadAll(response.Body)
	require.NoError(in.t, err)
	require.NoError(in.t, response.Body.Close())
	out := restAnswer{status: response.StatusCode, header: response.Header, raw: raw}
	if strings.Contains(out.header.Get("Content-Type"), "json") {
		require.NoError(in.t, json.Unmarshal(raw, &out.body), "%s", raw)
	}
	return out
}

// What differs from run to run, in golden files of the REST API.
var volatile = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`APP[0-9A-Z]{10}`), "APP"},
	{regexp.MustCompile(`"epoch": "[0-9a-f]{12}"`), `"epoch": "EPOCH"`},
	{regexp.MustCompile(`"nextCursor": "[^"]+"`), `"nextCursor": "CURSOR"`},
	{regexp.MustCompile(`"requestId": "[^"]*"`), `"requestId": "REQUEST"`},
	{regexp.MustCompile(`until \w{3} \d.*\(UTC\)`), "until TIME (UTC)"},
}

// goldenRest holds an answer against its file.
func goldenRest(t *testing.T, name string, a restAnswer) {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, json.Indent(&out, bytes.TrimSpace(a.raw), "", "  "))
	out.WriteByte('\n')
	got := out.Bytes()
	for _, v := range volatile {
		got = v.pattern.ReplaceAll(got, []byte(v.instead))
	}
	file := filepath.Join("testdata", "rest_"+name+".json")
	if *update {
		require.NoError(t, os.WriteFile(file, got, 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}
