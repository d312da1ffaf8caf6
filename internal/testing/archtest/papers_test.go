package archtest

import (
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// papers are what people read about the project.
var papers = []string{
	"README.md", "deploy/README.md", "internal/README.md", "internal/legacy/README.md", "cmd/loadtest/README.md",
	"internal/chat/PROTOCOL.md", "internal/chat/VECTORS.md",
}

var treeFacts = sync.OnceValues(func() (*facts, error) { return gather(os.DirFS("../../..")) })

func TestPapers_WhatTheyNameExists(t *testing.T) {
	t.Parallel()
	w, err := treeFacts()
	require.NoError(t, err)
	for _, name := range papers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, w.files, name)
			complaints := w.judge(name, w.files[name])
			require.Empty(t, complaints, strings.Join(complaints, "\n"))
		})
	}
}

func TestPapers_AllOfThemAreChecked(t *testing.T) {
	t.Parallel()
	w, err := treeFacts()
	require.NoError(t, err)
	var found []string
	for name := range w.files {
		if path.Ext(name) == ".md" && !strings.Contains(name, "testdata/") {
			found = append(found, name)
		}
	}
	require.ElementsMatch(t, papers, found)
	require.Less(t, len(w.files["README.md"]), 6<<10, "what concerns one part belongs in the part's own README.md")
}

// Each made-up paper names one thing that the made-up tree does not have.
func TestPapers_WrongNamesAreFound(t *testing.T) {
	t.Parallel()
	w, err := gather(made)
	require.NoError(t, err)
	for paper, want := range map[string]string{
		"guarded by `TestHub_Model`":                       "",
		"guarded by `TestHub_Ghost`":                       "no test TestHub_Ghost",
		"    go test ./internal/chat -run TestHub  # fast": "",
		"    go test ./internal/chat -run TestHob":         "no command -run TestHob",
		"    go test ./internal/chad":                      "no command go test ./internal/chad",
		"`go test ./internal/bus -run TestHub`":            "no command -run TestHub",
		"set `HOUSECALL_ADDR`":                             "",
		"    HOUSECALL_PASSWORD=x ./housecall chat":        "",
		"set `HOUSECALL_ADDRESS`":                          "no variable HOUSECALL_ADDRESS",
		"    HOUSECALL_PASSWORT=x":                         "no variable HOUSECALL_PASSWORT",
		"`GET /api/v1/doctors/{id}`":                       "",
		"`PUT /api/v1/doctors/{id}`":                       "no route PUT /api/v1/doctors/{id}",
		"`/api/v1/doctor/{id}`":                            "no route /api/v1/doctor/{id}",
		"`…/{doctor}`":                                     "",
		"`GET …/patients`":                                 "no route GET …/patients",
		"`http://localhost:6001/ws/inbox?after=1`":         "",
		"`/ws/inboxes`":                                    "no route /ws/inboxes",
		"`/page/APP…`":                                     "",
		"`http://localhost:6001/pages/APP…`":               "no route http://localhost:6001/pages/APP…",
		"`GET /web/user/list`":                             "",
		"`POST /web/user/list`":                            "no route POST /web/user/list",
		"`POST …/messages/{seq}/retract`":                  "",
		"`…/messages/{seq}/retrace`":                       "no route …/messages/{seq}/retrace",
		"`/user/lists`":                                    "no route /user/lists",
		"`auth/login`":                                     "",
		"`auth/logout`":                                    "no file auth/logout",
		"`internal/chat/hub.go`":                           "",
		"`chat/hub.go` and `hub.go` and `h*.go`":           "",
		"`internal/chat/hubs.go`":                          "no file internal/chat/hubs.go",
		"`room.go`":                                        "no file room.go",
		"`internal/search`":                                "no file internal/search",
		"`newHub` in `internal/chat/hub.go`":               "",
		"`page` of `internal/chat/hub.go`":                 "no page in internal/chat/hub.go",
		"`chat.Hub` and `chat.Hub.Deliver`":                "",
		"`Hub.Deliver`":                                    "",
		"`chat.Room`":                                      "no Go name chat.Room",
		"`chat.Hub.Receive`":                               "no Go name chat.Hub.Receive",
		"watch `chat_sockets`":                             "",
		"watch `chat_rooms{code=\"1\"}`":                   "no metric chat_rooms",
		"`make run` and `make soak TIME=1m`":               "",
		"    make walk":                                    "no command make walk",
		"    make run SPEED=1":                             "no command make SPEED=1",
		"`housecall serve --help`, `housecall admin make`": "",
		"`housecall sit`":                                  "no command housecall sit",
		"`housecall admin break`":                          "no command housecall admin break",
		"[there](internal/chat/hub.go)":                    "",
		"[there](chat/hub.go)":                             "no target of the link chat/hub.go",
		"# A word\n[up](#a-word) [it](P.md#the-end)":       "",
		"# A word\n[up](#words)":                           "no target of the link #words",
		"[it](P.md#the-beginning)":                         "no target of the link P.md#the-beginning",
		"one `clientId`, `not_found`, `a` or `b`":          "",
		"the answer is `not_there`":                        "no word not_there",
		"one `customerId`":                                 "no word customerId",
	} {
		complaints := w.judge("README.md", paper)
		if want == "" {
			require.Empty(t, complaints, paper)
			continue
		}
		require.Len(t, complaints, 1, paper)
		require.Contains(t, complaints[0], "there is "+want)
	}
}

