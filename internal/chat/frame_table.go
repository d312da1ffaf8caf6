package chat

import (
	"reflect"

	"housecall/internal/conversation"
)

// clientFrame is a type of frame that clients send: how to decode it, who may send it and what it does. A test
// compares asyncapi.json with the table below.
type clientFrame struct {
	kind string
	// read copies the fields of this type, or returns the name of the first one that is missing or not valid.
	read func(w *clientFields, in *Inbound) (missing string)
	// drafts is set for frames that ask for an event; the answer is an ack or a nack.
	drafts bool
	// serve does what the frame asks for in a conversation. Its sender is a participant.
	serve func(sub *subscription, in Inbound)
	// onConnection is set instead of serve for frames about the connection itself, so it also works for inboxes.
	onConnection func(s *Service, c *conn, in Inbound)
}

var clientFrames = []clientFrame{
	{kind: "send", read: readSend, drafts: true, serve: drafting(conversation.KindText)},
	{kind: "retract", read: readRetract, drafts: true, serve: drafting(conversation.KindRetraction)},
	{kind: "correct", read: readCorrect, drafts: true, serve: drafting(conversation.KindCorrection)},
	{kind: "delivered", read: readUpTo, serve: (*subscription).delivered},
	{kind: "read", read: readUpTo, serve: (*subscription).read},
	{kind: "typing", read: readTyping, serve: (*subscription).typing},
	{kind: "auth", read: readAuth, onConnection: (*Service).renew},
	{kind: "ping", read: readPing, onConnection: (*Service).pong},
}

// clientFrameOf returns the row of a type; nil if there is none.
func clientFrameOf(kind string) *clientFrame {
	for i := range clientFrames {
		if clientFrames[i].kind == kind {
			return &clientFrames[i]
		}
	}
	return nil
}

// serverFrame is a type of frame that the server sends. encode takes the type from the table below. A test compares
// asyncapi.json with the table and the shapes.
type serverFrame struct {
	kind  string
	name  string // in asyncapi.json, where two frames of one type have different names
	shape any    // all fields except type
}

var serverFrames = []serverFrame{
	{"hello", "hello", helloFrame{}},
	{"event", "event", eventFrame{}},
	{"ack", "ack", ackFrame{}},
	{"nack", "nack", nackFrame{}},
	{"live", "live", liveFrame{}},
	{"reset", "reset", resetFrame{}},
	{"receipt", "receipt", receiptFrame{}},
	{"typing", "typing", typingFrame{}},
	{"presence", "presence", presenceFrame{}},
	{"appointment", "appointment", appointmentFrame{}},
	{"authExpiring", "authExpiring", authExpiringFrame{}},
	{"authOk", "authOk", authOkFrame{}},
	{"pong", "pong", pongFrame{}},
	{"error", "error", errorFrame{}},
	{"bye", "bye", byeFrame{}},
	{"hello", "inboxHello", inboxHelloFrame{}},
	{"unread", "unread", unreadFrame{}},
	{"appointment", "inboxAppointment", inboxAppointmentFrame{}},
	{"gone", "gone", goneFrame{}},
}

// kindOf returns the type for a shape.
var kindOf = func() map[reflect.Type]string {
	out := make(map[reflect.Type]string, len(serverFrames))
	for _, f := range serverFrames {
		out[reflect.TypeOf(f.shape)] = f.kind
	}
	return out
}()

// drafting submits frames as drafts of a kind; a message that has an attachment is of that kind instead.
func drafting(kind conversation.Kind) func(sub *subscription, in Inbound) {
	return func(sub *subscription, in Inbound) {
		d := conversation.Draft{
			Conversation: sub.id, Sender: *sub.conn.actor.Load(), ClientID: in.ClientID, Kind: kind, Text: in.Text,
			Target: in.Target, Attachment: in.AttachmentID,
		}
		if d.Attachment != [16]byte{} {
			d.Kind = conversation.KindAttachment
		}
		sub.draft(in.Echo, d)
	}
}
