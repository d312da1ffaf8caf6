package hms

import (
	"errors"
	"net/http"
	"slices"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/conversation"
	"housecall/internal/errs"
)

// messageBody is a message; ID is its seq.
type messageBody struct {
	ID            int64  `json:"id"`
	AppointmentID string `json:"appointmentId"`
	SenderID      string `json:"senderId"`
	ReceiverID    string `json:"receiverId"`
	Message       string `json:"message"`
	CreatedAt     string `json:"createdAt"`
}

// other returns the other participant.
func other(a appointment.Appointment, userID string) string {
	if userID == a.Patient.UserID {
		return a.Doctor.UserID
	}
	return a.Patient.UserID
}

func messageOf(a appointment.Appointment, e conversation.Event) messageBody {
	return messageBody{
		ID: e.Seq, AppointmentID: a.PublicID, SenderID: e.Sender, ReceiverID: other(a, e.Sender), Message: wordsOf(e),
		CreatedAt: moment(e.At),
	}
}

// wordsOf returns a message as text, since the pages know nothing else.
func wordsOf(e conversation.Event) string {
	if e.Attachment != nil {
		return "[file: " + e.Attachment.Name + "]"
	}
	return e.Text
}

// isMessage reports whether an event is a message that people sent and have not retracted.
func isMessage(e conversation.Event) bool {
	return (e.Kind == conversation.KindText || e.Kind == conversation.KindAttachment) && !e.Retracted
}

func (a api) sendMessage(c *fiber.Ctx, by auth.Actor) error {
	f, err := read(c)
	if err != nil {
		return err
	}
	appointmentID, receiver, message := f.required("appointmentId"), f.required("receiverId"), f.required("message")
	if err := f.err(); err != nil {
		return err
	}
	r, err := a.Conversations.TakesPart(c.UserContext(), by, appointmentID)
	if err != nil {
		return err
	}
	app := r.Appointment()
	if receiver != other(app, by.UserID) {
		return errs.InvalidField("receiverId", "must be the other participant of the appointment")
	}
	// The older pages send each message once; if the same text comes again, it is a new message.
	ack, err := a.Conversations.Send(c.UserContext(), conversation.Draft{
		Conversation: r.Conversation(), Sender: by, ClientID: uuid.New(), Kind: conversation.KindText, Text: message,
	})
	if errors.Is(err, conversation.ErrClosed) {
		return errs.New(errs.Forbidden, conversation.ErrClosed.Code, conversation.ErrClosed.Message)
	}
	if err != nil {
		return err
	}
	sent := conversation.Event{Seq: ack.Seq, Sender: by.UserID, Text: message, At: ack.At}
	return answer(c, http.StatusCreated, "Message Sent Successfully", "chat", messageOf(app, sent))
}

// getMessages answers with the newest listMost messages that people sent, in their current form. It leaves out system
// events, since the older pages learn of such changes from the appointment. Fetched messages count as read: the pages
// show them at once, and have no other way to say so.
func (a api) getMessages(c *fiber.Ctx, by auth.Actor) error {
	r, err := a.Conversations.TakesPart(c.UserContext(), by, c.Params("appointmentId"))
	if err != nil {
		return err
	}
	found := []messageBody{}
	before := int64(0)
	for range listMost / pageSize {
		page, head, err := a.Conversations.History(c.UserContext(), r,
			conversation.Page{After: -1, Before: before, Limit: pageSize})
		if err != nil {
			return err
		}
		if before == 0 {
			a.Chat.MarkRead(r, head)
		}
		for _, e := range slices.Backward(page) {
			if isMessage(e) {
				found = append(found, messageOf(r.Appointment(), e))
			}
		}
		if len(page) < pageSize || page[0].Seq == 1 {
			break
		}
		before = page[0].Seq
	}
	slices.Reverse(found)
	return answer(c, http.StatusOK, "Chat history fetched Successfully", "chat", found)
}
