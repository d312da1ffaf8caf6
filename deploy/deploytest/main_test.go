// Package deploytest tests deploy/ and docker-compose.yml without a container engine: it reads the compose file with
// compose's own loader, carries out the Dockerfile's commands in a folder, and runs the load balancer's configuration
// in front of two instances of the program that the Dockerfile builds.
package deploytest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// repository returns the path of a file of the repository.
func repository(t testing.TB, path ...string) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(root, "go.mod"))
	return filepath.Join(append([]string{root}, path...)...)
}

func read(t testing.TB, path ...string) string {
	t.Helper()
	raw, err := os.ReadFile(repository(t, path...))
	require.NoError(t, err)
	return string(raw)
}
