package ui

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The modules are typed with JSDoc; a compiler finds nothing wrong with them, or with how the pages use them.
func TestModules_Types(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, statics))
	entry := filepath.Join(dir, "static", "app", "app.js")
	said, err := checkTypes(t, entry, filepath.Join(dir, "static", "housecall-chat.js"))
	require.NoError(t, err, said)

	code, err := os.ReadFile(entry)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(entry, append(code, "new Session({ url: 5 });\n"...), 0o600))
	said, err = checkTypes(t, entry)
	require.Error(t, err, "it looks")
	require.Contains(t, said, "Type 'number' is not assignable to type 'string")
}

// checkTypes type-checks modules as strictly as possible.
func checkTypes(t *testing.T, modules ...string) (said string, err error) {
	t.Helper()
	program, err := exec.LookPath("tsc")
	require.NoError(
		t, err,
		"TypeScript is not installed, and without it the types of the browser's modules are not checked: "+
			"run `deploy/setup.sh test` (`make test` does), or `npm install --global typescript`",
	)
	args := []string{
		"--noEmit", "--allowJs", "--checkJs", "--strict", "--noUnusedLocals", "--noUnusedParameters",
		"--target", "es2022", "--module", "es2022", "--lib", "es2022,dom,dom.iterable",
	}
	out, err := exec.CommandContext(t.Context(), program, append(args, modules...)...).CombinedOutput()
	return string(out), err
}
