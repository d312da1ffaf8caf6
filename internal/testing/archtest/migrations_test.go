package archtest

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "add new migrations to testdata/migrations.sum")

// Migrations are applied somewhere as soon as they are merged, so nobody edits them, not even their comments, which
// may use older words than the glossary. -update adds new ones to the list, and never changes what is in it.
func TestMigrations_NeverChange(t *testing.T) {
	t.Parallel()
	const list = "testdata/migrations.sum"
	content, err := os.ReadFile(list)
	require.NoError(t, err)
	known := map[string]string{}
	for line := range strings.Lines(string(content)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		known[name] = sum
	}
	names, err := filepath.Glob("../../../migrations/*.sql")
	require.NoError(t, err)
	slices.Sort(names)
	for _, file := range names {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		name, sum := filepath.Base(file), fmt.Sprintf("%x", sha256.Sum256(text))
		if _, listed := known[name]; !listed && *update {
			content = append(content, (sum + "  " + name + "\n")...)
			known[name] = sum
		}
		require.Contains(t, known, name, "a new migration: list it with go test ./internal/testing/archtest -update")
		require.Equal(t, known[name], sum, "%s may already have been applied: write a new one instead of editing it", name)
	}
	require.Len(t, known, len(names), "a migration is missing")
	if *update {
		require.NoError(t, os.WriteFile(list, content, 0o600))
	}
}
