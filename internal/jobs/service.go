package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"github.com/rs/zerolog"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/postgres"
)

const (
	// workTimeout is how long one piece of work may take.
	workTimeout = time.Minute
	// periodicTimeout is the same for a periodic function.
	periodicTimeout = 5 * time.Minute
	// rescueAfter is when a job whose instance died is given to another; later if its work may take longer (HandleWithin).
	rescueAfter = 10 * time.Minute
	// deadFor is how long dead jobs are kept for administrators.
	deadFor = 7 * 24 * time.Hour
	// softStop is how long a stop lets work finish before it cancels it.
	softStop = 5 * time.Second
	// Due jobs are run in this order.
	priorityTimer, priorityUrgent, priorityUsual = 1, 2, 3
	// timerQueue has the periodic functions, and timerWorkers are the places that they have to themselves: they must run
	// even while all others wait for a mail server.
	timerQueue, timerWorkers = "timers", 2
	// logBurst bounds what the library logs in a minute: while PostgreSQL is away it would complain every second.
	logBurst = 10
)

// Options are the configured values.
type Options struct {
	// Workers is how many jobs this instance runs at once, periodic functions aside; 0 means that it only adds them.
	Workers int
	// PollOnly polls for new jobs every second instead of listening, which does not work through PgBouncer.
	PollOnly bool
}

// Deps are what a Service needs.
type Deps struct {
	Pool *postgres.Pool
	Log  zerolog.Logger
	Now  func() time.Time
	// Registry takes the metrics for Prometheus; nil for none.
	Registry prometheus.Registerer
	Options  Options
	// Pause is the wait after a number of failures, for tests; nil means the usual pauses.
	Pause func(failures int) time.Duration
	// Prompt starts housekeeping (due jobs, periodic ones) without the usual random delay of up to a second: for tests.
	Prompt bool
}

// Service adds jobs and, between Start and Stop, runs them. Register handlers before Start.
type Service struct {
	pool    *postgres.Pool
	client  *river.Client[pgx.Tx]
	workers *river.Workers
	working bool
	every   map[string]func(context.Context) error
}

// New makes the service of one instance; nothing runs until Start.
func New(d Deps) (*Service, error) {
	s := &Service{
		pool: d.Pool, workers: river.NewWorkers(), working: d.Options.Workers > 0,
		every: map[string]func(context.Context) error{},
	}
	handle(s, periodicTimeout, s.tick)
	backoff := policy{pause: d.Pause, now: d.Now}
	if d.Pause == nil {
		backoff.pause = spread
	}
	cfg := &river.Config{
		Workers: s.workers, MaxAttempts: Attempts, RetryPolicy: backoff, JobTimeout: workTimeout,
		RescueStuckJobsAfter:        rescueAfter,
		CancelledJobRetentionPeriod: deadFor, DiscardedJobRetentionPeriod: deadFor, PollOnly: d.Options.PollOnly,
		TestOnly: d.Prompt,
		Logger:   slog.New(zerolog.NewSlogHandler(complaints(d.Log))),
		Plugins:  []rivertype.Plugin{&discretion{log: d.Log, now: d.Now, worked: newWorked(d.Registry)}},
	}
	if s.working {
		cfg.Queues = map[string]river.QueueConfig{
			river.QueueDefault: {MaxWorkers: d.Options.Workers}, timerQueue: {MaxWorkers: timerWorkers},
		}
	}
	var err error
	if s.client, err = river.NewClient(riverpgxv5.New(d.Pool.Pool), cfg); err != nil {
		return nil, fmt.Errorf("make the job client: %w", err)
	}
	return s, nil
}

// complaints is the log for the library: only warnings and errors, and not too many of them.
func complaints(log zerolog.Logger) zerolog.Logger {
	return log.Level(max(log.GetLevel(), zerolog.WarnLevel)).Sample(&zerolog.BurstSampler{
		Burst: logBurst, Period: time.Minute,
	})
}

// policy decides when a failed job is tried again.
type policy struct {
	pause func(failures int) time.Duration
	now   func() time.Time
}

// NextRetry implements river.ClientRetryPolicy. The job's attempt is the one that has just failed.
func (p policy) NextRetry(job *rivertype.JobRow) time.Time {
	return p.now().Add(p.pause(job.Attempt))
}

// spread is the usual pause, up to a tenth longer, so that jobs that failed together are not retried together.
func spread(failures int) time.Duration {
	p := pause(failures)
	return p + time.Duration(rand.Int64N(int64(p/10))) //nolint:gosec // spreading, not secrecy
}

// Handle sets the function that runs jobs of A's kind. It panics if the kind already has one. work returns nil when it
// is done, Later, Because or Dead, or any other error to be tried again. It must end when ctx does, and tolerate being
// run twice: an instance may die between doing the work and noting it.
func Handle[A Args](s *Service, work func(ctx context.Context, args A) error) {
	handle(s, workTimeout, work)
}

