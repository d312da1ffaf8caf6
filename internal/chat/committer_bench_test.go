package chat

import (
	"fmt"
	"testing"
	"time"

	"housecall/internal/auth"
)

// BenchmarkCommitter commits whole batches, over 32 rooms, into a log that already holds some: plain texts, which must not
// pay for what else there is, and batches with some edits.
func BenchmarkCommitter(b *testing.B) {
	w := newWorld(b)
	c, _ := committerOn(w.pool, 1)
	c.committed = func([]Event) {}
	rooms := make([]int64, 32)
	for i := range rooms {
		rooms[i] = w.room()
		w.fill(rooms[i], 2000)
	}
	w.exec(`analyze`)
	for _, size := range []int{1, 16, batchLimit} {
		b.Run(fmt.Sprintf("plain/%d", size), func(b *testing.B) {
			benchmarkBatches(b, c, size, func(i int) Draft { return draft(rooms[i%len(rooms)], w.patient, "Good morning") })
		})
	}
	target := int64(0)
	b.Run(fmt.Sprintf("edits/%d", batchLimit), func(b *testing.B) {
		benchmarkBatches(b, c, batchLimit, func(i int) Draft {
			if i%16 > 0 {
				return draft(rooms[i%len(rooms)], w.patient, "Good morning")
			}
			target++
			return correctionOf(rooms[i%len(rooms)], w.patient, 1+target/2%2000)
		})
	})
}

func correctionOf(room int64, by auth.Actor, target int64) Draft {
	return correction(room, by, target, "Good evening")
}

func benchmarkBatches(b *testing.B, c *committer, size int, next func(i int) Draft) {
	b.Helper()
	failed := 0
	for b.Loop() {
		batch := make([]submission, size)
		for i := range batch {
			batch[i] = submission{next(i), time.Now(), func(_ Receipt, err error) {
				if err != nil {
					failed++
				}
			}}
		}
		c.commit(batch)
	}
	if failed > 0 {
		b.Fatalf("%d were refused", failed)
	}
	b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "messages/s")
}
