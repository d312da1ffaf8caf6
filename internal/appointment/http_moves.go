package appointment

import (
	"context"
	"net/http"
	"time"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
)

func moveRoutes(s *httpd.Server, h handlers) {
	conflict := []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed}
	staff := httpd.Only(auth.Doctor, auth.Admin)
	httpd.Register(s, httpd.Route{
		Method:  http.MethodPost,
		Path:    "/appointments",
		Tag:     tag,
		Summary: "Ask for an appointment",
		Description: "Patients for themselves, doctors for a patient of theirs with themselves, admins for anyone. The " +
			"time is held " +
			"from now on. With `specialization` in place of `doctorId` the doctor with the fewest appointments on that day is " +
			"chosen. `slot_taken`, `slot_day_full`, `patient_busy` and broken booking rules come with `alternatives`.",
		Status: http.StatusCreated,
		Access: httpd.SignedIn,
		Errors: []int{http.StatusForbidden, http.StatusNotFound, http.StatusConflict},
	}, h.serveBook)
	httpd.Register(s, httpd.Route{
		Method:  http.MethodPost,
		Path:    "/appointments/{id}/confirm",
		Tag:     tag,
		Summary: "Confirm a request",
		Description: "For its doctor and admins. `startsAt` is required for a request without a time; it may be off the doctor's grid, " +
			"but is a whole minute within the booking horizon and never overlaps.",
		Access: staff,
		Errors: conflict,
	}, h.serveConfirm)
	httpd.Register(s, httpd.Route{
		Method:  http.MethodPost,
		Path:    "/appointments/{id}/reject",
		Tag:     tag,
		Summary: "Decline a request",
		Access:  staff,
		Errors:  conflict,
	}, h.serveReject)
	httpd.Register(s, httpd.Route{
		Method:      http.MethodPost,
		Path:        "/appointments/{id}/cancel",
		Tag:         tag,
		Summary:     "Call off a request or an appointment",
		Description: "A patient may leave out the reason; shortly before the start (`too_late`) only the doctor and admins may.",
		Access:      httpd.SignedIn,
		Errors:      conflict,
	}, h.serveCancel)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/reschedule", Tag: tag, Summary: "Move an appointment",
		Description: "It stays the same appointment, with its conversation. A patient chooses a free slot, as early as for " +
			"`cancel`; the doctor then has to confirm again, unless their rules confirm automatically. The doctor and admins may " +
			"choose as in `confirm`.",
		Access: httpd.SignedIn, Errors: conflict,
	}, h.serveReschedule)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/complete", Tag: tag, Summary: "Say that an appointment took place",
		Description: "For its doctor and admins, not before its start (`not_begun`).", Access: staff, Errors: conflict,
	}, h.serveComplete)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/no-show", Tag: tag, Summary: "Say that the patient did not come",
		Description: "For its doctor and admins, not before its start (`not_begun`).", Access: staff, Errors: conflict,
	}, h.serveNoShow)
	httpd.Register(s, httpd.Route{
		Method:      http.MethodPost,
		Path:        "/appointments/{id}/hand-over",
		Tag:         tag,
		Summary:     "Give an appointment to another doctor",
		Description: "Admins only. With its conversation, at the same time, which must be free with the other doctor.",
		Access:      httpd.Only(auth.Admin),
		Errors:      conflict,
	}, h.serveHandOver)
}

type bookInput struct {
	Body struct {
		DoctorID       string     `json:"doctorId,omitempty" maxLength:"20" doc:"Doctors may leave it out: they book with themselves"`
		Specialization string     `json:"specialization,omitempty" maxLength:"200" doc:"In place of doctorId: any doctor who has it; needs startsAt"`
		HoldID         string     `json:"holdId,omitempty" maxLength:"40" doc:"A hold of the patient, in place of doctorId and startsAt"`
		StartsAt       *time.Time `json:"startsAt,omitempty" doc:"Start of a free slot; without it the doctor sets the time"`
		Reason         string     `json:"reason" maxLength:"1000"`
		PatientID      string     `json:"patientId,omitempty" maxLength:"20" doc:"For whom; patients leave it out"`
	}
}

