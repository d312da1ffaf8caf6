package appointment

import (
	"context"
	"net/http"
	"time"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
)

// Routes adds the appointments and the doctors' free slots to the API.
func Routes(s *httpd.Server, svc *Service) {
	h := handlers{svc}
	readRoutes(s, h)
	moveRoutes(s, h)
}

const tag = "appointments"

func readRoutes(s *httpd.Server, h handlers) {
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/doctors/{id}/slots", Tag: "doctors", Summary: "Free slots of a doctor",
		Description: "At most 31 days; without bounds the next seven days. Dates are days in the doctor's zone, both included.",
		Access:      httpd.Public, Errors: []int{http.StatusNotFound},
	}, h.slots)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/appointments", Tag: tag, Summary: "Appointments, newest first",
		Description: "Admins see all, others their own. Requests without a time are in no list with `from` or `to`.",
		Access:      httpd.SignedIn,
	}, h.list)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/appointments/{id}", Tag: tag, Summary: "One appointment",
		Access: httpd.SignedIn, Errors: []int{http.StatusNotFound},
	}, h.get)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/appointments/{id}/history", Tag: tag, Summary: "What happened to an appointment, oldest first",
		Access: httpd.SignedIn, Errors: []int{http.StatusNotFound},
	}, h.history)
}

func moveRoutes(s *httpd.Server, h handlers) {
	conflict := []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed}
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments", Tag: tag, Summary: "Ask for an appointment",
		Description: "Patients for themselves, doctors for a patient of theirs with themselves, admins for anyone. The time is held " +
			"from now on. `slot_taken`, `patient_busy` and broken booking rules come with `alternatives`.",
		Status: http.StatusCreated, Access: httpd.SignedIn,
		Errors: []int{http.StatusForbidden, http.StatusNotFound, http.StatusConflict},
	}, h.book)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/confirm", Tag: tag, Summary: "Confirm a request",
		Description: "`startsAt` is required for a request without a time; it may be off the doctor's grid, " +
			"but is a whole minute within the booking horizon and never overlaps.",
		Access: httpd.Only(auth.Doctor, auth.Admin), Errors: conflict,
	}, h.confirm)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/reject", Tag: tag, Summary: "Decline a request",
		Access: httpd.Only(auth.Doctor, auth.Admin), Errors: conflict,
	}, h.reject)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/cancel", Tag: tag, Summary: "Call off a request or an appointment",
		Description: "A patient may leave out the reason.", Access: httpd.SignedIn, Errors: conflict,
	}, h.cancel)
}

type handlers struct{ svc *Service }

type output struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     body
}

// answer makes the output of one appointment.
func (h handlers) answer(ctx context.Context, a Appointment, err error) (*output, error) {
	if err != nil {
		return nil, err
	}
	views, err := h.svc.Views(ctx, a)
	if err != nil {
		return nil, err
	}
	return &output{ETag: httpd.ETag(a.Version), Body: bodyOf(views[0])}, nil
}

type bookInput struct {
	Body struct {
		DoctorID  string     `json:"doctorId,omitempty" maxLength:"20" doc:"A doctor may leave it out: he books with himself"`
		StartsAt  *time.Time `json:"startsAt,omitempty" doc:"Start of a free slot; without it the doctor sets the time"`
		Reason    string     `json:"reason" maxLength:"1000"`
		PatientID string     `json:"patientId,omitempty" maxLength:"20" doc:"For whom; patients leave it out"`
	}
}

func (h handlers) book(ctx context.Context, in *bookInput) (*output, error) {
	a, err := h.svc.Book(ctx, httpd.Actor(ctx), Booking{
		Doctor: in.Body.DoctorID, Patient: in.Body.PatientID, StartsAt: in.Body.StartsAt, Reason: in.Body.Reason,
	})
	out, err := h.answer(ctx, a, err)
	if err != nil {
		return nil, err
	}
	out.Location = httpd.APIPrefix + "/appointments/" + a.PublicID
	return out, nil
}

type listInput struct {
	httpd.PageQuery
	Status    []string `query:"status,explode" maxItems:"20" doc:"One or more statuses, repeated or with commas"`
	From      string   `query:"from" maxLength:"40" doc:"Earliest start: a date in the clinic's zone, or a time"`
	To        string   `query:"to" maxLength:"40" doc:"Latest start: a date, which is included, or a time, which is not"`
	DoctorID  string   `query:"doctorId" maxLength:"20"`
	PatientID string   `query:"patientId" maxLength:"20"`
}

