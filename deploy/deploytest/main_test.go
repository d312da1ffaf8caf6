// Package deploytest proves what deploy/ and docker-compose.yml promise, without a container engine: the compose
// file is read by compose's own loader, the Dockerfile's commands are carried out in a folder, and the load
// balancer's configuration is run in front of two instances of the program that the Dockerfile builds.
package deploytest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// repository is the path of a file below the root of the repository.
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
