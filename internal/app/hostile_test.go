package app

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/testing/hostile"
)

// badAddress is where bad clients come from, so that limits by address affect only them.
var badAddress = net.IPv4(127, 0, 0, 66)

// victim is an instance as a bad client's target, with a conversation of the client's own.
func (w *world) victim(n int) hostile.Target {
	w.t.Helper()
	patient, doctor := w.person(auth.Patient).at(n), w.person(auth.Doctor).at(n)
	return hostile.Target{
		Addr:  w.apps[n].Addr(),
		Path:  "/ws/appointments/" + w.book(patient, doctor),
		Token: w.token(patient), From: badAddress,
	}
}

// Bad clients of every kind visit both instances while good ones chat: the good ones lose nothing, and are neither cut
// off nor refused; no handler fails; and the bad ones leave nothing behind. Not parallel, because it counts what the
// whole process holds.
func TestApp_BadClients(t *testing.T) { //nolint:paralleltest // see above
	long(t)
	w := newWorld(t, 2, func(c *config.Config) {
		c.MessagesPerSecond = config.Default().MessagesPerSecond
		c.LogLevel = "warn" // the log is kept in memory, which the test measures
	})
	s := newStorm(w, 5, newGate(t, w.apps[0].Addr()), newGate(t, w.apps[1].Addr()))
	mutants := []hostile.Target{w.victim(0), w.victim(1)}
	crowded := []hostile.Target{w.victim(0), w.victim(1)}
	frames := append(goldenFrames(t), hostile.Frames...)

	rounds := w.beset(s, mutants, crowded, frames, 200, 1) // fills pools, so that they do not grow later
	before := holdings(t)
	rounds += w.beset(s, mutants, crowded, frames, 1300, 2)
	var after holding
	w.eventually("nothing is left of them", func() bool { after = holdings(t); return after.within(before) })
	t.Logf("before %+v, after %+v", before, after)

	s.same(rounds * 2 * 2 * talkEach)
	for _, pair := range s.peers {
		for _, p := range pair {
			require.EqualValues(t, 1, p.conv.Stats().Connections, "nobody was cut off")
			require.Empty(t, p.deferred, "or deferred")
		}
	}
	require.NotContains(t, w.log.String(), `"level":"error"`)
	require.NotContains(t, w.log.String(), `"status":5`)
}

// talkEach is how often each good client sends two messages beside bad ones.
const talkEach = 3

// beset sends n mutated frames to each of mutants, and has a crowd of the other kinds visit each of crowded, while the
// good clients chat, in as many rounds as there is time for, but at least one.
func (w *world) beset(s *storm, mutants, crowded []hostile.Target, frames [][]byte, n int, seed uint64) (rounds int) {
	w.t.Helper()
	done := make(chan error, len(mutants))
	for i, target := range mutants {
		go func() {
			tally, err := hostile.Mutated(w.t.Context(), target,
				hostile.Mutations{Frames: frames, Count: n, Visitors: 3, Seed: seed + uint64(i)<<32})
			w.t.Logf("mutated, instance %d: %s", i, tally)
			done <- err
		}()
	}
	crowds := make([]*hostile.Crowd, len(crowded))
	for i, target := range crowded {
		crowds[i] = hostile.Gather(target, 1, seed)
	}
	for ended := 0; rounds == 0 || ended < len(mutants); rounds++ {
		s.talk(talkEach, nil)
		for more := true; more && ended < len(mutants); {
			select {
			case err := <-done:
				require.NoError(w.t, err, "seed %d", seed)
				ended++
			default:
				more = false
			}
		}
	}
	for i, crowd := range crowds {
		for kind, tally := range crowd.Leave() {
			require.Positive(w.t, tally.Count("visits"), kind)
			w.t.Logf("%s, instance %d: %s", kind, i, tally)
		}
	}
	return rounds
}

// goldenFrames are the frames that clients are documented to send.
func goldenFrames(t *testing.T) (frames [][]byte) {
	t.Helper()
	paths, err := filepath.Glob("../chat/testdata/client_*.json")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		frame, err := os.ReadFile(path)
		require.NoError(t, err)
		frames = append(frames, []byte(strings.TrimSpace(string(frame))))
	}
	return frames
}

// holding is the memory, goroutines and files of the process.
type holding struct {
	heap              uint64 // bytes
	goroutines, files int    // files is 0 if the system does not tell
}

func holdings(t *testing.T) holding {
	t.Helper()
	runtime.GC()
	runtime.GC() // the second collection frees what pools held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	open, _ := os.ReadDir("/proc/self/fd")
	return holding{heap: m.HeapAlloc, goroutines: runtime.NumGoroutine(), files: len(open)}
}

// within tells whether it is about as much as before, with margins for idle connections to PostgreSQL and the like.
func (h holding) within(before holding) bool {
	return h.heap < before.heap+32<<20 && h.goroutines < before.goroutines+30 && h.files < before.files+30
}
