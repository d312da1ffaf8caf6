package conversation

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
	commitTimeout   = 5 * time.Second // for one batch, all attempts together
	commitAttempts  = 4               // while PostgreSQL is unavailable, before drafts are refused
	commitRetryWait = 250 * time.Millisecond
	// patience is how long a draft may wait in a lane. Drafts that have waited longer, because PostgreSQL hangs, are
	// refused without being tried, so that a lane never falls minutes behind.
	patience = 5 * time.Second
)

// CommitTimeout is the longest that an event can take to be committed after the time it carries.
const CommitTimeout = commitTimeout

// submission is a draft in a lane. done is called exactly once, by the lane, and must not block.
type submission struct {
	draft Draft
	at    time.Time
	done  func(Ack, error)
}

// outcome is the result of one submission. file is the attachment that it sent; nil if there was none or it is a
// duplicate.
type outcome struct {
	ack  Ack
	file *Attachment
	err  error
}

// committerPorts are what a committer needs of its service.
type committerPorts struct {
	pool    *postgres.Pool
	log     zerolog.Logger
	metrics *metrics
	// committed is called with what was written, in order, before anyone gets an ack. doubted is called with each
	// conversation that may have new events nobody has heard of.
	committed func([]Event)
	doubted   func(id int64)
}

// committer does group commits: each lane writes, in one round trip, whatever was queued while it was committing its
// last batch. It never waits for a batch to fill. A conversation always uses the same lane, which keeps its drafts in
// order.
type committer struct {
	committerPorts
	followUp time.Duration
	lanes    []chan submission

	queued atomic.Int64 // bytes of drafts in the lanes

	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup

	mu     sync.RWMutex // guards closed, and the lanes against a send after close
	closed bool
}

func newCommitter(ports committerPorts, lanes int, followUp time.Duration) *committer {
	c := &committer{committerPorts: ports, followUp: followUp}
	c.ctx, c.stop = context.WithCancel(context.Background())
	for range lanes {
		c.lanes = append(c.lanes, make(chan submission, laneQueue))
	}
	return c
}

func (c *committer) begin() {
	for _, lane := range c.lanes {
		c.work.Go(func() { c.run(lane) })
	}
}

// finish stops accepting drafts, commits the queued ones, and returns; ctx bounds the wait.
func (c *committer) finish(ctx context.Context) {
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

// queue adds a draft to its lane. done is called later, or at once if the queue is full.
func (c *committer) queue(d Draft, done func(Ack, error)) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		done(Ack{}, ErrUnavailable)
		return
	}
	size := d.size()
	if c.queued.Add(size) <= queuedBytes {
		select {
		case c.lanes[uint64(d.Conversation)%uint64(len(c.lanes))] <- submission{d, time.Now(), done}:
			return
		default:
		}
	}
	c.queued.Add(-size)
	c.metrics.refused.WithLabelValues("overload").Inc()
	done(Ack{}, ErrUnavailable)
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

// inTime takes a batch out of the queue's count, refuses the drafts that have waited too long, and returns the rest.
func (c *committer) inTime(batch []submission) []submission {
	late := time.Now().Add(-patience)
	return slices.DeleteFunc(batch, func(s submission) bool {
		c.queued.Add(-s.draft.size())
		if s.at.After(late) {
			return false
		}
		c.metrics.refused.WithLabelValues("unavailable").Inc()
		s.done(Ack{}, ErrUnavailable)
		return true
	})
}

// commit writes a batch and answers every submission in it. Submissions with the same clientId count as one draft.
func (c *committer) commit(batch []submission) {
	started := time.Now()
	unique, index := dedupe(batch)
	outcomes := c.write(unique)
	c.metrics.batch.Observe(float64(len(unique)))
	c.metrics.commit.Observe(time.Since(started).Seconds())
	events := make([]Event, 0, len(unique))
	for i, o := range outcomes {
		if o.err == nil && !o.ack.Duplicate {
			d := unique[i]
			events = append(events, Event{
				Conversation: d.Conversation, Seq: o.ack.Seq, Kind: d.Kind, ClientID: d.ClientID, Sender: d.Sender.UserID,
				Text: d.Text, At: o.ack.At, Target: d.Target, Attachment: o.file,
			})
		}
	}
	c.committed(events)
	seen := make([]bool, len(unique))
	var again []submission
	for i, s := range batch {
		o := outcomes[index[i]]
		if errors.Is(o.err, ErrForbidden) && s.draft.Sender.Session != unique[index[i]].Sender.Session {
			again = append(again, s) // the draft was refused because of another submission's session
			continue
		}
		if code := errs.CodeOf(o.err); o.err != nil && code != ErrUnavailable.Code { // write has counted these
			c.metrics.refused.WithLabelValues(code).Inc()
		}
		o.ack.Duplicate = o.err == nil && (o.ack.Duplicate || seen[index[i]])
		seen[index[i]] = true
		s.done(o.ack, o.err)
	}
	if len(again) > 0 {
		c.commit(again)
	}
}

type draftKey struct {
	conversation, sender int64
	clientID             uuid.UUID
}

// dedupe returns the distinct drafts and, for each submission, the index of its draft.
func dedupe(batch []submission) (unique []Draft, index []int) {
	unique, index = make([]Draft, 0, len(batch)), make([]int, len(batch))
	at := make(map[draftKey]int, len(batch))
	for i, s := range batch {
		k := draftKey{s.draft.Conversation, s.draft.Sender.ID, s.draft.ClientID}
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

// write commits drafts. If one is a duplicate, it repeats the batch with the careful statement. If PostgreSQL rejects
// the data of one, it halves the batch until that draft is alone. While PostgreSQL is away it tries a few more times,
// for at most commitTimeout. An attempt whose outcome is unknown is repeated carefully, so what it wrote is found by
// clientId.
func (c *committer) write(drafts []Draft) []outcome {
	careful, unsure := false, false
	ctx, cancel := context.WithTimeout(c.ctx, commitTimeout)
	defer cancel()
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
			return append(c.write(drafts[:half]), c.write(drafts[half:])...)
		case postgres.IsData(err):
			return []outcome{{err: ErrInvalidText}}
		case postgres.IsUnavailable(postgres.Classify(err)) && attempt < commitAttempts && ctx.Err() == nil:
			careful, unsure = true, true
			c.pause()
		default:
			c.log.Error().Err(err).Int("drafts", len(drafts)).Msg("could not commit messages")
			c.metrics.refused.WithLabelValues("unavailable").Add(float64(len(drafts)))
			c.reportDoubted(drafts)
			return slices.Repeat([]outcome{{err: ErrUnavailable}}, len(drafts))
		}
	}
}

// reportDoubted reports the conversations to which an attempt with an unknown outcome may have written events that
// nobody has heard of yet.
func (c *committer) reportDoubted(drafts []Draft) {
	for _, id := range conversationsOf(drafts) {
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

func conversationsOf(drafts []Draft) []int64 {
	ids := make([]int64, 0, len(drafts))
	for _, d := range drafts {
		ids = append(ids, d.Conversation)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
