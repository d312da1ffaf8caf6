package appointment

import (
	"context"
	"net/http"
	"time"

	"housecall/internal/httpd"
)

func slotRoutes(s *httpd.Server, h handlers) {
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/doctors/{id}/slots", Tag: "doctors",
		Summary: "List a doctor's free slots",
		Description: "At most 31 days; the next seven days by default. Dates are days in the doctor's zone, both " +
			"inclusive.",
		Access: httpd.Public, Errors: []int{http.StatusNotFound},
	}, h.serveSlots)
	httpd.Register(s, httpd.Route{
		Method: http.MethodGet, Path: "/slots", Tag: "doctors", Summary: "Find the earliest free slots of a specialization",
		Description: "The earliest slots of all its doctors. If several doctors are free at the same time, there is one " +
			"for each. At most 31 days; the next 31 by default. Dates are days in the clinic's zone, both inclusive.",
		Access: httpd.Public, Errors: []int{http.StatusNotFound},
	}, h.serveSearch)
}

// Bounds limit a query for slots. It is exported because Huma cannot see unexported embedded types.
type Bounds struct {
	From string `query:"from" maxLength:"40" doc:"A date or a time; now by default"`
	To   string `query:"to" maxLength:"40" doc:"A date (inclusive) or a time (exclusive)"`
}

// window reads the bounds; without an end the window has the given number of days.
func (b Bounds) window(days int) Window {
	return func(zone *time.Location, now time.Time) (from, to time.Time, err error) {
		if from, to, err = parseWindow(b.From, b.To, zone); err != nil {
			return from, to, err
		}
		if from.IsZero() {
			from = now
		}
		if to.IsZero() {
			to = from.In(zone).AddDate(0, 0, days)
		}
		return from, to, nil
	}
}

type slotsInput struct {
	ID string `path:"id" maxLength:"20"`
	Bounds
}

type slotsOutput struct {
	Body struct {
		Items    []SlotBody `json:"items"`
		TimeZone string     `json:"timeZone" doc:"IANA name"`
	}
}

func (h handlers) serveSlots(ctx context.Context, in *slotsInput) (*slotsOutput, error) {
	slots, rules, err := h.svc.Slots(ctx, in.ID, in.window(7))
	if err != nil {
		return nil, err
	}
	out := &slotsOutput{}
	out.Body.TimeZone, out.Body.Items = rules.TimeZone, make([]SlotBody, len(slots))
	for i, s := range slots {
		out.Body.Items[i] = slotBodyOf(s)
	}
	return out, nil
}

type searchInput struct {
	Specialization string `query:"specialization" required:"true" minLength:"1" maxLength:"200" doc:"Case-insensitive"`
	Bounds
	Limit int `query:"limit" default:"20" minimum:"1" maximum:"100"`
}

type searchOutput struct {
	Body struct {
		Items []doctorSlotBody `json:"items"`
	}
}

func (h handlers) serveSearch(ctx context.Context, in *searchInput) (*searchOutput, error) {
	found, err := h.svc.Search(ctx, in.Specialization, in.window(maxSlotDays), in.Limit)
	if err != nil {
		return nil, err
	}
	out := &searchOutput{}
	out.Body.Items = make([]doctorSlotBody, len(found))
	for i, f := range found {
		out.Body.Items[i] = doctorSlotBody{
			SlotBody: slotBodyOf(f.Slot), TimeZone: f.TimeZone,
			Doctor: doctorPerson{UserID: f.Doctor.UserID, Name: f.Doctor.Name, Specialization: f.Doctor.Specialization},
		}
	}
	return out, nil
}
