package doctor

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/schedule"
	"housecall/internal/walltime"
)

func scheduleRoutes(s *httpd.Server, h handlers) {
	staff := httpd.Only(auth.Doctor, auth.Admin)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/doctors/{id}/hours", Tag: tag, Summary: "Get the weekly hours", Access: httpd.Public,
		Description: "Clock times in the doctor's zone. A `to` that is not later than `from` is on the next day. Hours, " +
			"booking rules and exceptions share one ETag.",
		Errors: []int{http.StatusNotFound},
	}, h.hours)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPut, Path: "/doctors/{id}/hours", Tag: tag, Summary: "Replace the weekly hours",
		Description: "Without any interval, nothing can be booked. A `to` that is not later than `from` is on the next " +
			"day; the whole interval belongs to the day on which it begins. Booked appointments stay.",
		Access: staff, Errors: ifMatchErrors,
	}, h.serveSetHours)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/doctors/{id}/booking-rules", Tag: tag, Summary: "Get the booking rules",
		Access: httpd.Public, Errors: []int{http.StatusNotFound},
	}, h.serveRules)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPut, Path: "/doctors/{id}/booking-rules", Tag: tag, Summary: "Replace the booking rules",
		Description: "Rules that are left out or null stay as they are; zone and slot length are required. Hours keep " +
			"their clock times in a new zone. Booked appointments stay.",
		Access: staff, Errors: ifMatchErrors,
	}, h.serveSetRules)
	exceptionRoutes(s, h, staff)
}

type intervalBody struct {
	Weekday int    `json:"weekday" minimum:"1" maximum:"7" doc:"1 is Monday (ISO 8601)"`
	From    string `json:"from" minLength:"5" maxLength:"5" example:"09:30"`
	To      string `json:"to" minLength:"5" maxLength:"5" example:"12:00" doc:"24:00 is the end of the day; if not later than from, it is on the next day"`
}

type hoursOutput struct {
	ETag string `header:"ETag"`
	Body struct {
		Intervals []intervalBody `json:"intervals"`
		TimeZone  string         `json:"timeZone" doc:"IANA zone of the clock times"`
		Custom    bool           `json:"custom" doc:"false: the clinic's default hours"`
	}
}

func hoursOf(r schedule.Rules) *hoursOutput {
	out := &hoursOutput{ETag: httpd.ETag(r.Version)}
	out.Body.TimeZone, out.Body.Custom = r.TimeZone, r.CustomHours
	out.Body.Intervals = make([]intervalBody, len(r.Hours))
	for i, v := range r.Hours {
		from, to := formatClock(schedule.Clock{From: v.From, To: v.To})
		out.Body.Intervals[i] = intervalBody{Weekday: v.Weekday, From: from, To: to}
	}
	return out
}

