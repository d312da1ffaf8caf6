package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func TestRules_TheHouseKeepsThem(t *testing.T) {
	t.Parallel()
	tree := os.DirFS("../../..")
	_, err := fs.Stat(tree, "go.mod")
	require.NoError(t, err)
	complaints, files, err := check(tree)
	require.NoError(t, err)
	require.Greater(t, files, 20, "the walk must have found the code")
	require.Empty(t, complaints, strings.Join(complaints, "\n"))
}

func TestRules_EachOneBites(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, code, want string }{
		"unlisted package":        {"internal/util/util.go", "package util", "no row"},
		"unlisted command":        {"cmd/other/main.go", "package main", "no row"},
		"upward":                  {"internal/errs/x.go", `package errs; import _ "housecall/internal/auth"`, "may not import internal/auth"},
		"sideways":                {"internal/account/x.go", `package account; import _ "housecall/internal/doctor"`, "may not import internal/doctor"},
		"a package in the client": {"internal/client/x.go", `package client; import _ "housecall/internal/chat"`, "may not import internal/chat"},
		"migrations":              {"internal/chat/x.go", `package chat; import _ "housecall/migrations"`, "may not import migrations"},
		"fiber in a service":      {"internal/chat/service.go", `package chat; import _ "github.com/gofiber/fiber/v2"`, "the web framework"},
		"websocket in a hub":      {"internal/chat/sets.go", `package chat; import _ "github.com/gofiber/contrib/websocket"`, "the web framework"},
		"huma in a store":         {"internal/doctor/store.go", `package doctor; import _ "github.com/danielgtaylor/huma/v2"`, "the web framework"},
		"a socket in a service":   {"internal/chat/service.go", `package chat; import _ "github.com/fasthttp/websocket"`, "the socket library"},
		"pgx in a service":        {"internal/doctor/service.go", `package doctor; import _ "github.com/jackc/pgx/v5"`, "pgx"},
		"redis in a service":      {"internal/account/service.go", `package account; import _ "github.com/redis/go-redis/v9"`, "go-redis"},
		"river in a service":      {"internal/notify/service.go", `package notify; import _ "github.com/riverqueue/river"`, "the job queue"},
		"mail in a service":       {"internal/notify/service.go", `package notify; import _ "github.com/wneessen/go-mail"`, "the mail library"},
		"a library in the hub":    {"internal/chat/hub.go", `package chat; import _ "github.com/rs/zerolog"`, "standard library"},
		"a package in the hub":    {"internal/chat/hub.go", `package chat; import _ "housecall/internal/errs"`, "standard library"},
		"the environment":         {"internal/app/x.go", `package app; import "os"; var x = os.Getenv("X")`, "os.Getenv"},
		"under another name":      {"internal/app/x.go", `package app; import sys "os"; func f() { sys.Exit(1) }`, "os.Exit"},
		"without a name":          {"internal/app/x.go", `package app; import . "os"; func f() { Exit(1) }`, "dot"},
		"an exit handed around":   {"internal/app/x.go", `package app; import "os"; var exit = os.Exit`, "os.Exit"},
		"a fatal log":             {"internal/app/x.go", `package app; import "log"; func f() { log.Fatalf("") }`, "log.Fatalf"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			complaints, _, err := check(fstest.MapFS{c.file: {Data: []byte(c.code)}})
			require.NoError(t, err)
			require.Len(t, complaints, 1)
			require.Contains(t, complaints[0], c.want)
			require.Contains(t, complaints[0], c.file)
		})
	}
}

