// Package audit keeps the trail of who did what to whose data. Record adds a row in the transaction of the change
// itself; a little later, a sealer adds the row to a hash chain, so that Verify finds rows that were changed or
// removed afterwards.
package audit

import (
	"context"
	"encoding/json"
	"fmt"

	"housecall/internal/auth"
	"housecall/internal/postgres"
)

// Event is one row of the trail.
type Event struct {
	Actor auth.Actor
	// Action is noun.verb, such as appointment.confirm.
	Action string
	// Subject is the public id of what it was done to.
	Subject string
	// PatientID is users.id of the patient whose data it is; 0 if it is not a patient's.
	PatientID int64
	// Detail says more, for an investigator. It never holds message texts, secrets or clinical data.
	Detail map[string]any
}

type requestKey struct{}

// WithRequestID returns a context whose audit rows name a request. httpd makes it.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// Record adds events to the trail, in their order and in one statement, through the transaction that makes the change,
// so that there is never one without the other. The request id comes from ctx, the time is the transaction's.
func Record(ctx context.Context, db postgres.DB, events ...Event) error {
	if len(events) == 0 {
		return nil
	}
	details := make([]string, len(events))
	for i, e := range events {
		details[i] = "{}"
		if len(e.Detail) > 0 {
			detail, err := json.Marshal(e.Detail)
			if err != nil {
				return fmt.Errorf("audit %s: encode detail: %w", e.Action, err)
			}
			details[i] = string(detail)
		}
	}
	request, _ := ctx.Value(requestKey{}).(string)
	if err := insert(ctx, db, events, details, request); err != nil {
		return fmt.Errorf("audit %s: %w", events[0].Action, err)
	}
	return nil
}
