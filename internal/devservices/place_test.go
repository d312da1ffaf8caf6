package devservices

import (
	"context"
	"os/exec"
	"sync"
	"testing"

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