func TestRules_WhatIsAllowedPasses(t *testing.T) {
	t.Parallel()
	complaints, files, err := check(fstest.MapFS{
		"internal/chat/ws.go":            {Data: []byte(`package chat; import _ "github.com/gofiber/contrib/websocket"`)},
		"internal/conversation/store.go": {Data: []byte(`package conversation; import _ "github.com/jackc/pgx/v5"`)},
		"internal/bus/redis.go":          {Data: []byte(`package bus; import _ "github.com/redis/go-redis/v9"`)},
		"internal/chat/hub.go":           {Data: []byte(`package chat; import _ "sync"`)},
		"internal/doctor/x.go":           {Data: []byte(`package doctor; import _ "housecall/internal/schedule"`)},
		"internal/doctor/x_test.go":      {Data: []byte(`package doctor; import _ "housecall/internal/chat"`)},
		"internal/doctor/testdata/x.go":  {Data: []byte(`not even Go`)},
		"internal/legacy/pms/x.go":       {Data: []byte(`package pms; import _ "github.com/gofiber/fiber/v2"`)},
		"internal/postgres/x.go":         {Data: []byte(`package postgres; import _ "housecall/migrations"`)},
		"cmd/housecall/main.go":          {Data: []byte(`package main; import "os"; func main() { os.Exit(1) }`)},
		".cache/x.go":                    {Data: []byte(`not even Go`)},
	})
	require.NoError(t, err)
	require.Empty(t, complaints)
	require.Equal(t, 8, files)
}

// check walks the code except tests, and returns a complaint for each broken rule.
func check(tree fs.FS) (complaints []string, files int, err error) {
	err = eachFile(tree, func(name string, f *ast.File) {
		files++
		complaints = append(complaints, judge(name, f)...)
	})
	return complaints, files, err
}

// eachFile parses every Go file of a tree that is not a test.
func eachFile(tree fs.FS, look func(name string, f *ast.File)) error {
	return fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		source, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		look(name, f)
		return nil
	})
}

// judge applies all rules to one file.
func judge(name string, f *ast.File) (complaints []string) {
	complain := func(format string, args ...any) {
		complaints = append(complaints, name+": "+fmt.Sprintf(format, args...))
	}
	directory := path.Dir(name)
	if known, _ := mayImport(directory, "internal/errs"); !known {
		complain("package %s has no row in internal/testing/archtest: say there what it may import", directory)
		return complaints
	}
	for _, i := range f.Imports {
		library, _ := strconv.Unquote(i.Path.Value) // the parser has accepted it
		if reason, only := pure[name]; only && !standard(library) {
			complain("imports %s, but only the standard library is allowed: %s", library, reason)
			continue
		}
		if target, ours := strings.CutPrefix(library, module+"/"); ours {
			if _, ok := mayImport(directory, target); !ok {
				complain("%s may not import %s", directory, target)
			}
			continue
		}
		for _, b := range bans {
			if b.applies(name, library) {
				complain("imports %s, and %s is kept to the packages %v and the files %v: %s", library, b.name, b.packages, b.files,
					b.reason)
			}
		}
	}
	return append(complaints, judgeCalls(name, f)...)
}

// standard tells whether an import path belongs to the standard library: it has no domain and is not this module's.
func standard(library string) bool {
	first, _, _ := strings.Cut(library, "/")
	return first != module && !strings.Contains(first, ".")
}

// judgeCalls looks for functions that are restricted to one place, whether they are called or passed on.
func judgeCalls(name string, f *ast.File) (complaints []string) {
	for _, rule := range calls {
		if slices.ContainsFunc(rule.below, func(d string) bool { return below(path.Dir(name), d) }) {
			continue
		}
		local := localName(f, rule.library)
		if local == "." {
			complaints = append(complaints,
				fmt.Sprintf("%s: imports %s with a dot, which hides what it calls", name, rule.library))
			return complaints
		}
		ast.Inspect(f, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok || local == "" {
				return true
			}
			if x, ok := s.X.(*ast.Ident); ok && x.Name == local && slices.Contains(rule.functions, s.Sel.Name) {
				complaints = append(complaints,
					fmt.Sprintf("%s: %s.%s is kept to %v: %s", name, rule.library, s.Sel.Name, rule.below, rule.reason))
			}
			return true
		})
	}
	return complaints
}

// localName is what a file calls a library, "" if it does not import it.
func localName(f *ast.File, library string) string {
	for _, i := range f.Imports {
		if p, _ := strconv.Unquote(i.Path.Value); p != library {
			continue
		}
		if i.Name != nil {
			return i.Name.Name
		}
		return path.Base(library)
	}
	return ""
}
