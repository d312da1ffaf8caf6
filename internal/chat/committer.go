package chat

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"housecall/internal/errs"
	"housecall/internal/postgres"
)

const (
	batchLimit      = 256             // drafts in one transaction
	laneQueue       = 4096            // drafts that may wait in one lane
	queuedBytes     = 64 << 20        // drafts that may wait in all lanes, as Draft.size counts them
	commitTimeout   = 5 * time.Second // of one attempt, and of all attempts of one batch together
	commitAttempts  = 4               // while PostgreSQL refuses connections; then the sender is told
	commitRetryWait = 250 * time.Millisecond
	// patience is how long a draft may wait in a lane. While PostgreSQL hangs, whoever waited longer is refused
	// without another try, so that a lane is never minutes behind.
	patience = 5 * time.Second
)

// submission is a draft in a lane. done is called exactly once, from the lane; it must not block.
type submission struct {
	draft Draft
	at    time.Time
	done  func(Receipt, error)
}

// outcome is what became of one submission. file is what it sent, if it is a new message with an attachment.
type outcome struct {
	receipt Receipt
	file    *Attachment
	err     error
}

// committer is a group commit: each lane writes what has queued while its last batch was committing, in one round
// trip. It never waits for company. One room always goes through one lane, so that a sender's order is kept.
type committer struct {
	pool     *postgres.Pool
	log      zerolog.Logger
	followUp time.Duration
	lanes    []chan submission
	// committed is told what was written, in order, before anyone is acknowledged; doubted which rooms may have
	// grown without anyone knowing the events.
	committed func([]Event)
	doubted   func(room int64)
	metrics   *metrics

	queued atomic.Int64 // bytes of drafts in the lanes

	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup

	mu     sync.RWMutex // guards closed against submit
	closed bool
}

func newCommitter(pool *postgres.Pool, lanes int, followUp time.Duration, m *metrics, log zerolog.Logger) *committer {
	c := &committer{pool: pool, log: log, followUp: followUp, metrics: m}
	c.ctx, c.stop = context.WithCancel(context.Background())
	for range lanes {
		c.lanes = append(c.lanes, make(chan submission, laneQueue))
	}
	return c
}

func (c *committer) start() {
	for _, lane := range c.lanes {
		c.work.Go(func() { c.run(lane) })
	}
}

// close takes no more drafts, commits what has queued, and returns; ctx bounds the wait.
func (c *committer) close(ctx context.Context) {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		for _, lane := range c.lanes {
			close(lane)
		}
	}
	c.mu.Unlock()
	stop := context.AfterFunc(ctx, c.stop)
	defer stop()
	c.work.Wait()
	c.stop()
}

// submit queues a draft; done is called later, or at once when there is no room.
func (c *committer) submit(d Draft, done func(Receipt, error)) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		done(Receipt{}, ErrOverload)
		return
	}
	size := d.size()
	if c.queued.Add(size) <= queuedBytes {
		select {
		case c.lanes[uint64(d.Room)%uint64(len(c.lanes))] <- submission{d, time.Now(), done}:
			return
		default:
		}
	}
	c.queued.Add(-size)
	c.metrics.refused.WithLabelValues("overload").Inc()
	done(Receipt{}, ErrOverload)
}

func (c *committer) run(lane chan submission) {
	batch := make([]submission, 0, batchLimit)
	for first := range lane {
		batch = append(batch[:0], first)
	more:
		for len(batch) < batchLimit {
			select {
			case s, ok := <-lane:
				if !ok {
					break more
				}
				batch = append(batch, s)
			default:
				break more
			}
		}
		if batch = c.inTime(batch); len(batch) > 0 {
			c.commit(batch)
		}
	}
}

// inTime takes a batch off the queue's account and refuses what has waited too long.
func (c *committer) inTime(batch []submission) []submission {
	late := time.Now().Add(-patience)
	return slices.DeleteFunc(batch, func(s submission) bool {
		c.queued.Add(-s.draft.size())
		if s.at.After(late) {
			return false
		}
		c.metrics.refused.WithLabelValues("unavailable").Inc()
		s.done(Receipt{}, ErrOverload)
		return true
	})
}