func (h handlers) serveBook(ctx context.Context, in *bookInput) (*output, error) {
	a, err := h.svc.Book(ctx, httpd.Actor(ctx), Booking{
		Doctor: in.Body.DoctorID, Patient: in.Body.PatientID, Specialization: in.Body.Specialization, HoldID: in.Body.HoldID,
		StartsAt: in.Body.StartsAt, Reason: in.Body.Reason,
	})
	out, err := h.answer(ctx, a, err)
	if err != nil {
		return nil, err
	}
	out.Location = httpd.APIPrefix + "/appointments/" + a.PublicID
	return out, nil
}

// Seen names an appointment and the version of it that the client saw. It is exported because Huma overlooks what it
// cannot reach by reflection.
type Seen struct {
	ID      string `path:"id" maxLength:"20"`
	IfMatch string `header:"If-Match" maxLength:"40" doc:"Optional: the ETag last seen; 412 if it is stale"`
}

// version gives the version of an optional If-Match, 0 without one.
func (in Seen) version() (int, error) {
	version, given, err := httpd.IfMatch(in.IfMatch, false)
	if err == nil && given && version < 1 {
		return 0, errs.ErrStale
	}
	return version, err
}

type confirmInput struct {
	Seen
	Body *struct {
		StartsAt *time.Time `json:"startsAt,omitempty"`
		Note     string     `json:"note,omitempty" maxLength:"1000" doc:"For the patient"`
	}
}

func (h handlers) serveConfirm(ctx context.Context, in *confirmInput) (*output, error) {
	version, err := in.version()
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
	Seen
	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"500" doc:"The other side sees it"`
	}
}

func (in endInput) ending() (Ending, error) {
	version, err := in.version()
	e := Ending{Version: version}
	if in.Body != nil {
		e.Reason = in.Body.Reason
	}
	return e, err
}

func (h handlers) serveReject(ctx context.Context, in *endInput) (*output, error) {
	return h.end(ctx, in, h.svc.Reject)
}

func (h handlers) serveCancel(ctx context.Context, in *endInput) (*output, error) {
	return h.end(ctx, in, h.svc.Cancel)
}

func (h handlers) end(
	ctx context.Context, in *endInput, move func(context.Context, auth.Actor, string, Ending) (Appointment, error),
) (*output, error) {
	e, err := in.ending()
	if err != nil {
		return nil, err
	}
	a, err := move(ctx, httpd.Actor(ctx), in.ID, e)
	return h.answer(ctx, a, err)
}

type rescheduleInput struct {
	Seen
	Body struct {
		StartsAt time.Time `json:"startsAt"`
	}
}

func (h handlers) serveReschedule(ctx context.Context, in *rescheduleInput) (*output, error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	a, err := h.svc.Reschedule(ctx, httpd.Actor(ctx), in.ID, Rescheduling{StartsAt: in.Body.StartsAt, Version: version})
	return h.answer(ctx, a, err)
}

type completeInput struct {
	Seen
	Body struct {
		Summary    string `json:"summary" maxLength:"4000" doc:"What took place; only the patient and the doctor read it"`
		FollowUpOn string `json:"followUpOn,omitempty" format:"date" maxLength:"10" doc:"When the patient should come again"`
	}
}

func (h handlers) serveComplete(ctx context.Context, in *completeInput) (*output, error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	c := Completion{Summary: in.Body.Summary, Version: version}
	if in.Body.FollowUpOn != "" {
		on, err := day("body.followUpOn", in.Body.FollowUpOn)
		if err != nil {
			return nil, err
		}
		c.FollowUpOn = &on
	}
	a, err := h.svc.Complete(ctx, httpd.Actor(ctx), in.ID, c)
	return h.answer(ctx, a, err)
}

type seenInput struct{ Seen }

func (h handlers) serveNoShow(ctx context.Context, in *seenInput) (*output, error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	a, err := h.svc.NoShow(ctx, httpd.Actor(ctx), in.ID, version)
	return h.answer(ctx, a, err)
}

type handOverInput struct {
	Seen
	Body struct {
		DoctorID string `json:"doctorId" minLength:"1" maxLength:"20" doc:"Who takes over"`
	}
}

func (h handlers) serveHandOver(ctx context.Context, in *handOverInput) (*output, error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	a, err := h.svc.HandOver(ctx, httpd.Actor(ctx), in.ID, in.Body.DoctorID, version)
	return h.answer(ctx, a, err)
}
