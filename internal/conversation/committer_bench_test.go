package conversation

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// BenchmarkCommitter commits whole batches, over 32 conversations, into logs that are not empty: plain texts, which
// must not pay for edits and files, and batches with some edits.
func BenchmarkCommitter(b *testing.B) {
	w := newWorld(b)
	c, _ := committerOn(w.Pool, 1)
	c.committed = func([]Event) {}
	ids := make([]int64, 32)
	for i := range ids {
		ids[i] = w.Conversation()
		w.fill(ids[i], 2000)
	}
	w.Exec(`analyze`)
	for _, size := range []int{1, 16, batchLimit} {
		b.Run(fmt.Sprintf("plain/%d", size), func(b *testing.B) {
			benchmarkBatches(b, c, size, func(i int) Draft { return draft(ids[i%len(ids)], w.Patient, "Good morning") })
		})
	}
	target := int64(0)
	b.Run(fmt.Sprintf("edits/%d", batchLimit), func(b *testing.B) {
		benchmarkBatches(b, c, batchLimit, func(i int) Draft {
			if i%16 > 0 {
				return draft(ids[i%len(ids)], w.Patient, "Good morning")
			}
			target++
			return correction(ids[i%len(ids)], w.Patient, 1+target/2%2000, "Good evening")
		})
	})
}

func benchmarkBatches(b *testing.B, c *committer, size int, next func(i int) Draft) {
	b.Helper()
	failed := 0
	for b.Loop() {
		batch := make([]submission, size)
		for i := range batch {
			batch[i] = submission{next(i), time.Now(), func(_ Ack, err error) {
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

// BenchmarkCommitter_participants commits the same batches with the statement as it is and with one that uses the
// view participants. They alternate, so that both run under the same load.
func BenchmarkCommitter_participants(b *testing.B) {
	const own = `d.sender not in (a.patient_id, a.doctor_id)`
	const view = `not exists (
		select from participants p where p.appointment_id = d.conversation and p.user_id = d.sender and p.active)`
	require.Equal(b, 1, strings.Count(insertFast, own))
	statements := []string{insertFast, strings.Replace(insertFast, own, view, 1)}
	w := newWorld(b)
	c, _ := committerOn(w.Pool, 1)
	ids := make([]int64, 32)
	for i := range ids {
		ids[i] = w.Conversation()
		w.fill(ids[i], 2000)
	}
	w.Exec(`analyze`)
	for _, size := range []int{1, 16, batchLimit} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			var took [2]time.Duration
			for round := 0; b.Loop(); round++ {
				for n := range statements {
					n = (n + round) % len(statements)
					drafts := make([]Draft, size)
					for i := range drafts {
						drafts[i] = draft(ids[(i+round)%len(ids)], w.Patient, "Good morning")
					}
					batch := &pgx.Batch{}
					batch.Queue(planOnce)
					batch.Queue(lockConversations, conversationsOf(drafts))
					batch.Queue(statements[n], columnsOf(drafts, followUp.Seconds())...)
					started := time.Now()
					require.NoError(b, c.pool.SendBatch(b.Context(), batch).Close())
					took[n] += time.Since(started)
				}
			}
			b.ReportMetric(float64(took[0].Microseconds())/float64(b.N), "own-µs/batch")
			b.ReportMetric(float64(took[1].Microseconds())/float64(b.N), "view-µs/batch")
		})
	}
}
