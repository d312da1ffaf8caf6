package archtest

import (
	"fmt"
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
	"internal/chat/PROTOCOL.md",
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
	require.Less(t, len(w.files["README.md"]), 6<<10, "what is about a part belongs into the part's own README.md")
}

// Each made-up paper names one thing that the made-up tree does not have.
func TestPapers_WrongNamesAreFound(t *testing.T) {
	t.Parallel()
	w, err := gather(made)
	require.NoError(t, err)
	for paper, want := range map[string]string{
		"guarded by `TestHub_Model`":                       "",
		"guarded by `TestHub_Modle`":                       "no test TestHub_Modle",
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
		"`/user/lists`":                                    "no route /user/lists",
		"`auth/login`":                                     "",
		"`auth/logout`":                                    "no file auth/logout",
		"`internal/chat/hub.go`":                           "",
		"`chat/hub.go` and `hub.go` and `h*.go`":           "",
		"`internal/chat/hubs.go`":                          "no file internal/chat/hubs.go",
		"`room.go`":                                        "no file room.go",
		"`internal/search`":                                "no file internal/search",
		"`newHub` in `internal/chat/hub.go`":               "",
		"`oldHub` of `internal/chat/hub.go`":               "no oldHub in internal/chat/hub.go",
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

var made = fstest.MapFS{
	"Makefile":                  {Data: []byte("TIME ?= 1\n\nrun: ## run\n\tgo\nsoak:\n")},
	"P.md":                      {Data: []byte("# Begin\n## The end.\n")},
	"internal/chat/hub.go":      {Data: []byte("package chat\ntype Hub struct{}\nfunc (h *Hub) Deliver() {}\nfunc newHub() {}")},
	"internal/chat/hub_test.go": {Data: []byte("package chat\nfunc TestHub_Model(t *testing.T) {}")},
	"internal/bus/bus.go":       {Data: []byte("package bus")},
	"internal/chat/metrics.go":  {Data: []byte(`package chat; var m = o{Name: "chat_sockets"}`)},
	"internal/chat/ws.go": {Data: []byte(`package chat; const page = "/page"
		func f() { r.Get("/ws/inbox", open); for _, at := range []string{page + "/:id"} { r.Get(at, show) } }`)},
	"internal/doctor/http.go": {Data: []byte(`package doctor; import "net/http"
		var r = httpd.Route{Method: http.MethodGet, Path: "/doctors/{id}"}`)},
	"internal/legacy/pms/pms.go": {Data: []byte(`package pms; const Prefix = "/web"
		func f() { s.Dialect(Prefix, x); route(s, http.MethodGet, "/user/list", y) ; a.route(s, http.MethodGet, "/user/list", y) }`)},
	"internal/legacy/hms/hms.go": {Data: []byte(`package hms; const p = "/api/auth"; func f() { r.Group(p); r.Post("/login", x) }`)},
	"internal/config/config.go": {Data: []byte(
		"package config\nvar c struct { Addr string `env:\"ADDR\" envDefault:\"1\"` }\nvar p = Prefix + \"PASSWORD\"")},
	"cmd/housecall/main.go": {Data: []byte(
		`package main; var a = c{Use: "serve"}; var b = c{Use: "admin"}; var d = c{Use: "make --x"}; var e = c{Use: "chat"}`)},
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

// The table of packages says what the rules say.
func TestPapers_PackagesAndArrows(t *testing.T) {
	t.Parallel()
	w, err := treeFacts()
	require.NoError(t, err)
	row := regexp.MustCompile("(?m)^\\| `([a-z/]+)` \\|.*\\| ([^|]+) \\|$")
	told := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(w.files["internal/README.md"], -1) {
		told[m[1]] = m[2]
	}
	require.Len(t, told, len(rooms))
	for name, allowed := range rooms {
		if name == "app" { // it wires them all
			continue
		}
		require.Equal(t, inWords(allowed), told[name], "the row of %s", name)
	}
}

// inWords gives a list of imports as the table has it.
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

var (
	testName = regexp.MustCompile(`^(Test|Benchmark|Fuzz)[A-Z]\w*$`)
	span     = regexp.MustCompile("`([^`\n]+)`")
	setting  = regexp.MustCompile(`HOUSECALL_([A-Z0-9_]+)`)
	metric   = regexp.MustCompile(`^((?:http|chat|jobs)_[a-z_]+)(\{.*\})?$`)
	route    = regexp.MustCompile(`^((?:[A-Z]+ )?)(/[a-z…].*|/|…/[a-z].*)$`)
	address  = regexp.MustCompile(`^https?://localhost:[0-9]+`)
	goName   = regexp.MustCompile(`^[A-Za-z]+(\.[A-Z]\w*)+$`)
	fileName = regexp.MustCompile(`^[\w.*-]+(/[\w.*:-]+)*/?$`)
	isFile   = regexp.MustCompile(`\.(go|md|json|sql|conf|js|yaml|yml|sh|txt)$`)
	within   = regexp.MustCompile("`(\\w+)` (?:in|of) `([^`]+\\.(?:go|js))`")
	target   = regexp.MustCompile(`\bmake ([a-z]+)((?: [A-Z]+=\S+)*)`)
	command  = regexp.MustCompile(`\bhousecall ([a-z][a-z-]*)(?: ([a-z][a-z-]+))?`)
	goTest   = regexp.MustCompile(`\bgo test (.*)`)
	linked   = regexp.MustCompile(`\]\(([^)]*)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ (.+)$`)
)

// judge gives a complaint for each thing that a paper names and that does not exist.
func (w *facts) judge(paper, text string) (complaints []string) {
	complain := func(what, name string) {
		complaints = append(complaints, fmt.Sprintf("%s: there is no %s %s", paper, what, name))
	}
	for _, m := range setting.FindAllStringSubmatch(text, -1) {
		if !w.settings[m[1]] {
			complain("variable", m[0])
		}
	}
	for _, m := range linked.FindAllStringSubmatch(text, -1) {
		if !w.leads(paper, text, m[1]) {
			complain("target of the link", m[1])
		}
	}
	for _, m := range within.FindAllStringSubmatch(text, -1) {
		if !regexp.MustCompile(`\b` + m[1] + `\b`).MatchString(w.files[m[2]]) {
			complain(m[1]+" in", m[2])
		}
	}
	prose, code := divide(text)
	for _, m := range span.FindAllStringSubmatch(prose, -1) {
		if kind := w.missing(paper, m[1]); kind != "" {
			complain(kind, m[1])
		}
		code = append(code, m[1])
	}
	for _, line := range code {
		for _, name := range w.unknownIn(line) {
			complain("command", name)
		}
	}
	return complaints
}

// divide gives a paper without its blocks of code, and the lines of those.
func divide(text string) (prose string, code []string) {
	var out strings.Builder
	fenced := false
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			fenced = !fenced
		case fenced || strings.HasPrefix(line, "    "):
			code = append(code, line)
		default:
			out.WriteString(line + "\n")
		}
	}
	return out.String(), code
}

// missing says as what something in backticks is missing, "" for what exists or names nothing of ours.
func (w *facts) missing(paper, name string) (kind string) {
	name = address.ReplaceAllString(name, "")
	switch {
	case testName.MatchString(name):
		return unless(w.tests[name], "test")
	case metric.MatchString(name):
		return unless(w.metrics[metric.FindStringSubmatch(name)[1]], "metric")
	case strings.HasPrefix(name, ".housecall/") || strings.Contains(name, "NAME") || strings.HasSuffix(name, "….go"):
		return "" // made by make; names with a gap
	case route.MatchString(name):
		m := route.FindStringSubmatch(name)
		return unless(w.serves(strings.TrimSpace(m[1]), m[2]), "route")
	case isFile.MatchString(name), strings.Contains(name, "/") && fileName.MatchString(name):
		return unless(w.hasFile(paper, name) || w.serves("", "/api/"+name), "file")
	case goName.MatchString(name):
		return unless(w.declared[name], "Go name")
	}
	return ""
}

func unless(ok bool, kind string) string {
	if ok {
		return ""
	}
	return kind
}

// serves tells whether there is a route. One that begins with … may begin with anything.
func (w *facts) serves(method, at string) bool {
	at, _, _ = strings.Cut(at, "?")
	at = regexp.MustCompile(`/(APP|PAT|DOC|ADM)…`).ReplaceAllString(parameter.ReplaceAllString(at, "*"), "/*")
	if file := "internal/ui" + at; strings.HasPrefix(at, "/static/") {
		return w.files[file] != ""
	}
	for known, methods := range w.routes {
		if method != "" && !methods[method] {
			continue
		}
		if rest, ok := strings.CutPrefix(at, "…"); ok {
			if strings.HasSuffix(known, rest) {
				return true
			}
			continue
		}
		if known == at || known == at+"/" {
			return true
		}
		if before, ok := strings.CutSuffix(at, known); ok && w.groups[before] {
			return true
		}
	}
	for group := range w.groups {
		if method == "" && below(group, at) {
			return true
		}
	}
	return false
}

// hasFile tells whether a paper can name a file or directory so: from the root, from where the paper is, from internal,
// or, without a directory, as a kind of file that packages have.
func (w *facts) hasFile(paper, name string) bool {
	name = strings.TrimSuffix(name, "/")
	for _, from := range []string{".", path.Dir(paper), "internal"} {
		if _, ok := w.files[path.Join(from, name)]; ok {
			return true
		}
	}
	if strings.Contains(name, "/") {
		return false
	}
	for known := range w.files {
		if ok, _ := path.Match(name, path.Base(known)); ok {
			return true
		}
	}
	return false
}

// leads tells whether a link leads somewhere.
func (w *facts) leads(paper, text, to string) bool {
	file, anchor, _ := strings.Cut(to, "#")
	if file != "" {
		at := path.Join(path.Dir(paper), file)
		if _, ok := w.files[at]; !ok {
			return false
		}
		text = w.files[at]
	}
	return anchor == "" || slices.ContainsFunc(heading.FindAllStringSubmatch(text, -1), func(m []string) bool {
		plain := regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		return strings.ReplaceAll(plain, " ", "-") == anchor
	})
}

// unknownIn gives what a line of commands asks for and nobody offers.
func (w *facts) unknownIn(line string) (unknown []string) {
	for _, m := range target.FindAllStringSubmatch(line, -1) {
		if !w.targets[m[1]] {
			unknown = append(unknown, "make "+m[1])
		}
		for _, v := range strings.Fields(m[2]) {
			if name, _, _ := strings.Cut(v, "="); !w.targets[name] {
				unknown = append(unknown, "make "+v)
			}
		}
	}
	for _, m := range command.FindAllStringSubmatch(line, -1) {
		if !w.commands[m[1]] || m[2] != "" && !w.commands[m[2]] {
			unknown = append(unknown, m[0])
		}
	}
	for _, m := range goTest.FindAllStringSubmatch(line, -1) {
		unknown = append(unknown, w.unknownTests(m[1])...)
	}
	return unknown
}

// unknownTests judges the arguments of go test.
func (w *facts) unknownTests(arguments string) (unknown []string) {
	arguments, _, _ = strings.Cut(arguments, "#")
	words := strings.Fields(arguments)
	var in string
	for i, word := range words {
		if strings.HasPrefix(word, "./") {
			in = strings.TrimSuffix(path.Clean(word), "/...")
			if _, ok := w.files[in]; !ok {
				unknown = append(unknown, "go test "+word)
			}
		}
		if (word != "-run" && word != "-bench") || i+1 == len(words) || words[i+1] == "xxx" {
			continue
		}
		pattern, err := regexp.Compile(strings.Trim(words[i+1], "'"))
		if err != nil || !slices.ContainsFunc(w.testsIn[in], pattern.MatchString) {
			unknown = append(unknown, word+" "+words[i+1])
		}
	}
	return unknown
}
