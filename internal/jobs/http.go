package jobs

import (
	"context"
	"net/http"
	"time"

	"housecall/internal/auth"
	"housecall/internal/httpd"
)

// body is a job on the wire.
type body struct {
	ID          int64      `json:"id"`
	Kind        string     `json:"kind" doc:"What the job does, without saying for whom"`
	Notice      string     `json:"notice,omitempty" doc:"The kind of email; absent for other work"`
	Appointment string     `json:"appointment,omitempty" doc:"The id of the appointment that an email is about"`
	State       State      `json:"state"`
	Attempt     int        `json:"attempt"`
	MaxAttempts int        `json:"maxAttempts"`
	CreatedAt   time.Time  `json:"createdAt"`
	ScheduledAt time.Time  `json:"scheduledAt" doc:"When it is or was due"`
	FinalizedAt *time.Time `json:"finalizedAt,omitempty" doc:"When it was finished or abandoned"`
	LastError   string     `json:"lastError,omitempty"`
}

func bodyOf(j Job) body {
	b := body{
		ID: j.ID, Kind: j.Kind, Notice: j.Notice, Appointment: j.Appointment, State: j.State, Attempt: j.Attempt,
		MaxAttempts: j.MaxAttempts, CreatedAt: j.CreatedAt.UTC(),
		ScheduledAt: j.ScheduledAt.UTC(), LastError: j.LastError,
	}
	if j.FinalizedAt != nil {
		at := j.FinalizedAt.UTC()
		b.FinalizedAt = &at
	}
	return b
}

type listInput struct {
	httpd.PageQuery
	State string `query:"state" default:"failed" enum:"failed,available,cancelled,completed,discarded,pending,retryable,running,scheduled"`
}

type listOutput struct{ Body httpd.Page[body] }

type jobInput struct {
	ID int64 `path:"id" minimum:"1"`
}

type jobOutput struct{ Body body }

// Routes adds the routes with which administrators list and retry jobs.
func Routes(s *httpd.Server, svc *Service) {
	h := handlers{svc}
	admin := httpd.Only(auth.Admin)
	const tag = "Administration"
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/admin/jobs", Tag: tag, Summary: "List jobs, newest first",
		Description: "`state=failed` selects dead jobs (discarded after too many attempts, or cancelled because no " +
			"attempt could succeed) and those waiting for another attempt. Dead jobs are kept for seven days, " +
			"finished ones for one day.",
		Access: admin,
	}, h.serveList)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/admin/jobs/{id}/retry", Tag: tag, Summary: "Retry a failed job immediately",
		Access: admin, Status: http.StatusOK, Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, h.serveRetry)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/admin/jobs/retry", Tag: tag, Summary: "Retry all failed jobs immediately",
		Description: "Use it once the cause is fixed, for example after a mail server has refused everything for a day. It " +
			"retries up to 500 jobs, those that were tried longest ago first; call it again while `more` is true. Emails " +
			"that are no longer true are not sent.",
		Access: admin, Status: http.StatusOK,
	}, h.serveRetryAll)
}

type handlers struct{ svc *Service }

func (h handlers) serveRetry(ctx context.Context, in *jobInput) (*jobOutput, error) {
	j, err := h.svc.Retry(ctx, httpd.Actor(ctx), in.ID)
	return &jobOutput{bodyOf(j)}, err
}

type retryAllInput struct {
	Body struct {
		Kind string `json:"kind,omitempty" maxLength:"100" doc:"Only these, such as mail_user; absent: all but periodic"`
	}
}

type retryAllOutput struct {
	Body struct {
		Retried int  `json:"retried" doc:"How many jobs run again now"`
		More    bool `json:"more" doc:"Whether there are more"`
	}
}

func (h handlers) serveRetryAll(ctx context.Context, in *retryAllInput) (*retryAllOutput, error) {
	out := &retryAllOutput{}
	var err error
	out.Body.Retried, out.Body.More, err = h.svc.RetryAll(ctx, httpd.Actor(ctx), in.Body.Kind)
	return out, err
}

func (h handlers) serveList(ctx context.Context, in *listInput) (*listOutput, error) {
	var before int64
	if err := httpd.DecodeCursor(ctx, in.Cursor, &before); err != nil {
		return nil, err
	}
	var states []State
	if in.State != "failed" {
		states = []State{State(in.State)}
	}
	page, more, err := h.svc.List(ctx, states, before, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &listOutput{}
	for _, j := range page {
		out.Body.Items = append(out.Body.Items, bodyOf(j))
	}
	if more {
		out.Body.NextCursor = httpd.EncodeCursor(ctx, page[len(page)-1].ID)
	}
	return out, nil
}