// HandleWithin is Handle for work that may take longer than a minute: up to timeout. While its instance is not known to
// have died, nobody else runs the job for as long.
func HandleWithin[A Args](s *Service, timeout time.Duration, work func(ctx context.Context, args A) error) {
	handle(s, timeout, work)
}

func handle[A Args](s *Service, timeout time.Duration, work func(ctx context.Context, args A) error) {
	river.AddWorker(s.workers, &worker[A]{work: work, timeout: timeout})
}

// worker adapts a function to River's interface.
type worker[A Args] struct {
	river.WorkerDefaults[A]
	work    func(context.Context, A) error
	timeout time.Duration
}

// Work implements river.Worker.
func (w *worker[A]) Work(ctx context.Context, job *river.Job[A]) error { return w.work(ctx, job.Args) }

// Timeout implements river.Worker.
func (w *worker[A]) Timeout(*river.Job[A]) time.Duration { return w.timeout }

// InsertTx adds a job that exists once tx commits. If o.Once finds such a job, it adds none, which is no error.
func (s *Service) InsertTx(ctx context.Context, tx *postgres.Tx, args Args, o Terms) error {
	opts := &river.InsertOpts{ScheduledAt: o.At, MaxAttempts: o.MaxAttempts, Priority: priorityUsual}
	if o.Urgent {
		opts.Priority = priorityUrgent
	}
	if o.Once {
		opts.UniqueOpts = river.UniqueOpts{ByArgs: true, ByState: everyState}
	}
	if _, err := s.client.InsertTx(ctx, tx.Tx, args, opts); err != nil {
		return fmt.Errorf("add job %s: %w", args.Kind(), postgres.Classify(err))
	}
	return nil
}

// Start begins to run jobs. It returns once the library is running; a second call does nothing.
func (s *Service) Start(ctx context.Context) error {
	if !s.working {
		return nil
	}
	if err := s.client.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start jobs: %w", postgres.Classify(err))
	}
	return nil
}

// Stop takes no further jobs, lets running ones finish, cancels those that take too long, and returns when all have
// ended, or with ctx. Another instance can take the cancelled ones at once. A second call does nothing.
func (s *Service) Stop(ctx context.Context) error {
	if !s.working {
		return nil
	}
	patience := softStop
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline)/2)
	}
	soft, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if s.client.Stop(soft) == nil {
		return nil
	}
	if err := s.client.StopAndCancel(ctx); err != nil {
		return fmt.Errorf("stop jobs: %w", err)
	}
	return nil
}

// List returns at most limit jobs in any of the states, newest first, with ids below before (0: from the newest); more
// means that there is a further page. Without states it lists those that have failed.
func (s *Service) List(
	ctx context.Context, states []State, before int64, limit int,
) (page []Job, more bool, err error) {
	if page, err = list(ctx, s.pool, states, before, limit+1); err != nil {
		return nil, false, err
	}
	if len(page) > limit {
		return page[:limit], true, nil
	}
	return page, false, nil
}

// retriesAtOnce is how many jobs RetryAll takes in its transaction.
const retriesAtOnce = 500

// RetryAll lets failed jobs run again at once, the oldest first: those of a kind, or of every kind ("") but periodic
// ones, whose next turn comes anyway. more means that there were too many for one call.
func (s *Service) RetryAll(ctx context.Context, by auth.Actor, kind string) (retried int, more bool, err error) {
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		ids, err := lockedFailed(ctx, tx, kind, retriesAtOnce+1)
		if err != nil {
			return err
		}
		if more = len(ids) > retriesAtOnce; more {
			ids = ids[:retriesAtOnce]
		}
		for _, id := range ids {
			if _, err := s.client.JobRetryTx(ctx, tx.Tx, id); err != nil {
				return fmt.Errorf("retry job %d: %w", id, postgres.Classify(err))
			}
		}
		if retried = len(ids); retried == 0 {
			return nil
		}
		return audit.Record(ctx, tx, audit.Event{
			Actor: by, Action: "job.retry_all", Subject: "jobs", Detail: map[string]any{"kind": kind, "retried": retried},
		})
	})
	return retried, more, err
}

// Retry lets a failed job run again at once. ErrMissing, or ErrNotFailed for a job in any other state.
func (s *Service) Retry(ctx context.Context, by auth.Actor, id int64) (j Job, err error) {
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		if j, err = locked(ctx, tx, id); err != nil {
			return err
		}
		if !j.Failed() {
			return ErrNotFailed
		}
		if _, err := s.client.JobRetryTx(ctx, tx.Tx, id); err != nil {
			return fmt.Errorf("retry job %d: %w", id, postgres.Classify(err))
		}
		was := j.State
		if j, err = locked(ctx, tx, id); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{
			Actor: by, Action: "job.retry", Subject: "job " + strconv.FormatInt(id, 10), Detail: map[string]any{
				"kind": j.Kind, "from": was,
			},
		})
	})
	return j, err
}