// commit writes a batch and answers everyone in it. Two submissions of one clientId are one draft.
func (c *committer) commit(batch []submission) {
	started := time.Now()
	unique, index := dedupe(batch)
	outcomes := c.writeApart(unique)
	c.metrics.batch.Observe(float64(len(unique)))
	c.metrics.commit.Observe(time.Since(started).Seconds())
	events := make([]Event, 0, len(unique))
	for i, o := range outcomes {
		if o.err == nil && !o.receipt.Duplicate {
			d := unique[i]
			events = append(events, Event{
				Room: d.Room, Seq: o.receipt.Seq, Kind: d.Kind, ClientID: d.ClientID, Sender: d.Sender.UserID, Text: d.Text, At: o.receipt.At,
				Target: d.Target, Attachment: o.file,
			})
		}
	}
	c.committed(events)
	seen := make([]bool, len(unique))
	var again []submission
	for i, s := range batch {
		o := outcomes[index[i]]
		if errors.Is(o.err, ErrForbidden) && s.draft.Sender.Session != unique[index[i]].Sender.Session {
			again = append(again, s) // refused for a session that was not its own
			continue
		}
		if code := errs.CodeOf(o.err); o.err != nil && code != ErrOverload.Code { // write has counted those
			c.metrics.refused.WithLabelValues(code).Inc()
		}
		o.receipt.Duplicate = o.err == nil && (o.receipt.Duplicate || seen[index[i]])
		seen[index[i]] = true
		s.done(o.receipt, o.err)
	}
	if len(again) > 0 {
		c.commit(again)
	}
}

type draftKey struct {
	room, sender int64
	clientID     uuid.UUID
}

// dedupe gives the distinct drafts and, for each submission, which of them it is.
func dedupe(batch []submission) (unique []Draft, index []int) {
	unique, index = make([]Draft, 0, len(batch)), make([]int, len(batch))
	at := make(map[draftKey]int, len(batch))
	for i, s := range batch {
		k := draftKey{s.draft.Room, s.draft.Sender.ID, s.draft.ClientID}
		n, ok := at[k]
		if !ok {
			n = len(unique)
			at[k] = n
			unique = append(unique, s.draft)
		}
		index[i] = n
	}
	return unique, index
}

// writeApart commits drafts in order. All of one statement are judged by one snapshot, in which none of them is: of two
// that speak of one message, or send one file, the second goes into a transaction of its own.
func (c *committer) writeApart(drafts []Draft) []outcome {
	ctx, cancel := context.WithTimeout(c.ctx, commitTimeout)
	defer cancel()
	out := make([]outcome, 0, len(drafts))
	for _, part := range apart(drafts) {
		out = append(out, c.write(ctx, part)...)
	}
	return out
}

// subject is what a draft speaks of, beside the room: a message, or a file.
type subject struct {
	room, target int64
	attachment   uuid.UUID
}

// apart cuts drafts, in their order, into parts in which no two have the same subject.
func apart(drafts []Draft) (parts [][]Draft) {
	seen, from := map[subject]bool{}, 0
	for i, d := range drafts {
		if d.Kind == KindText {
			continue
		}
		k := subject{d.Room, d.Target, d.Attachment}
		if d.Kind == KindAttachment {
			k.room = 0
		}
		if seen[k] {
			parts, from = append(parts, drafts[from:i]), i
			clear(seen)
		}
		seen[k] = true
	}
	return append(parts, drafts[from:])
}

// write commits drafts, whatever it takes: a duplicate sends the batch to the careful statement, refused data is
// isolated, and while PostgreSQL is away it tries again a few times, until ctx ends.
// An attempt whose outcome is unknown is repeated carefully: what it wrote is found by clientId.
func (c *committer) write(ctx context.Context, drafts []Draft) []outcome {
	careful, unsure := false, false
	for attempt := 1; ; attempt++ {
		out, err := c.try(ctx, drafts, careful)
		switch {
		case err == nil:
			if unsure {
				c.reportDoubted(drafts)
			}
			return out
		case postgres.IsUniqueViolation(err) && !careful:
			careful = true
		case postgres.IsData(err) && len(drafts) > 1:
			half := len(drafts) / 2
			return append(c.write(ctx, drafts[:half]), c.write(ctx, drafts[half:])...)
		case postgres.IsData(err):
			return []outcome{{err: ErrInvalidText}}
		case postgres.IsUnavailable(postgres.Classify(err)) && attempt < commitAttempts && ctx.Err() == nil:
			careful, unsure = true, true
			c.pause()
		default:
			c.log.Error().Err(err).Int("drafts", len(drafts)).Msg("messages could not be committed")
			c.metrics.refused.WithLabelValues("unavailable").Add(float64(len(drafts)))
			c.reportDoubted(drafts)
			return slices.Repeat([]outcome{{err: ErrOverload}}, len(drafts))
		}
	}
}

// reportDoubted names rooms in which an attempt of unknown outcome may have written: nobody has heard of it.
func (c *committer) reportDoubted(drafts []Draft) {
	for _, id := range roomsOf(drafts) {
		c.doubted(id)
	}
}

func (c *committer) pause() {
	t := time.NewTimer(commitRetryWait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.ctx.Done():
	}
}

func roomsOf(drafts []Draft) []int64 {
	rooms := make([]int64, 0, len(drafts))
	for _, d := range drafts {
		rooms = append(rooms, d.Room)
	}
	slices.Sort(rooms)
	return slices.Compact(rooms)
}
