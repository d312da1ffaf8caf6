package appointment

import (
	"context"
	"net/http"
	"time"

	"housecall/internal/auth"
	"housecall/internal/httpd"
)

func holdRoutes(s *httpd.Server, h handlers) {
	patient := httpd.Only(auth.Patient)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/holds", Tag: tag,
		Summary: "Hold a free slot for a few minutes",
		Description: "It is held while the patient fills in the form. Booking with `holdId` uses the hold up; otherwise " +
			"it expires. Holding the same slot again returns the existing hold; an overlapping one, with any " +
			"doctor, replaces it.",
		Status: http.StatusCreated, Access: patient, Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, h.serveHold)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/holds", Tag: tag, Summary: "List my holds", Access: patient,
		Description: "Sorted by when they expire. Those with `offer` come from a waiting list.",
	}, h.serveHolds)
	httpd.Register(s, httpd.Route{
		Method: http.MethodDelete, Path: "/holds/{id}", Tag: tag, Summary: "Release a hold",
		Description: "An offer then goes to the next patient on the waiting list.",
		Access:      patient, Errors: []int{http.StatusNotFound},
	}, h.serveUnhold)
}

type holdInput struct {
	Body struct {
		DoctorID       string    `json:"doctorId,omitempty" maxLength:"20"`
		Specialization string    `json:"specialization,omitempty" maxLength:"200" doc:"Instead of doctorId: any doctor with this specialization"`
		StartsAt       time.Time `json:"startsAt" doc:"Start of a free slot"`
	}
}

type holdOutput struct {
	Location string `header:"Location"`
	Body     holdBody
}

func (h handlers) serveHold(ctx context.Context, in *holdInput) (*holdOutput, error) {
	kept, err := h.svc.Hold(ctx, httpd.Actor(ctx), Booking{
		Doctor: in.Body.DoctorID, Specialization: in.Body.Specialization, StartsAt: &in.Body.StartsAt,
	})
	if err != nil {
		return nil, err
	}
	return &holdOutput{Location: httpd.APIPrefix + "/holds/" + kept.ID, Body: holdBodyOf(kept)}, nil
}

type holdsOutput struct {
	Body struct {
		Items []holdBody `json:"items"`
	}
}

func (h handlers) serveHolds(ctx context.Context, _ *struct{}) (*holdsOutput, error) {
	kept, err := h.svc.Holds(ctx, httpd.Actor(ctx))
	if err != nil {
		return nil, err
	}
	out := &holdsOutput{}
	out.Body.Items = make([]holdBody, len(kept))
	for i, k := range kept {
		out.Body.Items[i] = holdBodyOf(k)
	}
	return out, nil
}

type holdIDInput struct {
	ID string `path:"id" maxLength:"40"`
}

func (h handlers) serveUnhold(ctx context.Context, in *holdIDInput) (*struct{}, error) {
	return nil, h.svc.Unhold(ctx, httpd.Actor(ctx), in.ID)
}

func waitlistRoutes(s *httpd.Server, h handlers) {
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/doctors/{id}/waitlist", Tag: tag,
		Summary: "Join a doctor's waiting list",
		Description: "If an appointment on one of these days is cancelled, its time is offered to the first patient on the " +
			"list, as a hold; if they do not book it, to the next.",
		Status: http.StatusCreated, Access: httpd.Only(auth.Patient), Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, h.serveWait)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/doctors/{id}/waitlist", Tag: tag,
		Summary:     "List a doctor's waiting list, in order",
		Description: "The doctor and admins see all entries, patients only their own.", Access: httpd.SignedIn,
		Errors: []int{http.StatusNotFound},
	}, h.serveQueue)
	httpd.Register(s, httpd.Route{
		Method: http.MethodDelete, Path: "/doctors/{id}/waitlist/{wid}", Tag: tag, Summary: "Leave a waiting list",
		Description: "Allowed for the patient, the doctor and admins.",
		Access:      httpd.SignedIn, Errors: []int{http.StatusNotFound},
	}, h.serveLeave)
}

type waitInput struct {
	ID   string `path:"id" maxLength:"20"`
	Body struct {
		From string `json:"from" format:"date" maxLength:"10" doc:"First day, in the doctor's zone"`
		To   string `json:"to" format:"date" maxLength:"10" doc:"Last day, inclusive"`
	}
}

type waitOutput struct {
	Location string `header:"Location"`
	Body     waitingBody
}

func (h handlers) serveWait(ctx context.Context, in *waitInput) (*waitOutput, error) {
	from, err := day("body.from", in.Body.From)
	if err != nil {
		return nil, err
	}
	to, err := day("body.to", in.Body.To)
	if err != nil {
		return nil, err
	}
	w, err := h.svc.Wait(ctx, httpd.Actor(ctx), in.ID, from, to)
	if err != nil {
		return nil, err
	}
	return &waitOutput{
		Location: httpd.APIPrefix + "/doctors/" + w.Doctor.UserID + "/waitlist/" + w.ID, Body: waitingBodyOf(w),
	}, nil
}

type queueInput struct {
	ID string `path:"id" maxLength:"20"`
	httpd.PageQuery
}

type queueOutput struct{ Body httpd.Page[waitingBody] }

func (h handlers) serveQueue(ctx context.Context, in *queueInput) (*queueOutput, error) {
	var after int64
	if err := httpd.DecodeCursor(ctx, in.Cursor, &after); err != nil {
		return nil, err
	}
	page, last, more, err := h.svc.Queue(ctx, httpd.Actor(ctx), in.ID, after, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &queueOutput{}
	for _, w := range page {
		out.Body.Items = append(out.Body.Items, waitingBodyOf(w))
	}
	if more {
		out.Body.NextCursor = httpd.EncodeCursor(ctx, last)
	}
	return out, nil
}

type leaveInput struct {
	ID    string `path:"id" maxLength:"20"`
	Entry string `path:"wid" maxLength:"40"`
}

func (h handlers) serveLeave(ctx context.Context, in *leaveInput) (*struct{}, error) {
	return nil, h.svc.Leave(ctx, httpd.Actor(ctx), in.ID, in.Entry)
}
