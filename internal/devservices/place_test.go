package devservices

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A folder that was released can be taken again at once, although a process that is just being started has a copy of
// its lock until it runs its own program.
func TestPlace_releaseWhileOthersStart(t *testing.T) {
	t.Parallel()
	dir := reachableDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	var starting sync.WaitGroup
	for range 4 {
		starting.Go(func() {
			for ctx.Err() == nil {
				_ = exec.CommandContext(ctx, "true").Run()
			}
		})
	}
	defer starting.Wait()
	defer cancel()
	for range 2000 {
		p, err := takePlace(dir, "test", "")
		require.NoError(t, err)
		require.NoError(t, p.release())
	}
}

// Only folders that were left a while ago and that nobody has locked are removed.
func TestNewTemporary_removesLeft(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	make1 := func(name string, locked bool, age time.Duration) string {
		dir := filepath.Join(root, "housecall-test-"+name)
		require.NoError(t, os.Mkdir(dir, 0o700))
		p := &place{dir: dir}
		require.NoError(t, p.claim())
		if locked {
			t.Cleanup(func() { require.NoError(t, p.release()) })
		} else {
			require.NoError(t, p.release())
		}
		at := time.Now().Add(-age)
		require.NoError(t, os.Chtimes(dir, at, at))
		return dir
	}
	left, used, fresh := make1("1", false, time.Hour), make1("2", true, time.Hour), make1("3", false, time.Second)
	made, err := newTemporary("test", root)
	require.NoError(t, err)
	require.NoDirExists(t, left)
	for _, dir := range []string{used, fresh, made} {
		require.DirExists(t, dir)
	}
}