func (h handlers) hours(ctx context.Context, in *Path) (*hoursOutput, error) {
	r, err := h.svc.Rules(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return hoursOf(r), nil
}

type setHoursInput struct {
	Path
	Match
	Body struct {
		Intervals []intervalBody `json:"intervals" maxItems:"70" doc:"At most 10 a day, without overlap"`
	}
}

func (h handlers) serveSetHours(ctx context.Context, in *setHoursInput) (*hoursOutput, error) {
	version, _, err := httpd.IfMatch(in.IfMatch, true)
	if err != nil {
		return nil, err
	}
	var clocks clockReader
	week := make([]schedule.Interval, len(in.Body.Intervals))
	for i, v := range in.Body.Intervals {
		c := clocks.read(i, v.From, v.To)
		week[i] = schedule.Interval{Weekday: v.Weekday, From: c.From, To: c.To}
	}
	if err := clocks.err(); err != nil {
		return nil, err
	}
	r, err := h.svc.SetHours(ctx, httpd.Actor(ctx), in.ID, version, week)
	if err != nil {
		return nil, err
	}
	return hoursOf(r), nil
}

// dayMinutes is 24:00.
const dayMinutes = 24 * 60

// clockReader reads the clock times of a body's intervals and keeps every complaint.
type clockReader struct{ bad []errs.Field }

// read returns interval i. An end that is not later than its start is of the next day.
func (r *clockReader) read(i int, from, to string) schedule.Clock {
	c := schedule.Clock{From: r.parse(i, "from", from), To: r.parse(i, "to", to)}
	if c.To <= c.From {
		c.To += dayMinutes
	}
	return c
}

func (r *clockReader) parse(i int, field, s string) int {
	n, err := walltime.Parse(s)
	if err != nil {
		r.bad = append(r.bad, errs.Field{Path: fmt.Sprintf("body.intervals[%d].%s", i, field), Message: err.Error()})
	}
	return n
}

func (r *clockReader) err() error {
	if len(r.bad) == 0 {
		return nil
	}
	return errs.InvalidFields(r.bad...)
}

// formatClock writes an interval so that clockReader reads the same.
func formatClock(c schedule.Clock) (from, to string) {
	end := c.To
	if end > dayMinutes {
		end -= dayMinutes
	}
	return walltime.Format(c.From), walltime.Format(end)
}

type rulesOutput struct {
	ETag string `header:"ETag"`
	Body struct {
		TimeZone            string `json:"timeZone"`
		SlotMinutes         int    `json:"slotMinutes"`
		BufferBeforeMinutes int    `json:"bufferBeforeMinutes" doc:"Kept free before an appointment"`
		BufferAfterMinutes  int    `json:"bufferAfterMinutes" doc:"Kept free after an appointment"`
		NoticeMinutes       int    `json:"noticeMinutes" doc:"How long before its start a slot must be booked"`
		HorizonMinutes      int    `json:"horizonMinutes" doc:"How far ahead a slot can be booked"`
		PerDay              int    `json:"perDay" doc:"Maximum number of appointments that start on one day; 0: no limit"`
		AutoConfirm         bool   `json:"autoConfirm" doc:"Whether a patient's request for a slot is booked at once"`
	}
}

func rulesOf(r schedule.Rules) *rulesOutput {
	out := &rulesOutput{ETag: httpd.ETag(r.Version)}
	b := &out.Body
	b.TimeZone, b.SlotMinutes, b.PerDay, b.AutoConfirm = r.TimeZone, r.SlotMinutes, r.PerDay, r.AutoConfirm
	b.BufferBeforeMinutes, b.BufferAfterMinutes = int(r.BufferBefore/time.Minute), int(r.BufferAfter/time.Minute)
	b.NoticeMinutes, b.HorizonMinutes = int(r.Notice/time.Minute), int(r.Horizon/time.Minute)
	return out
}

func (h handlers) serveRules(ctx context.Context, in *Path) (*rulesOutput, error) {
	r, err := h.svc.Rules(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return rulesOf(r), nil
}

type setRulesInput struct {
	Path
	Match
	Body struct {
		TimeZone            string `json:"timeZone" minLength:"1" maxLength:"64" doc:"IANA zone"`
		SlotMinutes         int    `json:"slotMinutes" minimum:"5" maximum:"480"`
		BufferBeforeMinutes *int   `json:"bufferBeforeMinutes,omitempty" minimum:"0" maximum:"240" doc:"Kept free before an appointment; not shown as part of it"`
		BufferAfterMinutes  *int   `json:"bufferAfterMinutes,omitempty" minimum:"0" maximum:"240" doc:"Kept free after an appointment; not shown as part of it"`
		NoticeMinutes       *int   `json:"noticeMinutes,omitempty" minimum:"0" maximum:"43200" doc:"How long before its start a slot must be booked"`
		HorizonMinutes      *int   `json:"horizonMinutes,omitempty" minimum:"60" maximum:"5256000" doc:"How far ahead a slot can be booked; the clinic sets the maximum"`
		PerDay              *int   `json:"perDay,omitempty" minimum:"0" maximum:"200" doc:"Maximum number of appointments that start on one day; 0: no limit"`
		AutoConfirm         *bool  `json:"autoConfirm,omitempty" doc:"Whether a patient's request for a slot is booked at once"`
	}
}

func (h handlers) serveSetRules(ctx context.Context, in *setRulesInput) (*rulesOutput, error) {
	version, _, err := httpd.IfMatch(in.IfMatch, true)
	if err != nil {
		return nil, err
	}
	b := in.Body
	r, err := h.svc.SetRules(ctx, httpd.Actor(ctx), in.ID, version, schedule.RuleChange{
		TimeZone: &b.TimeZone, SlotMinutes: &b.SlotMinutes,
		BufferBefore: ofMinutes(b.BufferBeforeMinutes), BufferAfter: ofMinutes(b.BufferAfterMinutes),
		Notice: ofMinutes(b.NoticeMinutes), Horizon: ofMinutes(b.HorizonMinutes),
		PerDay: b.PerDay, AutoConfirm: b.AutoConfirm,
	})
	if err != nil {
		return nil, err
	}
	return rulesOf(r), nil
}

// ofMinutes returns a length of time; nil stays nil.
func ofMinutes(n *int) *time.Duration {
	if n == nil {
		return nil
	}
	d := time.Duration(*n) * time.Minute
	return &d
}
