package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// facts are what the papers may name, as the tree has it.
type facts struct {
	files    map[string]string // the text of each, by its path; "" for a directory
	tests    map[string]bool   // and benchmarks and fuzz tests
	testsIn  map[string][]string
	declared map[string]bool            // "package.Name", "package.Type.Method", "Type.Method"
	words    map[string]bool            // of code and SQL: codes, fields and whatever else has a name
	metrics  map[string]bool            // by their full names
	settings map[string]bool            // environment variables, without prefix
	routes   map[string]map[string]bool // methods by path, with * for parameters; "" is any method
	groups   map[string]string          // paths below which others are registered, and by which method; "" is any
	commands map[string]bool            // of the program
	targets  map[string]bool            // of make; and its variables
}

var (
	metricName  = regexp.MustCompile(`Name:\s*"((?:http|chat|jobs)_[a-z_]+)"`)
	settingName = regexp.MustCompile("`env:\"([A-Z0-9_]+)\"|Prefix \\+ \"([A-Z]+)\"")
	commandName = regexp.MustCompile(`Use:\s*"([a-z-]+)`)
	targetName  = regexp.MustCompile(`(?m)^([a-z]+):|^([A-Z]+)\s*\?=`)
	anyWord     = regexp.MustCompile(`\w+`)
	parameter   = regexp.MustCompile(`:[a-zA-Z]+|\{[a-zA-Z]+\}`)
)

// gather reads the tree.
func gather(tree fs.FS) (*facts, error) {
	w := &facts{
		files: map[string]string{}, tests: map[string]bool{}, testsIn: map[string][]string{},
		declared: map[string]bool{}, words: map[string]bool{}, metrics: map[string]bool{}, settings: map[string]bool{},
		routes: map[string]map[string]bool{}, groups: map[string]string{}, commands: map[string]bool{},
		targets: map[string]bool{},
	}
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", ".housecall", "node_modules"}, d.Name()):
			return fs.SkipDir
		case d.IsDir():
			w.files[name] = ""
			return nil
		case !d.Type().IsRegular():
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		w.files[name] = string(text)
		return w.read(name, string(text))
	})
	return w, err
}

func (w *facts) read(name, text string) error {
	if name == "Makefile" {
		note(w.targets, targetName, text)
	}
	kind := path.Ext(name)
	if strings.Contains(name, "testdata/") || !slices.Contains([]string{".go", ".sql", ".js"}, kind) {
		return nil
	}
	if !strings.HasSuffix(name, "_test.go") {
		for _, word := range anyWord.FindAllString(text, -1) {
			w.words[word] = true
		}
	}
	if kind != ".go" {
		return nil
	}
	f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	w.declarations(name, f)
	switch directory := path.Dir(name); {
	case strings.HasSuffix(name, "_test.go"):
	case directory == "internal/config":
		note(w.settings, settingName, text)
	case directory == "cmd/housecall":
		note(w.commands, commandName, text)
	case below(directory, "internal") && directory != "internal/client":
		note(w.metrics, metricName, text)
		w.routing(f)
	}
	return nil
}

func note(into map[string]bool, what *regexp.Regexp, text string) {
	for _, m := range what.FindAllStringSubmatch(text, -1) {
		for _, name := range m[1:] {
			if name != "" {
				into[name] = true
			}
		}
	}
}

// declarations notes what a file declares.
func (w *facts) declarations(name string, f *ast.File) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			w.function(name, f.Name.Name, d)
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					w.declared[f.Name.Name+"."+s.Name.Name] = true
				case *ast.ValueSpec:
					for _, n := range s.Names {
						w.declared[f.Name.Name+"."+n.Name] = true
					}
				}
			}
		}
	}
}

