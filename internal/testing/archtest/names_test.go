package archtest

import (
	"fmt"
	"go/ast"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// casePairs finds methods of a package, apart from its tests, whose names differ by case alone: send beside Send says
// nothing about how they differ.
func casePairs(tree fs.FS) (pairs []string, err error) {
	names := map[string]string{} // by folder and name in lower case
	err = eachFile(tree, func(file string, parsed *ast.File) {
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv == nil {
				continue
			}
			key := path.Dir(file) + "." + strings.ToLower(f.Name.Name)
			if other, taken := names[key]; taken && other != f.Name.Name {
				pairs = append(pairs, fmt.Sprintf("%s: %s and %s", path.Dir(file), other, f.Name.Name))
			}
			names[key] = f.Name.Name
		}
	})
	slices.Sort(pairs)
	return slices.Compact(pairs), err
}

func TestMethods_DifferByMoreThanCase(t *testing.T) {
	t.Parallel()
	pairs, err := casePairs(os.DirFS("../../.."))
	require.NoError(t, err)
	require.Empty(t, pairs)

	pairs, err = casePairs(fstest.MapFS{
		"internal/chat/a.go":      {Data: []byte("package chat; func (a A) Send() {}; func send() {}")},
		"internal/chat/b.go":      {Data: []byte("package chat; func (b *B[T]) send() {}")},
		"internal/chat/b_test.go": {Data: []byte("package chat; func (b *B[T]) SEND() {}")},
		"internal/search/c.go":    {Data: []byte("package search; func (c C) SEND() {}")},
	})
	require.NoError(t, err)
	require.Equal(t, []string{"internal/chat: Send and send"}, pairs)
}
