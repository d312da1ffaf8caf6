package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/rs/zerolog"
)

// discretion wraps all work, so that River stores and logs only what kept allows of a failure. The cause is logged
// once.
type discretion struct {
	river.MiddlewareDefaults
	log    zerolog.Logger
	now    func() time.Time
	worked *prometheus.CounterVec
}

var _ rivertype.WorkerMiddleware = (*discretion)(nil)

// Work implements rivertype.WorkerMiddleware.
func (d *discretion) Work(ctx context.Context, job *rivertype.JobRow, inner func(context.Context) error) error {
	err := d.contain(ctx, job, inner)
	var wait later
	switch {
	case err == nil:
		d.worked.WithLabelValues(job.Kind, resultDone).Inc()
		return nil
	case errors.As(err, &wait):
		d.worked.WithLabelValues(job.Kind, resultLater).Inc()
		return river.JobSnooze(max(wait.at.Sub(d.now()), 0))
	case ctx.Err() != nil:
		return context.Canceled // the instance is stopping: River frees the job
	}
	text := kept(err)
	var r *reason
	hopeless := errors.As(err, &r) && r.dead
	result, dead := resultFailed, hopeless || job.Attempt >= job.MaxAttempts
	if dead {
		result = resultDead
	}
	d.worked.WithLabelValues(job.Kind, result).Inc()
	d.tell(job, err, text, dead)
	if hopeless {
		return river.JobCancel(errors.New(text))
	}
	return errors.New(text)
}

// tell logs a failure with its cause, as an error if the job will not be tried again.
func (d *discretion) tell(job *rivertype.JobRow, err error, text string, dead bool) {
	event := d.log.Warn()
	if dead {
		event = d.log.Error()
	}
	var r *reason
	if errors.As(err, &r) {
		err = r.cause // the reason is logged anyway
	}
	var about struct {
		Notice      string `json:"notice"`
		Appointment string `json:"publicId"`
	}
	_ = json.Unmarshal(job.EncodedArgs, &about) // what has neither is logged without
	if about.Notice != "" {
		event.Str("notice", about.Notice)
	}
	if about.Appointment != "" {
		event.Str("appointment", about.Appointment)
	}
	event.Err(err).Int64("job", job.ID).Str("kind", job.Kind).Int("attempt", job.Attempt).Bool("dead", dead).
		Str("reason", text).Msg("a job failed")
}

// contain turns a panic into an error. The panic's value may quote anything, so the error has only its type.
func (d *discretion) contain(
	ctx context.Context, job *rivertype.JobRow, inner func(context.Context) error,
) (err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			d.log.Error().Int64("job", job.ID).Str("kind", job.Kind).Bytes("stack", debug.Stack()).Msg("a job panicked")
			err = &reason{text: fmt.Sprintf("panic of type %T, see the log", thrown)}
		}
	}()
	return inner(ctx)
}
