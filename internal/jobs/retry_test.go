package jobs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/postgres"
	"housecall/internal/testing/apitest"
)

// tell is a job about an appointment, as emails are.
type tell struct {
	Notice   string `json:"notice" river:"unique"`
	PublicID string `json:"publicId"`
	Secret   string `json:"secret" river:"unique"`
}

// Kind implements Args.
func (tell) Kind() string { return "tell" }

// After a day without a mail server an administrator retries everything, and sees before what has not gone out.
func TestRoutes_retryAll(t *testing.T) {
	t.Parallel()
	const secret = "ann@private.test"
	w := newWorld(t)
	s := w.instance()
	var broken atomic.Bool
	broken.Store(true)
	work := func() error {
		if broken.Load() {
			return Dead("refused", errors.New("550"))
		}
		return nil
	}
	Handle(s, func(context.Context, tell) error { return work() })
	Handle(s, func(context.Context, greet) error { return work() })
	api := w.serve(s)
	for i := range 5 {
		w.add(s, tell{Notice: "confirmed", PublicID: "APP0000000001", Secret: fmt.Sprint(secret, i)}, Terms{})
	}
	w.starts(s)
	failed := func() []map[string]any {
		return api.Ask(http.MethodGet, "/admin/jobs", string(auth.Admin), nil).Items()
	}
	require.Eventually(t, func() bool { return len(failed()) == 5 }, patience, 10*time.Millisecond)
	for _, j := range failed() {
		require.Equal(t, "confirmed", j["notice"])
		require.Equal(t, "APP0000000001", j["appointment"])
	}
	require.Contains(t, w.log.String(), `"notice":"confirmed","appointment":"APP0000000001"`)
	require.NotContains(t, w.log.String(), secret)

	// What was just tried in vain does not keep the rest from its turn.
	require.NoError(t, w.pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		ids, err := lockedFailed(t.Context(), tx, "", 5)
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), `update river_job set attempted_at = now() where id = $1`, ids[0])
		require.NoError(t, err)
		again, err := lockedFailed(t.Context(), tx, "", 5)
		require.Equal(t, append(ids[1:], ids[0]), again)
		return err
	}))

	w.add(s, greet{Name: secret}, Terms{})
	w.becomes(s, Cancelled)
	broken.Store(false)
	retry := func(body string) apitest.Answer {
		return api.Ask(http.MethodPost, "/admin/jobs/retry", string(auth.Admin), body)
	}
	var retried atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { retried.Add(int64(retry(`{"kind":"tell"}`).Body["retried"].(float64))) })
	}
	all.Wait()
	require.EqualValues(t, 5, retried.Load(), "each once, however many ask")
	require.Eventually(t, func() bool { return len(failed()) == 1 }, patience, 10*time.Millisecond)
	apitest.Golden(t, "retried_all", retry(`{}`))
	w.becomes(s, Completed)
	require.Equal(t, http.StatusForbidden, api.Ask(http.MethodPost, "/admin/jobs/retry", string(auth.Patient), `{}`).Status)
	var audited int
	require.NoError(t, w.pool.QueryRow(t.Context(), `
		select sum((detail ->> 'retried')::int) from audit_events where action = 'job.retry_all'`).Scan(&audited))
	require.Equal(t, 6, audited)
}

// Work that waits for a mail server for minutes holds up nobody: not the periodic functions, and it is not given to
// another instance meanwhile.
func TestHandleWithin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.instance(func(d *Deps) { d.Options.Workers = 1 })
	begun, end, turn := make(chan time.Duration, 10), make(chan struct{}), make(chan struct{}, 100)
	HandleWithin(s, 20*time.Minute, func(ctx context.Context, _ greet) error {
		deadline, _ := ctx.Deadline()
		begun <- time.Until(deadline).Round(time.Minute)
		<-end
		return nil
	})
	s.Every("look", time.Second, func(context.Context) error { turn <- struct{}{}; return nil })
	w.add(s, greet{Name: "Ann"}, Terms{})
	w.starts(s)
	defer close(end)
	require.Equal(t, 20*time.Minute, receive(t, begun))
	for range 3 {
		receive(t, turn)
	}
}
