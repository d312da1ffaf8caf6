package chat

import (
	"context"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/config"
)

// discard is a sink that counts.
type discard struct{ frames atomic.Int64 }

func (d *discard) deliver(frames ...wire) { d.frames.Add(int64(len(frames))) }

func (d *discard) end(int, string, time.Duration) {}

// BenchmarkInbox_SendPath sends as fast as messages are committed, into 200 rooms whose participants read along, with and without
// inboxes that watch all of them.
func BenchmarkInbox_SendPath(b *testing.B) {
	w := newWorld(b)
	in := w.serve(func(c *config.Config) { c.CommitLanes = 2 })
	rooms := make([]int64, 200)
	for n := range rooms {
		rooms[n] = w.room()
	}
	for _, watched := range []bool{false, true, false, true} {
		name := "alone"
		if watched {
			name = "watched"
		}
		b.Run(name, func(b *testing.B) {
			frames := &discard{}
			if watched {
				for _, user := range []int64{w.patient.ID, w.doctor.ID} {
					box := &box{user: user, sink: frames, marks: map[int64]mark{}}
					all, err := standingsOf(context.Background(), w.pool, user)
					require.NoError(b, err)
					for _, n := range in.svc.newsOf(all) {
						box.marks[n.RoomID] = n.mark
					}
					in.svc.inboxes.open(box, func(int64) wire { return nil })
					defer in.svc.inboxes.close(box)
				}
			}
			window, failed := make(chan struct{}, 1024), atomic.Int64{}
			n := 0
			for b.Loop() {
				window <- struct{}{}
				room := rooms[n%len(rooms)]
				if n++; n%16 == 0 {
					in.svc.receipts.move(room, w.doctor.ID, math.MaxInt64, math.MaxInt64)
				}
				in.svc.committer.submit(draft(room, w.patient, "Good morning"), func(_ Receipt, err error) {
					if err != nil {
						failed.Add(1)
					}
					<-window
				})
			}
			for range cap(window) {
				window <- struct{}{}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			b.ReportMetric(float64(frames.frames.Load())/b.Elapsed().Seconds(), "frames/s")
			require.Zero(b, failed.Load())
		})
	}
}