type listOutput struct{ Body httpd.Page[body] }

func (h handlers) list(ctx context.Context, in *listInput) (*listOutput, error) {
	f := Filter{Doctor: in.DoctorID, Patient: in.PatientID}
	var err error
	if f.Statuses, err = parseStatuses(in.Status); err != nil {
		return nil, err
	}
	if f.From, f.To, err = parseWindow(in.From, in.To, h.svc.zone); err != nil {
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
	views, err := h.svc.Views(ctx, page...)
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

func (h handlers) get(ctx context.Context, in *idInput) (*output, error) {
	a, err := h.svc.Get(ctx, httpd.Actor(ctx), in.ID)
	return h.answer(ctx, a, err)
}

type historyInput struct {
	ID string `path:"id" maxLength:"20"`
	httpd.PageQuery
}

type historyOutput struct{ Body httpd.Page[stepBody] }

func (h handlers) history(ctx context.Context, in *historyInput) (*historyOutput, error) {
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

// seenVersion gives the version of an optional If-Match, 0 without one.
func seenVersion(ifMatch string) (int, error) {
	version, given, err := httpd.IfMatch(ifMatch, false)
	if err == nil && given && version < 1 {
		return 0, errs.ErrStale
	}
	return version, err
}

type confirmInput struct {
	ID      string `path:"id" maxLength:"20"`
	IfMatch string `header:"If-Match" maxLength:"40" doc:"Optional: the ETag last seen; 412 if it is stale"`
	Body    *struct {
		StartsAt *time.Time `json:"startsAt,omitempty"`
		Note     string     `json:"note,omitempty" maxLength:"1000" doc:"For the patient"`
	}
}

func (h handlers) confirm(ctx context.Context, in *confirmInput) (*output, error) {
	version, err := seenVersion(in.IfMatch)
	if err != nil {
		return nil, err
	}
	c := Confirmation{Version: version}
	if in.Body != nil {
		c.StartsAt, c.Note = in.Body.StartsAt, in.Body.Note
	}
	a, err := h.svc.Confirm(ctx, httpd.Actor(ctx), in.ID, c)
	return h.answer(ctx, a, err)
}

type endInput struct {
	ID      string `path:"id" maxLength:"20"`
	IfMatch string `header:"If-Match" maxLength:"40" doc:"Optional: the ETag last seen; 412 if it is stale"`
	Body    *struct {
		Reason string `json:"reason,omitempty" maxLength:"500" doc:"The other side sees it"`
	}
}

func (in endInput) ending() (Ending, error) {
	version, err := seenVersion(in.IfMatch)
	e := Ending{Version: version}
	if in.Body != nil {
		e.Reason = in.Body.Reason
	}
	return e, err
}

func (h handlers) reject(ctx context.Context, in *endInput) (*output, error) {
	return h.end(ctx, in, h.svc.Reject)
}

func (h handlers) cancel(ctx context.Context, in *endInput) (*output, error) {
	return h.end(ctx, in, h.svc.Cancel)
}

func (h handlers) end(ctx context.Context, in *endInput, move func(context.Context, auth.Actor, string, Ending) (Appointment, error)) (*output, error) {
	e, err := in.ending()
	if err != nil {
		return nil, err
	}
	a, err := move(ctx, httpd.Actor(ctx), in.ID, e)
	return h.answer(ctx, a, err)
}

type slotsInput struct {
	ID   string `path:"id" maxLength:"20"`
	From string `query:"from" maxLength:"40" doc:"A date in the doctor's zone, or a time; default now"`
	To   string `query:"to" maxLength:"40" doc:"A date, which is included, or a time, which is not; default a week after from"`
}

type slotsOutput struct {
	Body struct {
		Items    []Slot `json:"items"`
		TimeZone string `json:"timeZone" doc:"IANA name"`
	}
}

func (h handlers) slots(ctx context.Context, in *slotsInput) (*slotsOutput, error) {
	slots, rules, err := h.svc.Slots(ctx, in.ID, func(zone *time.Location, now time.Time) (from, to time.Time, err error) {
		if from, to, err = parseWindow(in.From, in.To, zone); err != nil {
			return from, to, err
		}
		if from.IsZero() {
			from = now
		}
		if to.IsZero() {
			to = from.In(zone).AddDate(0, 0, 7)
		}
		return from, to, nil
	})
	if err != nil {
		return nil, err
	}
	out := &slotsOutput{}
	out.Body.Items, out.Body.TimeZone = slots, rules.TimeZone
	return out, nil
}
