package archtest

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

var (
	testName = regexp.MustCompile(`^(Test|Benchmark|Fuzz)[A-Z]\w*$`)
	span     = regexp.MustCompile("`([^`\n]+)`")
	setting  = regexp.MustCompile(`HOUSECALL_([A-Z0-9_]+)`)
	metric   = regexp.MustCompile(`^((?:http|chat|jobs)_[a-z_]+)(\{.*\})?$`)
	route    = regexp.MustCompile(`^((?:[A-Z]+ )?)(/[a-z…].*|/|…/[a-z].*)$`)
	address  = regexp.MustCompile(`^https?://localhost:[0-9]+`)
	word     = regexp.MustCompile(`^[a-z]+((_[a-z]+)+|([A-Z][a-z]+)+)$`) // such as not_found or clientId
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

// judge returns a complaint for each thing that a paper names and that does not exist.
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

// divide returns a paper without its blocks of code, and the lines of these blocks.
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

// missing says what kind of thing a name in backticks would be that does not exist; "" if it exists or is not ours.
func (w *facts) missing(paper, name string) (kind string) {
	name = address.ReplaceAllString(name, "")
	switch {
	case testName.MatchString(name):
		return unless(w.tests[name], "test")
	case metric.MatchString(name):
		return unless(w.metrics[metric.FindStringSubmatch(name)[1]], "metric")
	case strings.HasPrefix(name, ".housecall/") || strings.Contains(name, "NAME") || strings.HasSuffix(name, "….go"):
		return "" // made by make, or a name with a placeholder
	case route.MatchString(name):
		m := route.FindStringSubmatch(name)
		return unless(w.serves(strings.TrimSpace(m[1]), m[2]), "route")
	case isFile.MatchString(name), strings.Contains(name, "/") && fileName.MatchString(name):
		return unless(w.hasFile(paper, name) || w.serves("", "/api/"+name), "file")
	case goName.MatchString(name):
		return unless(w.declared[name], "Go name")
	case word.MatchString(name):
		return unless(w.words[name], "word")
	}
	return ""
}

func unless(ok bool, kind string) string {
	if ok {
		return ""
	}
	return kind
}

// serves tells whether there is a route. If it begins with …, it may begin with anything.
func (w *facts) serves(method, at string) bool {
	at, _, _ = strings.Cut(at, "?")
	at = regexp.MustCompile(`/(APP|PAT|DOC|ADM)…`).ReplaceAllString(parameter.ReplaceAllString(at, "*"), "/*")
	if file := "internal/ui" + at; strings.HasPrefix(at, "/static/") {
		return w.files[file] != ""
	}
	for known, methods := range w.routes {
		if isPath(at, known) && (method == "" || methods[method]) {
			return true
		}
		for group, by := range w.groups {
			if isPath(at, group+known) && (method == "" || method == by || methods[method]) {
				return true
			}
		}
	}
	for group := range w.groups {
		if method == "" && below(group, at) {
			return true
		}
	}
	return false
}

// isPath tells whether at means a known path; an ellipsis may replace its beginning.
func isPath(at, known string) bool {
	rest, shortened := strings.CutPrefix(at, "…")
	return known == at || known == at+"/" || shortened && strings.HasSuffix(known, rest)
}

// hasFile tells whether a paper may name a file or directory like this: from the root, from the paper's own folder,
// from internal, or without a directory, for a kind of file that packages have.
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

// leads tells whether a link has a target.
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

// unknownIn returns what a line of commands uses and does not exist.
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
