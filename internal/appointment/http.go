package appointment

import (
	"context"
	"net/http"

	"housecall/internal/errs"
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
		Method: http.MethodGet, Path: "/appointments", Tag: tag, Summary: "List appointments",
		Description: "Admins see all appointments, everyone else their own. Requests without a time are left out if " +
			"`from` or `to` is given; otherwise they come last in the orders by time. Appointments with the same " +
			"time are listed in the order in which they were made (reversed for `-startsAt`). One that is moved while " +
			"you page may be missed or come twice.",
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
	Order     string   `query:"order" enum:"createdAt,startsAt,-startsAt" default:"createdAt" doc:"createdAt: last made first; startsAt: earliest time first; -startsAt: latest time first"`
}

type listOutput struct{ Body httpd.Page[body] }

func (h handlers) serveList(ctx context.Context, in *listInput) (*listOutput, error) {
	f := Filter{Doctor: in.DoctorID, Patient: in.PatientID}
	if in.Order != "createdAt" {
		f.Order = Order(in.Order)
	}
	var err error
	if f.Statuses, err = parseStatuses(in.Status); err != nil {
		return nil, err
	}
	if f.From, f.To, err = parseWindow(in.From, in.To, h.svc.o.Zone); err != nil {
		return nil, err
	}
	after, err := f.Order.decode(ctx, in.Cursor)
	if err != nil {
		return nil, err
	}
	page, more, err := h.svc.Page(ctx, httpd.Actor(ctx), f, after, in.Limit)
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
		out.Body.NextCursor = f.Order.encode(ctx, page[len(page)-1])
	}
	return out, nil
}

// encode makes the cursor of a list that goes on after an appointment.
func (o Order) encode(ctx context.Context, a Appointment) string {
	p := o.position(a)
	if o == Newest {
		return httpd.EncodeCursor(ctx, p.ID)
	}
	return httpd.EncodeCursor(ctx, o, p.ID, p.StartsAt)
}

// decode reads a cursor that encode made in the same order.
func (o Order) decode(ctx context.Context, cursor string) (p Position, err error) {
	if o == Newest {
		return p, httpd.DecodeCursor(ctx, cursor, &p.ID)
	}
	made := o
	err = httpd.DecodeCursor(ctx, cursor, &made, &p.ID, &p.StartsAt)
	if err == nil && made != o {
		err = errs.InvalidField("query.cursor", "is of a list in another order")
	}
	return p, err
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
