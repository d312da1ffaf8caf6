package ui

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The page of the chat is the same for everybody, and its policy allows no scripts but ours.
func TestApp_Page(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var first string
	for _, path := range []string{"/", "/inbox", "/assistant", "/appointments/APP0000000001", "/appointments/%3Cscript%3E"} {
		a := h.get(path)
		require.Equal(t, 200, a.Status, path)
		require.Equal(t, "text/html; charset=utf-8", a.Header.Get("Content-Type"))
		require.Equal(t, appPolicy, a.Header.Get("Content-Security-Policy"))
		require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
		require.NotRegexp(t,
			`(?i)<style|style=|\son[a-z]+=|https?://|<script(?: type="module" src="/static/[a-z/-]+\.js")?>[^<]`, a.String())
		if first == "" {
			first = a.String()
		}
		require.Equal(t, first, a.String(), "nothing of an address becomes a part of the page")
	}
	for _, m := range regexp.MustCompile(`(?:href|src)="([^"#]*)"`).FindAllStringSubmatch(first, -1) {
		require.Equal(t, 200, h.get(m[1]).Status, m[1])
	}
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(`\sid="([^"]*)"`).FindAllStringSubmatch(first, -1) {
		require.False(t, ids[m[1]], "two elements are called %s", m[1])
		ids[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`\sfor="([^"]*)"`).FindAllStringSubmatch(first, -1) {
		require.True(t, ids[m[1]], "a label is for nothing: %s", m[1])
	}
}

func TestApp_Modules(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	imports := regexp.MustCompile(`(?m)^(?:import|export) .* from "([^"]+)";$`)
	html := regexp.MustCompile(
		`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|createContextualFragment|localStorage|document\.cookie`,
	)
	n := 0
	require.NoError(t, fs.WalkDir(statics, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		n++
		a := h.get("/" + name)
		require.Equal(t, 200, a.Status, name)
		kind := "text/javascript; charset=utf-8"
		if strings.HasSuffix(name, ".css") {
			kind = "text/css; charset=utf-8"
		}
		require.Equal(t, kind, a.Header.Get("Content-Type"), name)
		require.Equal(t, "nosniff", a.Header.Get("X-Content-Type-Options"))
		require.Equal(t, "public, no-cache", a.Header.Get("Cache-Control"))
		require.NotContains(t, a.String(), "url(")
		require.NotRegexp(t, html, a.String(), name)
		require.LessOrEqual(t, strings.Count(a.String(), "\n"), 400, name)
		for _, m := range imports.FindAllStringSubmatch(a.String(), -1) {
			require.Regexp(t, `^\.\.?/`, m[1], "%s depends on what is not here", name)
		}

		tag := a.Header.Get("ETag")
		require.Regexp(t, `^"[0-9a-f]{32}"$`, tag)
		again := h.do("GET", "/"+name, "", "If-None-Match", tag)
		require.Equal(t, 304, again.Status, name)
		require.Empty(t, again.String())
		require.Equal(t, tag, again.Header.Get("ETag"))
		require.Equal(t, 200, h.do("GET", "/"+name, "", "If-None-Match", `"other"`).Status)
		require.Equal(t, 200, h.do("HEAD", "/"+name, "").Status)
		return nil
	}))
	require.Greater(t, n, 15)
	require.Equal(t, 200, h.get("/static/housecall-chat.js").Status)
	for _, path := range []string{"/static", "/static/", "/static/chat", "/static/../ui.go", "/static/nothing.js"} {
		require.Equal(t, 404, h.get(path).Status, path)
	}
}
