package appointment

import (
	"context"
	"net/http"

	"housecall/internal/httpd"
)

// Routes adds the appointments and the doctors' free slots to the API.
func Routes(s *httpd.Server, svc *Service) {
	h := handlers{svc}
	readRoutes(s, h)
	slotRoutes(s, h)
	moveRoutes(s, h)
	holdRoutes(s, h)
	waitlistRoutes(s, h)
}

const tag = "appointments"

func readRoutes(s *httpd.Server, h handlers) {
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/appointments", Tag: tag, Summary: "List appointments, newest first",
		Description: "Admins see all appointments, everyone else their own. Requests without a time are left out if " +
			"`from` or `to` is given.",
		Access: httpd.SignedIn,
	}, h.serveList)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/appointments/{id}", Tag: tag, Summary: "Get an appointment",
		Access: httpd.SignedIn, Errors: []int{http.StatusNotFound},
	}, h.serveGet)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/appointments/{id}/history", Tag: tag,
		Summary: "Get an appointment's history, oldest first",
		Access:  httpd.SignedIn, Errors: []int{http.StatusNotFound},
	}, h.serveHistory)
}

type handlers struct{ svc *Service }

type output struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     body
}

// answer returns the output for one appointment.
func (h handlers) answer(ctx context.Context, a Appointment, err error) (*output, error) {
	if err != nil {
		return nil, err
	}
	views, err := h.svc.Views(ctx, httpd.Actor(ctx), a)
	if err != nil {
		return nil, err
	}
	return &output{ETag: httpd.ETag(a.Version), Body: bodyOf(views[0])}, nil
}

type listInput struct {
	httpd.PageQuery
	Status    []string `query:"status,explode" maxItems:"20" doc:"One or more statuses, repeated or separated by commas"`
	From      string   `query:"from" maxLength:"40" doc:"Earliest start: a date in the clinic's zone, or a time"`
	To        string   `query:"to" maxLength:"40" doc:"Latest start: a date (inclusive) or a time (exclusive)"`
	DoctorID  string   `query:"doctorId" maxLength:"20"`
	PatientID string   `query:"patientId" maxLength:"20"`
}

type listOutput struct{ Body httpd.Page[body] }

func (h handlers) serveList(ctx context.Context, in *listInput) (*listOutput, error) {
	f := Filter{Doctor: in.DoctorID, Patient: in.PatientID}
	var err error
	if f.Statuses, err = parseStatuses(in.Status); err != nil {
		return nil, err
	}
	if f.From, f.To, err = parseWindow(in.From, in.To, h.svc.o.Zone); err != nil {
		return nil, err
	}
	var before int64
	if err := httpd.DecodeCursor(ctx, in.Cursor, &before); err != nil {
		return nil, err
	}
	page, more, err := h.svc.List(ctx, httpd.Actor(ctx), f, before, in.Limit)
	if err != nil {
		return nil, err
	}
	views, err := h.svc.Views(ctx, httpd.Actor(ctx), page...)
	if err != nil {
		return nil, err
	}
	out := &listOutput{}
	for _, v := range views {
		out.Body.Items = append(out.Body.Items, bodyOf(v))
	}
	if more {
		out.Body.NextCursor = httpd.EncodeCursor(ctx, page[len(page)-1].ID)
	}
	return out, nil
}

type idInput struct {
	ID string `path:"id" maxLength:"20"`
}

func (h handlers) serveGet(ctx context.Context, in *idInput) (*output, error) {
	a, err := h.svc.Get(ctx, httpd.Actor(ctx), in.ID)
	out, err := h.answer(ctx, a, err)
	if err == nil {
		out.Body.Summary = a.Summary
	}
	return out, err
}

type historyInput struct {
	ID string `path:"id" maxLength:"20"`
	httpd.PageQuery
}

type historyOutput struct{ Body httpd.Page[stepBody] }

func (h handlers) serveHistory(ctx context.Context, in *historyInput) (*historyOutput, error) {
	var after int
	if err := httpd.DecodeCursor(ctx, in.Cursor, &after); err != nil {
		return nil, err
	}
	page, more, err := h.svc.History(ctx, httpd.Actor(ctx), in.ID, after, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &historyOutput{}
	for _, st := range page {
		out.Body.Items = append(out.Body.Items, stepBodyOf(st))
	}
	if more {
		out.Body.NextCursor = httpd.EncodeCursor(ctx, page[len(page)-1].Version)
	}
	return out, nil
}
