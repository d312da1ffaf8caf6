package doctor

import (
	"context"
	"net/http"
	"time"

	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/schedule"
)

func exceptionRoutes(s *httpd.Server, h handlers, staff httpd.Access) {
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/doctors/{id}/exceptions", Tag: tag,
		Summary: "List days off and days with other hours",
		Description: "Sorted by the first date. `from` and `to` select those with a date in that range, both inclusive. " +
			"Notes are shown only to the doctor and to admins.",
		Access: httpd.Public, Errors: []int{http.StatusNotFound},
	}, h.serveExceptions)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/doctors/{id}/exceptions", Tag: tag,
		Summary: "Add days off or days with other hours",
		Description: "Replaces the weekly hours that begin on these dates. Without `intervals`, nothing can be booked on " +
			"them. A date can have other hours only once; days off may overlap anything and take precedence. " +
			"Booked appointments stay. The ETag is shared with hours and booking rules.",
		Status: http.StatusCreated, Access: staff, Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, h.serveAddException)
	httpd.Register(s, httpd.Route{
		Method: http.MethodDelete, Path: "/doctors/{id}/exceptions/{eid}", Tag: tag,
		Summary:     "Remove an exception and return to the weekly hours",
		Description: "The ETag is shared with hours and booking rules.",
		Access:      staff, Errors: []int{http.StatusNotFound},
	}, h.serveRemoveException)
}

// clockBody is one interval of an exception.
type clockBody struct {
	From string `json:"from" minLength:"5" maxLength:"5" example:"09:30"`
	To   string `json:"to" minLength:"5" maxLength:"5" example:"12:00" doc:"24:00 is the end of the day; if not later than from, it is on the next day"`
}

type exceptionBody struct {
	ID        string      `json:"id" format:"uuid"`
	From      string      `json:"from" format:"date" doc:"The first day, in the doctor's zone"`
	To        string      `json:"to" format:"date" doc:"The last day, inclusive"`
	Intervals []clockBody `json:"intervals" doc:"The hours on each of these days; empty: nothing can be booked"`
	Note      string      `json:"note,omitempty" doc:"Shown only to the doctor and admins"`
}

func exceptionOf(e schedule.Exception) exceptionBody {
	b := exceptionBody{
		ID: e.ID, From: e.From.Format(time.DateOnly), To: e.To.Format(time.DateOnly), Note: e.Note,
		Intervals: make([]clockBody, len(e.Hours)),
	}
	for i, c := range e.Hours {
		b.Intervals[i].From, b.Intervals[i].To = formatClock(c)
	}
	return b
}

type exceptionsInput struct {
	Path
	httpd.PageQuery
	From string `query:"from" maxLength:"10" example:"2027-12-24" doc:"A date"`
	To   string `query:"to" maxLength:"10" example:"2028-01-01" doc:"A date"`
}

type exceptionsOutput struct{ Body httpd.Page[exceptionBody] }

func (h handlers) serveExceptions(ctx context.Context, in *exceptionsInput) (*exceptionsOutput, error) {
	period, err := periodOf(in.From, in.To)
	if err != nil {
		return nil, err
	}
	q := schedule.ExceptionQuery{Period: period, Limit: in.Limit}
	if err := httpd.DecodeCursor(ctx, in.Cursor, &q.After.From, &q.After.ID); err != nil {
		return nil, err
	}
	page, more, err := h.svc.Exceptions(ctx, httpd.Actor(ctx), in.ID, q)
	if err != nil {
		return nil, err
	}
	out := &exceptionsOutput{}
	for _, e := range page {
		out.Body.Items = append(out.Body.Items, exceptionOf(e))
	}
	if more {
		last := page[len(page)-1]
		out.Body.NextCursor = httpd.EncodeCursor(ctx, last.From, last.ID)
	}
	return out, nil
}

func periodOf(from, to string) (p schedule.Period, err error) {
	if from != "" {
		if p.From, err = parseDate("query.from", from); err != nil {
			return p, err
		}
	}
	if to != "" {
		if p.To, err = parseDate("query.to", to); err != nil {
			return p, err
		}
	}
	if to != "" && p.To.Before(p.From) {
		return p, errs.InvalidField("query.to", "must not be before from")
	}
	return p, nil
}

// parseDate reads a calendar day as midnight UTC; path as in errs.Field. It refuses the year 0, which the calendar
// does not have.
func parseDate(path, s string) (time.Time, error) {
	date, err := time.Parse(time.DateOnly, s)
	if err != nil || date.Year() < 1 {
		return time.Time{}, errs.InvalidField(path, "must be a date such as 2027-12-24")
	}
	return date, nil
}

type addExceptionInput struct {
	Path
	Body struct {
		From      string      `json:"from" maxLength:"10" example:"2027-12-24" doc:"The first day, in the doctor's zone"`
		To        *string     `json:"to,omitempty" maxLength:"10" example:"2028-01-01" doc:"The last day, inclusive; the same as from if left out"`
		Intervals []clockBody `json:"intervals,omitempty" maxItems:"10" doc:"The hours on each of these days; empty or absent: nothing can be booked"`
		Note      string      `json:"note,omitempty" maxLength:"200" doc:"Shown only to the doctor and admins"`
	}
}

type exceptionOutput struct {
	ETag string `header:"ETag"`
	Body exceptionBody
}

func (h handlers) serveAddException(ctx context.Context, in *addExceptionInput) (*exceptionOutput, error) {
	draft, err := in.exception()
	if err != nil {
		return nil, err
	}
	e, r, err := h.svc.AddException(ctx, httpd.Actor(ctx), in.ID, draft)
	if err != nil {
		return nil, err
	}
	return &exceptionOutput{ETag: httpd.ETag(r.Version), Body: exceptionOf(e)}, nil
}

// exception reads the body; its error names each date and clock time that is not valid.
func (in *addExceptionInput) exception() (schedule.Exception, error) {
	var clocks clockReader
	date := func(path, s string) time.Time {
		d, err := parseDate(path, s)
		if err != nil {
			clocks.bad = append(clocks.bad, errs.Field{Path: path, Message: "must be a date such as 2027-12-24"})
		}
		return d
	}
	e := schedule.Exception{From: date("body.from", in.Body.From), Note: in.Body.Note}
	if e.To = e.From; in.Body.To != nil {
		e.To = date("body.to", *in.Body.To)
	}
	for i, v := range in.Body.Intervals {
		e.Hours = append(e.Hours, clocks.read(i, v.From, v.To))
	}
	return e, clocks.err()
}

type exceptionPath struct {
	Path
	EID string `path:"eid" maxLength:"36" doc:"The exception's id"`
}

type removeOutput struct {
	ETag string `header:"ETag"`
}

func (h handlers) serveRemoveException(ctx context.Context, in *exceptionPath) (*removeOutput, error) {
	r, err := h.svc.RemoveException(ctx, httpd.Actor(ctx), in.ID, in.EID)
	if err != nil {
		return nil, err
	}
	return &removeOutput{ETag: httpd.ETag(r.Version)}, nil
}
