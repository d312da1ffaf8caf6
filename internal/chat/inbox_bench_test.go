package chat

import (
	"context"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/conversation"
)

// discard is a sink that counts.
type discard struct{ frames atomic.Int64 }

func (d *discard) deliver(frames ...wire) { d.frames.Add(int64(len(frames))) }

func (d *discard) end(closeCode, string, time.Duration) {}

// BenchmarkInbox_SendPath sends as fast as messages are committed, into 200 conversations whose participants read
// along, with and without inboxes that watch all of them.
func BenchmarkInbox_SendPath(b *testing.B) {
	w := newWorld(b)
	in := w.serve(func(c *setup) { c.CommitLanes = 2 })
	ids := make([]int64, 200)
	for n := range ids {
		ids[n] = w.Conversation()
	}
	for _, watched := range []bool{false, true, false, true} {
		name := "alone"
		if watched {
			name = "watched"
		}
		b.Run(name, func(b *testing.B) {
			frames := &discard{}
			if watched {
				for _, user := range []int64{w.Patient.ID, w.Doctor.ID} {
					box := &box{user: user, sink: frames, marks: map[int64]mark{}}
					all, err := standingsOf(context.Background(), w.Pool, user)
					require.NoError(b, err)
					for _, n := range in.svc.newsOf(all) {
						box.marks[n.ID] = n.mark
					}
					in.svc.inboxes.open(box, func(int64) wire { return nil })
					defer in.svc.inboxes.close(box)
				}
			}
			window, failed := make(chan struct{}, 1024), atomic.Int64{}
			n := 0
			for b.Loop() {
				window <- struct{}{}
				id := ids[n%len(ids)]
				if n++; n%16 == 0 {
					in.svc.receipts.move(id, w.Doctor.ID, conversation.Cursors{Delivered: math.MaxInt64, Read: math.MaxInt64})
				}
				in.conversations.Submit(draft(id, w.Patient, "Good morning"), func(_ conversation.Ack, err error) {
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
