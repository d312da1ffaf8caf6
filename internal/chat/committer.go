package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"housecall/internal/errs"
	"housecall/internal/postgres"
)

const (
	batchLimit      = 256             // drafts in one transaction
	laneQueue       = 4096            // drafts that may wait in one lane
	queuedBytes     = 64 << 20        // text that may wait in all lanes
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

// outcome is what became of one submission.
type outcome struct {
	receipt Receipt
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

	queued atomic.Int64 // bytes of text in the lanes

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
	size := int64(len(d.Text))
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
		c.queued.Add(-int64(len(s.draft.Text)))
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
	outcomes := c.write(unique)
	c.metrics.batch.Observe(float64(len(unique)))
	c.metrics.commit.Observe(time.Since(started).Seconds())
	events := make([]Event, 0, len(unique))
	for i, o := range outcomes {
		if o.err == nil && !o.receipt.Duplicate {
			d := unique[i]
			events = append(events, Event{
				Room: d.Room, Seq: o.receipt.Seq, Kind: d.Kind, ClientID: d.ClientID, Sender: d.Sender.UserID, Text: d.Text, At: o.receipt.At,
			})
		}
	}
	c.committed(events)
	seen := make([]bool, len(unique))
	var again []submission
	for i, s := range batch {
		o := outcomes[index[i]]
		if errors.Is(o.err, ErrNotYours) && s.draft.Sender.Session != unique[index[i]].Sender.Session {
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

// write commits drafts, whatever it takes: a duplicate sends the batch to the careful statement, refused data is
// isolated, and while PostgreSQL is away it tries again a few times, not longer than commitTimeout.
// An attempt whose outcome is unknown is repeated carefully: what it wrote is found by clientId.
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

// The plan of the big statement never depends on its arguments, and planning it takes longer than running it: one
// plan for all. Every table is reached by a key, also when its statistics still say that it is empty. Both settings
// end with the transaction, so a pool in front of PostgreSQL does not notice them.
const planOnce = `select set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true)`

// The rooms are locked first, in id order: without it two batches that share rooms would deadlock.
const lockRooms = `select id from conversations where id = any($1) order by id for no key update`

// The second statement's snapshot is taken after the locks are held, so it sees every change of status and of
// who may write that was committed before: no message lands after a cancellation. It judges each draft, numbers
// those that may pass, moves the rooms' heads and inserts. %s is where the careful variant looks for duplicates.
// A refused draft is always looked up too: what is committed stays acknowledged, even when the conversation has
// closed since. statement_timestamp() is after the locks, so times rise with seq.
const insertDrafts = `
with draft as (
    select d.* from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::uuid[], $5::text[], $6::text[])
        with ordinality as d(room, sender, session, client_id, kind, body, n)
), judged as materialized (
    select d.*, case
        when a.id is null or c.id is null or d.sender not in (a.patient_id, a.doctor_id) or s.id is null then 'forbidden'
        when c.closed_at is not null then 'closed'
        when a.status = 'BOOKED' then ''
        when a.status = 'COMPLETED' and coalesce(a.completed_at, a.updated_at) + make_interval(secs => $7) > statement_timestamp() then ''
        else 'closed' end as refusal
    from draft d
    left join conversations c on c.id = d.room
    left join appointments a on a.id = d.room
    left join sessions s on s.id = d.session and s.user_id = d.sender and s.ended_at is null
), old as materialized (
    select j.n, (select m.seq from messages m where m.room_id = j.room and m.sender_id = j.sender and m.client_id = j.client_id) as seq
    from judged j where %s
), numbered as (
    select j.*, row_number() over (partition by j.room order by j.n) as k, count(*) over (partition by j.room) as total
    from judged j left join old o on o.n = j.n where j.refusal = '' and o.seq is null
), bumped as (
    update conversations c set head_seq = c.head_seq + g.total
    from (select distinct room, total from numbered) g where c.id = g.room
    returning c.id, c.head_seq - g.total as base
), inserted as (
    insert into messages (room_id, seq, at, kind, sender_id, client_id, body)
    select b.id, b.base + x.k, statement_timestamp(), x.kind, x.sender, x.client_id, x.body
    from numbered x join bumped b on b.id = x.room
)
select j.n, case when o.seq is null then j.refusal else '' end, coalesce(o.seq, b.base + x.k, 0),
    coalesce((select m.at from messages m where m.room_id = j.room and m.seq = o.seq), statement_timestamp()), o.seq is not null
from judged j
left join old o on o.n = j.n
left join numbered x on x.n = j.n
left join bumped b on b.id = j.room`

var (
	insertFast    = fmt.Sprintf(insertDrafts, `j.refusal <> ''`)
	insertCareful = fmt.Sprintf(insertDrafts, `true`)
)

// try writes the drafts in one implicit transaction: one round trip, all or nothing.
func (c *committer) try(ctx context.Context, drafts []Draft, careful bool) ([]outcome, error) {
	n := len(drafts)
	rooms, senders, sessions := make([]int64, n), make([]int64, n), make([]int64, n)
	ids, kinds, bodies := make([][16]byte, n), make([]string, n), make([]string, n)
	for i, d := range drafts {
		rooms[i], senders[i], sessions[i] = d.Room, d.Sender.ID, d.Sender.Session
		ids[i], kinds[i], bodies[i] = d.ClientID, string(d.Kind), d.Text
	}
	statement := insertFast
	if careful {
		statement = insertCareful
	}
	b := &pgx.Batch{}
	b.Queue(planOnce)
	b.Queue(lockRooms, roomsOf(drafts))
	b.Queue(statement, rooms, senders, sessions, ids, kinds, bodies, c.followUp.Seconds())
	results := c.pool.SendBatch(ctx, b)
	out, err := readOutcomes(results, n)
	// The commit happens, and fails, in Close.
	if closing := results.Close(); err == nil && closing != nil {
		err = fmt.Errorf("commit batch: %w", closing)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

func readOutcomes(results pgx.BatchResults, n int) ([]outcome, error) {
	for range 2 { // planOnce, lockRooms
		if _, err := results.Exec(); err != nil {
			return nil, fmt.Errorf("lock rooms: %w", err)
		}
	}
	rows, err := results.Query()
	if err != nil {
		return nil, fmt.Errorf("insert messages: %w", err)
	}
	out := make([]outcome, n)
	var at int64
	var refusal string
	var r Receipt
	_, err = pgx.ForEachRow(rows, []any{&at, &refusal, &r.Seq, &r.At, &r.Duplicate}, func() error {
		switch refusal {
		case "":
			out[at-1].receipt = r
		case "closed":
			out[at-1].err = ErrClosed
		default:
			out[at-1].err = ErrNotYours
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("insert messages: %w", err)
	}
	return out, nil
}
