package appointment

import (
	"context"
	"net/http"
	"time"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
)

// refusals are the errors of a move.
var refusals = []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed}

func moveRoutes(s *httpd.Server, h handlers) {
	requestRoutes(s, h)
	changeRoutes(s, h)
	proposalRoutes(s, h)
	outcomeRoutes(s, h)
}

// requestRoutes adds the routes for making and answering requests.
func requestRoutes(s *httpd.Server, h handlers) {
	staff := httpd.Only(auth.Doctor, auth.Admin)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments", Tag: tag,
		Summary: "Request an appointment",
		Description: "Patients book for themselves, doctors book their patients with themselves, and admins book for " +
			"anyone. From then on the time is held. With `specialization` instead of `doctorId`, the doctor with " +
			"the fewest appointments on that day is chosen. `slot_taken`, `slot_day_full`, `patient_busy` and " +
			"broken booking rules come with `alternatives`. A request that comes twice makes one appointment: within a " +
			"minute, or while one without a time is pending, the second gets the first one's answer (equal are " +
			"requests of the same user with the same patient, doctor, time or hold, and reason); later, or with " +
			"another reason, a time that is already the patient's own is refused as `already_booked`, with the " +
			"appointment's id as `appointment`.",
		Status: http.StatusCreated, Access: httpd.SignedIn,
		Errors: []int{http.StatusForbidden, http.StatusNotFound, http.StatusConflict},
	}, h.serveBook)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/confirm", Tag: tag, Summary: "Confirm a request",
		Description: "Allowed for its doctor and admins. Of a booked appointment it accepts the other time for which the " +
			"patient asked (`proposal`). `startsAt` is required for a request without a time. It may be " +
			"off the doctor's grid, but must be a whole minute within the booking horizon and must not overlap " +
			"anything.",
		Access: staff,
		Errors: refusals,
	}, h.serveConfirm)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/reject", Tag: tag, Summary: "Decline a request", Access: staff,
		Description: "Of a booked appointment it declines the other time for which the patient asked, as `decline` does.",
		Errors:      refusals,
	}, h.serveReject)
}

// changeRoutes adds the routes for cancelling, moving and handing over appointments.
func changeRoutes(s *httpd.Server, h handlers) {
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/cancel", Tag: tag,
		Summary: "Cancel a request or an appointment",
		Description: "Patients may leave out the reason. Shortly before the start, only the doctor and admins can cancel " +
			"(`too_late`).",
		Access: httpd.SignedIn,
		Errors: refusals,
	}, h.serveCancel)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/reschedule", Tag: tag, Summary: "Reschedule an appointment",
		Description: "It stays the same appointment, with its conversation. A patient chooses a free slot, with the same " +
			"deadline as for `cancel`. A booked appointment then keeps its time, and the other one is held as its " +
			"`proposal`, until the doctor has answered it; nobody has to answer if the doctor's rules confirm " +
			"automatically. The doctor and admins may choose any time that `confirm` accepts.",
		Access: httpd.SignedIn, Errors: refusals,
	}, h.serveReschedule)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/hand-over", Tag: tag,
		Summary: "Hand an appointment over to another doctor",
		Description: "Admins only. The conversation goes with it. The time stays the same, and the other doctor must be " +
			"free then.",
		Access: httpd.Only(auth.Admin),
		Errors: refusals,
	}, h.serveHandOver)
}

// outcomeRoutes adds the routes for the outcome of an appointment.
func outcomeRoutes(s *httpd.Server, h handlers) {
	staff := httpd.Only(auth.Doctor, auth.Admin)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/complete", Tag: tag, Summary: "Mark an appointment as completed",
		Description: "Allowed for its doctor and admins, not before its start (`not_begun`).",
		Access:      staff, Errors: refusals,
	}, h.serveComplete)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/no-show", Tag: tag, Summary: "Mark an appointment as a no-show",
		Description: "Allowed for its doctor and admins, not before its start (`not_begun`).",
		Access:      staff, Errors: refusals,
	}, h.serveNoShow)
}

type bookInput struct {
	Body struct {
		DoctorID       string     `json:"doctorId,omitempty" maxLength:"20" doc:"Doctors may leave it out: they book with themselves"`
		Specialization string     `json:"specialization,omitempty" maxLength:"200" doc:"Instead of doctorId: any doctor with this specialization; needs startsAt"`
		HoldID         string     `json:"holdId,omitempty" maxLength:"40" doc:"One of the patient's holds, instead of doctorId and startsAt"`
		StartsAt       *time.Time `json:"startsAt,omitempty" doc:"Start of a free slot; without it the doctor sets the time"`
		Reason         string     `json:"reason" maxLength:"1000"`
		PatientID      string     `json:"patientId,omitempty" maxLength:"20" doc:"The patient the appointment is for; patients leave it out"`
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

// Seen is an appointment and the version of it that the client saw. It is exported because Huma cannot see unexported
// embedded types.
type Seen struct {
	ID      string `path:"id" maxLength:"20"`
	IfMatch string `header:"If-Match" maxLength:"40" doc:"Optional: the ETag last seen; 412 if it is stale"`
}

// version returns the version in If-Match; 0 without one.
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
		Reason string `json:"reason,omitempty" maxLength:"500" doc:"Shown to the other side"`
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
		Summary    string `json:"summary" maxLength:"4000" doc:"What happened; visible only to the patient and the doctor"`
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
	return h.seen(ctx, in, h.svc.NoShow)
}

// seen makes a move of which there is nothing to say.
func (h handlers) seen(
	ctx context.Context, in *seenInput, move func(context.Context, auth.Actor, string, int) (Appointment, error),
) (*output, error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	a, err := move(ctx, httpd.Actor(ctx), in.ID, version)
	return h.answer(ctx, a, err)
}

type handOverInput struct {
	Seen
	Body struct {
		DoctorID string `json:"doctorId" minLength:"1" maxLength:"20" doc:"The doctor who takes over"`
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
