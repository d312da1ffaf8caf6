package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/riverqueue/river"
)

// tickArgs is one turn of a periodic function.
type tickArgs struct {
	Name string `json:"name" river:"unique"`
}

// Kind implements Args.
func (tickArgs) Kind() string { return periodicKind }

const (
	periodicKind = "periodic"
	// periodicAttempts is low: the next turn comes anyway.
	periodicAttempts = 3
)

// turns is a schedule of whole periods since the zero time, the same on every instance.
type turns struct{ interval time.Duration }

// Next implements river.PeriodicSchedule.
func (t turns) Next(now time.Time) time.Time { return now.Truncate(t.interval).Add(t.interval) }

// Every runs f once in every interval, on one instance, however many there are and whichever come and go; the first
// time soon after the first instance starts. An interval is a whole number of seconds, at most a day, and counted from
// the zero time. f must tolerate a turn that is missed or late. Every panics if the name is in use or the interval is
// invalid.
func (s *Service) Every(name string, interval time.Duration, f func(ctx context.Context) error) {
	_, taken := s.every[name]
	whole := interval >= time.Second && interval <= 24*time.Hour && interval%time.Second == 0
	if taken || name == "" || !whole {
		panic("jobs: periodic function " + name + " is already registered, " +
			"or its interval is not a whole number of seconds up to a day")
	}
	s.every[name] = f
	if !s.working {
		return
	}
	s.client.PeriodicJobs().Add(river.NewPeriodicJob(turns{interval}, func() (river.JobArgs, *river.InsertOpts) {
		return tickArgs{name}, &river.InsertOpts{
			Queue: timerQueue, MaxAttempts: periodicAttempts, Priority: priorityTimer,
			UniqueOpts: river.UniqueOpts{ByArgs: true, ByPeriod: interval, ByState: everyState},
		}
	}, &river.PeriodicJobOpts{ID: name, RunOnStart: true}))
}

func (s *Service) tick(ctx context.Context, a tickArgs) error {
	f, ok := s.every[a.Name]
	if !ok {
		return nil // f belongs to another release, whose instances will get the next turn
	}
	if err := f(ctx); err != nil {
		return fmt.Errorf("periodic %s: %w", a.Name, err)
	}
	return nil
}
