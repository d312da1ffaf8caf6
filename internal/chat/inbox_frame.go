package chat

import "time"

func (st standing) unreadItem() UnreadItem {
	item := UnreadItem{
		AppointmentID: st.PublicID, Unread: st.Unread, HeadSeq: st.HeadSeq, ReadSeq: st.ReadSeq, From: st.other(),
	}
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
		With: n.other(), CanReply: n.canReply, WhyNot: n.whyNot.Value(),
		Appointment: AppointmentState{
			ID: n.PublicID, Status: n.Status, StartsAt: utc(n.StartsAt), EndsAt: utc(n.EndsAt), Version: n.Version,
		},
	}
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}
