package appointment

import (
	"context"
	"net/http"
	"time"

	"housecall/internal/auth"
	"housecall/internal/httpd"
)

// proposalRoutes adds the routes for making and answering proposals of another time. The patient of a booked
// appointment makes one with reschedule, and its doctor accepts it with confirm.
func proposalRoutes(s *httpd.Server, h handlers) {
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/propose", Tag: tag,
		Summary: "Answer an expired request with another time",
		Description: "Allowed for its doctor and admins, for a week after the request expired (`too_late_to_answer`). The " +
			"time is one that `confirm` would take. It is held until the patient answers, for a week at most and not " +
			"beyond its start; `answerBy` says when it lapses. Another proposal replaces it.",
		Access: httpd.Only(auth.Doctor, auth.Admin), Errors: refusals,
	}, h.servePropose)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/accept", Tag: tag, Summary: "Accept the time the doctor proposed",
		Description: "For the patient, or for admins on their behalf. The appointment is then booked. `proposal_lapsed` " +
			"after its deadline.",
		Access: httpd.SignedIn, Errors: refusals,
	}, h.serveAccept)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/decline", Tag: tag, Summary: "Decline the proposed time",
		Description: "For the side that did not propose it, and for admins. The appointment stays as it is. Patients may " +
			"leave out the reason. For the doctor, `reject` does the same.",
		Access: httpd.SignedIn, Errors: refusals,
	}, h.serveDecline)
	httpd.Register(s, httpd.Route{
		Method: http.MethodPost, Path: "/appointments/{id}/withdraw", Tag: tag, Summary: "Withdraw the proposed time",
		Description: "For the side that proposed it. The appointment stays as it is.",
		Access:      httpd.SignedIn, Errors: refusals,
	}, h.serveWithdraw)
}

type proposalBody struct {
	StartsAt time.Time `json:"startsAt"`
	EndsAt   time.Time `json:"endsAt"`
	By       auth.Role `json:"by" enum:"PATIENT,DOCTOR" doc:"Who proposed it; the other side answers"`
	AnswerBy time.Time `json:"answerBy" doc:"When it lapses"`
}

// proposalBodyOf is nil without a proposal.
func proposalBodyOf(p *Proposal) *proposalBody {
	if p == nil {
		return nil
	}
	b := &proposalBody{StartsAt: p.StartsAt, EndsAt: p.EndsAt, By: auth.Doctor, AnswerBy: p.AnswerBy}
	if p.ByPatient() {
		b.By = auth.Patient
	}
	return b
}

type proposeInput struct {
	Seen
	Body struct {
		StartsAt time.Time `json:"startsAt"`
		Note     string    `json:"note,omitempty" maxLength:"1000" doc:"For the patient"`
	}
}

func (h handlers) servePropose(ctx context.Context, in *proposeInput) (*output, error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	a, err := h.svc.Propose(ctx, httpd.Actor(ctx), in.ID,
		LateAnswer{StartsAt: in.Body.StartsAt, Note: in.Body.Note, Version: version})
	return h.answer(ctx, a, err)
}

func (h handlers) serveAccept(ctx context.Context, in *seenInput) (*output, error) {
	return h.seen(ctx, in, h.svc.Accept)
}

func (h handlers) serveDecline(ctx context.Context, in *endInput) (*output, error) {
	return h.end(ctx, in, h.svc.Decline)
}

func (h handlers) serveWithdraw(ctx context.Context, in *seenInput) (*output, error) {
	return h.seen(ctx, in, h.svc.Withdraw)
}