func (w *facts) function(file, pkg string, d *ast.FuncDecl) {
	name := d.Name.Name
	if d.Recv != nil {
		receiver := d.Recv.List[0].Type
		if star, ok := receiver.(*ast.StarExpr); ok {
			receiver = star.X
		}
		if id, ok := receiver.(*ast.Ident); ok {
			w.declared[id.Name+"."+name] = true
			w.declared[pkg+"."+id.Name+"."+name] = true
		}
		return
	}
	w.declared[pkg+"."+name] = true
	if strings.HasSuffix(file, "_test.go") && testName.MatchString(name) {
		w.tests[name] = true
		w.testsIn[path.Dir(file)] = append(w.testsIn[path.Dir(file)], name)
	}
}

// routing notes paths: of typed routes, of routes of a router, and any other text that looks like a path.
func (w *facts) routing(f *ast.File) {
	constants := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Names) == len(v.Values) {
			for i, name := range v.Names {
				if s, ok := textOf(v.Values[i], nil); ok {
					constants[name.Name] = s
				}
			}
		}
		return true
	})
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			w.typedRoute(n)
		case *ast.CallExpr:
			w.routerCall(n, constants)
		case *ast.BinaryExpr, *ast.BasicLit:
			if s, ok := textOf(n.(ast.Expr), constants); ok {
				w.route("", s)
			}
		}
		return true
	})
}

// typedRoute notes an httpd.Route.
func (w *facts) typedRoute(n *ast.CompositeLit) {
	var method, at, group string
	for _, e := range n.Elts {
		pair, ok := e.(*ast.KeyValueExpr)
		if !ok {
			return
		}
		switch key, _ := pair.Key.(*ast.Ident); {
		case key == nil:
		case key.Name == "Method":
			method = methodOf(pair.Value)
		case key.Name == "Path":
			var whole bool
			if at, whole = textOf(pair.Value, nil); whole {
				continue
			}
			if sum, ok := pair.Value.(*ast.BinaryExpr); ok { // a function adds the rest
				group, _ = textOf(sum.X, nil)
				at = ""
			}
		}
	}
	if method != "" && group != "" {
		w.groups[parameter.ReplaceAllString("/api/v1"+group, "*")] = method
	}
	if method != "" && at != "" {
		w.route(method, "/api/v1"+at)
	}
}

// routerCall notes what is registered with a router, by a method's name or with a method as an argument.
func (w *facts) routerCall(n *ast.CallExpr, constants map[string]string) {
	called, ok := n.Fun.(*ast.SelectorExpr)
	if !ok || len(n.Args) == 0 {
		return
	}
	for i, a := range n.Args {
		s, ok := textOf(a, constants)
		switch {
		case !ok:
		case called.Sel.Name == "Group":
			w.groups[s] = ""
		case i == 0:
			w.route(strings.ToUpper(called.Sel.Name), s)
		default:
			w.route(methodOf(n.Args[i-1]), s)
		}
	}
	if called.Sel.Name == "Dialect" {
		if s, ok := textOf(n.Args[0], constants); ok {
			w.groups[s] = ""
		}
	}
}

func (w *facts) route(method, at string) {
	if method, rest, found := strings.Cut(at, " "); found && strings.HasPrefix(rest, "/") {
		w.route(method, rest)
	}
	if !strings.HasPrefix(at, "/") || strings.ContainsAny(at, " \n\"") {
		return
	}
	at = parameter.ReplaceAllString(at, "*")
	if w.routes[at] == nil {
		w.routes[at] = map[string]bool{}
	}
	w.routes[at][method] = true
}

// methodOf returns POST for http.MethodPost.
func methodOf(e ast.Expr) string {
	if s, ok := e.(*ast.SelectorExpr); ok {
		if name, ok := strings.CutPrefix(s.Sel.Name, "Method"); ok {
			return strings.ToUpper(name)
		}
	}
	return ""
}

// textOf returns the value of a literal, a constant of the same file, or a sum of these.
func textOf(e ast.Expr, constants map[string]string) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.Ident:
		s, ok := constants[e.Name]
		return s, ok
	case *ast.BinaryExpr:
		x, left := textOf(e.X, constants)
		y, right := textOf(e.Y, constants)
		return x + y, left && right && e.Op == token.ADD
	}
	return "", false
}