// made is the made-up tree.
var made = tree(map[string]string{
	"Makefile":                  "TIME ?= 1\n\nrun: ## run\n\tgo\nsoak:\n",
	"P.md":                      "# Begin\n## The end.\n",
	"internal/chat/hub.go":      "package chat\ntype Hub struct{}\nfunc (h *Hub) Deliver() {}\nfunc newHub() {}",
	"internal/chat/hub_test.go": "package chat\nfunc TestHub_Model(t *testing.T) {}",
	"internal/bus/bus.go":       `package bus; const a, b = "not_found", "clientId"`,
	"internal/chat/metrics.go":  `package chat; var m = o{Name: "chat_sockets"}`,
	"internal/chat/ws.go": `package chat; const page = "/page"
		func f() { r.Get("/ws/inbox", open); for _, at := range []string{page + "/:id"} { r.Get(at, show) } }`,
	"internal/doctor/http.go": `package doctor; var r = httpd.Route{Method: http.MethodGet, Path: "/doctors/{id}"}`,
	"internal/conversation/http.go": `package conversation
		func f() { post := func(p string) R { return R{Method: http.MethodPost, Path: "/appointments/{id}/messages" + p} }
			post("/{seq}/retract") }`,
	"internal/legacy/pms/pms.go": `package pms; const Prefix = "/web"
		func f() { s.Dialect(Prefix, x); a.route(s, http.MethodGet, "/user/list", y) }`,
	"internal/legacy/hms/hms.go": `package hms; const p = "/api/auth"; func f() { r.Group(p); r.Post("/login", x) }`,
	"internal/config/config.go": "package config\nvar c struct { Addr string `env:\"ADDR\" envDefault:\"1\"` }\n" +
		"var p = Prefix + \"PASSWORD\"",
	"cmd/housecall/main.go": `package main
		var a, b, c, d = x{Use: "serve"}, x{Use: "admin"}, x{Use: "make --x"}, x{Use: "chat"}`,
})

func tree(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range files {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

func TestPapers_MetricsAreDescribed(t *testing.T) {
	t.Parallel()
	w, err := treeFacts()
	require.NoError(t, err)
	require.Greater(t, len(w.metrics), 10)
	for name := range w.metrics {
		require.Contains(t, w.files["deploy/README.md"], "`"+name+"`")
	}
}

// The table of packages says the same as the rules.
func TestPapers_PackagesAndArrows(t *testing.T) {
	t.Parallel()
	w, err := treeFacts()
	require.NoError(t, err)
	row := regexp.MustCompile("(?m)^\\| `([a-z/]+)` \\|.*\\| ([^|]+) \\|$")
	told := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(w.files["internal/README.md"], -1) {
		told[m[1]] = m[2]
	}
	require.Len(t, told, len(imports))
	for name, allowed := range imports {
		if name == "app" { // it wires them all
			continue
		}
		require.Equal(t, inWords(allowed), told[name], "the row of %s", name)
	}
}

// inWords returns a list of imports as the table has it.
func inWords(allowed []string) string {
	var out []string
	if len(allowed) >= len(foundation) && slices.Equal(allowed[:len(foundation)], foundation) {
		out, allowed = append(out, "foundation"), allowed[len(foundation):]
	}
	for _, a := range allowed {
		out = append(out, "`"+a+"`")
	}
	if out == nil {
		return "–"
	}
	return strings.Join(out, ", ")
}
