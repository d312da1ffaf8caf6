package app

import (
	"context"
	"runtime/debug"
	"time"
)

// trimEvery is how often an instance checks whether it is idle.
const trimEvery = 15 * time.Second

// trim returns memory to the system after a burst, such as thousands of clients that reconnect at once and then only
// listen: the runtime itself collects an idle process only every two minutes. A process in which no collection has run
// since the last check is idle; a busy one is never disturbed.
func trim(ctx context.Context) {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	var stats debug.GCStats
	seen, trimmed := int64(0), int64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		debug.ReadGCStats(&stats)
		if stats.NumGC == seen && seen != trimmed {
			debug.FreeOSMemory()
			debug.ReadGCStats(&stats)
			trimmed = stats.NumGC
		}
		seen = stats.NumGC
	}
}
