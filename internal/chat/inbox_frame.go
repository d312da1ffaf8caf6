package chat

import "time"

// UnreadItem is a conversation in which something is unread, as lists and frames show it: how much, how far the log goes, when it
// last grew, and who the other one is.
type UnreadItem struct {
	AppointmentID string    `json:"appointmentId"`
	Unread        int64     `json:"unread" doc:"Others' messages and files after readSeq that were not taken back."`
	HeadSeq       int64     `json:"headSeq" doc:"The last seq of the conversation."`
	ReadSeq       int64     `json:"readSeq"`
	From          Person    `json:"from" doc:"The other participant."`
	At            time.Time `json:"at" doc:"When the conversation last grew."`
}

// The frames of an inbox. Field order is wire order: type first.
type (
	inboxHelloFrame struct {
		Type             string       `json:"type"`
		Connection       string       `json:"connection"`
		You              Person       `json:"you"`
		Unread           []UnreadItem `json:"unread"`
		Total            int64        `json:"total"`
		More             bool         `json:"more,omitempty"`
		Limits           Limits       `json:"limits"`
		HeartbeatSeconds int          `json:"heartbeatSeconds"`
	}
	unreadFrame struct {
		Type string `json:"type"`
		UnreadItem
		Total int64 `json:"total"`
	}
	inboxAppointmentFrame struct {
		Type        string           `json:"type"`
		Appointment AppointmentState `json:"appointment"`
		With        Person           `json:"with"`
		CanReply    bool             `json:"canReply"`
		WhyNot      string           `json:"whyNot,omitempty"`
	}
	goneFrame struct {
		Type          string `json:"type"`
		AppointmentID string `json:"appointmentId"`
		Total         int64  `json:"total"`
	}
)

func (st standing) item() UnreadItem {
	item := UnreadItem{AppointmentID: st.PublicID, Unread: st.Unread, HeadSeq: st.HeadSeq, ReadSeq: st.ReadSeq, From: st.other()}
	if st.At != nil {
		item.At = st.At.UTC()
	}
	return item
}

func (st standing) other() Person {
	return Person{UserID: st.OtherID, Role: st.OtherRole, Name: st.OtherName}
}

func (n news) appointmentFrame() inboxAppointmentFrame {
	return inboxAppointmentFrame{
		Type: "appointment", With: n.other(), CanReply: n.canReply, WhyNot: n.whyNot.Value(),
		Appointment: AppointmentState{ID: n.PublicID, Status: n.Status, StartsAt: utc(n.StartsAt), EndsAt: utc(n.EndsAt), Version: n.Version},
	}
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}
