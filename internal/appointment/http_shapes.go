package appointment

import (
	"time"

	"housecall/internal/auth"
)

// The shapes on the wire; each has a golden file.

type person struct {
	UserID         string `json:"userId"`
	Name           string `json:"name"`
	Specialization string `json:"specialization,omitempty"`
}

type doctorPerson struct {
	UserID         string `json:"userId"`
	Name           string `json:"name"`
	Specialization string `json:"specialization"`
}

type body struct {
	ID          string        `json:"id"`
	Status      Status        `json:"status" enum:"PENDING,BOOKED,REJECTED,CANCELLED,EXPIRED,COMPLETED,NO_SHOW"`
	Patient     person        `json:"patient"`
	Doctor      doctorPerson  `json:"doctor"`
	StartsAt    *time.Time    `json:"startsAt" doc:"null for a request without a time"`
	EndsAt      *time.Time    `json:"endsAt"`
	Proposal    *proposalBody `json:"proposal,omitempty" doc:"Another time that one side has proposed and the other has not answered; it is held meanwhile, and the appointment stands as it is"`
	Reason      string        `json:"reason" doc:"Given by the patient"`
	Note        string        `json:"note,omitempty" doc:"Given by the doctor at confirmation"`
	EndReason   string        `json:"endReason,omitempty" doc:"Why it was rejected or cancelled"`
	Summary     string        `json:"summary,omitempty" doc:"The doctor's summary; only for participants, and not in lists"`
	FollowUpOn  string        `json:"followUpOn,omitempty" format:"date" doc:"When the patient should come again"`
	Version     int           `json:"version"`
	CanReply    bool          `json:"canReply" doc:"Whether the conversation is open"`
	ReplyUntil  *time.Time    `json:"replyUntil,omitempty" doc:"When the conversation closes automatically"`
	WhyNot      string        `json:"whyNot,omitempty" doc:"Why the conversation is not open" enum:"pending,rejected,cancelled,expired,no_show,follow_up_over,closed_by_doctor,doctor_unavailable"`
	Unread      *int64        `json:"unread,omitempty" doc:"How many messages from the other participant you have not read; only for participants"`
	CompletedAt *time.Time    `json:"completedAt,omitempty"`
	CreatedAt   time.Time     `json:"createdAt"`
	UpdatedAt   time.Time     `json:"updatedAt"`
}

func bodyOf(v View) body {
	return body{
		ID: v.PublicID, Status: v.Status, Patient: person{UserID: v.Patient.UserID, Name: v.Patient.Name},
		Doctor:   doctorPerson{UserID: v.Doctor.UserID, Name: v.Doctor.Name, Specialization: v.Doctor.Specialization},
		StartsAt: v.StartsAt, EndsAt: v.EndsAt, Proposal: proposalBodyOf(v.Proposal), Reason: v.Reason,
		Note: v.Note, EndReason: v.EndReason, Version: v.Version,
		CanReply: v.CanReply, ReplyUntil: moment(v.ReplyUntil), WhyNot: v.WhyNot, Unread: v.Unread,
		FollowUpOn: date(v.FollowUpOn), CompletedAt: v.CompletedAt, CreatedAt: v.CreatedAt, UpdatedAt: v.UpdatedAt,
	}
}

// date formats a date; "" for nil.
func date(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format(time.DateOnly)
}

// SlotBody is a free slot in the doctor's zone and in UTC. Huma leaves the fields of an embedded type out of the schema
// unless its name is exported.
type SlotBody struct {
	StartsAt    time.Time `json:"startsAt" doc:"With the offset of the doctor's zone"`
	EndsAt      time.Time `json:"endsAt"`
	StartsAtUTC time.Time `json:"startsAtUtc"`
	EndsAtUTC   time.Time `json:"endsAtUtc"`
}

func slotBodyOf(s Slot) SlotBody {
	return SlotBody{StartsAt: s.StartsAt, EndsAt: s.EndsAt, StartsAtUTC: s.StartsAt.UTC(), EndsAtUTC: s.EndsAt.UTC()}
}

type doctorSlotBody struct {
	SlotBody
	Doctor   doctorPerson `json:"doctor"`
	TimeZone string       `json:"timeZone" doc:"IANA name of the doctor's zone"`
}

type holdBody struct {
	ID        string       `json:"id"`
	Doctor    doctorPerson `json:"doctor"`
	StartsAt  time.Time    `json:"startsAt"`
	EndsAt    time.Time    `json:"endsAt"`
	ExpiresAt time.Time    `json:"expiresAt"`
	Offer     bool         `json:"offer" doc:"Whether it came from a waiting list"`
}

func holdBodyOf(h Hold) holdBody {
	return holdBody{
		ID: h.ID, StartsAt: h.StartsAt, EndsAt: h.EndsAt, ExpiresAt: h.ExpiresAt, Offer: h.Offer,
		Doctor: doctorPerson{UserID: h.Doctor.UserID, Name: h.Doctor.Name, Specialization: h.Doctor.Specialization},
	}
}

type waitingBody struct {
	ID        string       `json:"id"`
	Doctor    doctorPerson `json:"doctor"`
	Patient   person       `json:"patient"`
	From      string       `json:"from" format:"date"`
	To        string       `json:"to" format:"date" doc:"Inclusive"`
	CreatedAt time.Time    `json:"createdAt"`
	Offer     *holdBody    `json:"offer,omitempty" doc:"The time currently held for the patient; book it with its id as holdId"`
}

func waitingBodyOf(w Waiting) waitingBody {
	b := waitingBody{
		ID: w.ID, Doctor: doctorPerson{UserID: w.Doctor.UserID, Name: w.Doctor.Name, Specialization: w.Doctor.Specialization},
		Patient: person{
			UserID: w.Patient.UserID, Name: w.Patient.Name,
		},
		From: date(&w.From), To: date(&w.To), CreatedAt: w.CreatedAt,
	}
	if w.Offer != nil {
		offer := holdBodyOf(*w.Offer)
		b.Offer = &offer
	}
	return b
}

type stepBody struct {
	Version    int        `json:"version"`
	At         time.Time  `json:"at"`
	Actor      *actorBody `json:"actor" doc:"null: the system"`
	Action     string     `json:"action"`
	FromStatus Status     `json:"fromStatus,omitempty"`
	ToStatus   Status     `json:"toStatus"`
	StartsAt   *time.Time `json:"startsAt"`
	EndsAt     *time.Time `json:"endsAt"`
	Reason     string     `json:"reason,omitempty"`

	ProposedStartsAt *time.Time `json:"proposedStartsAt,omitempty" doc:"The time that is proposed since this step"`
	ProposedEndsAt   *time.Time `json:"proposedEndsAt,omitempty"`
}

type actorBody struct {
	UserID string    `json:"userId,omitempty" doc:"Absent for an admin"`
	Name   string    `json:"name,omitempty"`
	Role   auth.Role `json:"role"`
}

func stepBodyOf(st Step) stepBody {
	b := stepBody{
		Version: st.Version, At: st.At, Action: st.Action, FromStatus: st.From, ToStatus: st.To,
		StartsAt: st.StartsAt, EndsAt: st.EndsAt, Reason: st.Reason,
		ProposedStartsAt: st.ProposedStartsAt, ProposedEndsAt: st.ProposedEndsAt,
	}
	if st.Actor.Role != "" {
		b.Actor = &actorBody{UserID: st.Actor.UserID, Name: st.Actor.Name, Role: st.Actor.Role}
	}
	return b
}
