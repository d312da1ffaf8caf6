package devservices

import (
	"context"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A folder that was released can be taken again at once, though whoever else starts a process at that moment has a copy
// of its lock until the other program runs.
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
