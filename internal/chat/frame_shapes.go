package chat

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"housecall/internal/conversation"
)

// Person is a participant in frames.
type Person struct {
	UserID string `json:"userId"`
	Role   string `json:"role"`
	Name   string `json:"name"`
}

// Participant is a person with their state in this conversation. Online is null while it is unknown.
type Participant struct {
	Person
	Online       *bool `json:"online"`
	DeliveredSeq int64 `json:"deliveredSeq"`
	ReadSeq      int64 `json:"readSeq"`
}

// AppointmentState is the appointment in frames.
type AppointmentState struct {
	ID       string     `json:"id"`
	Status   string     `json:"status"`
	StartsAt *time.Time `json:"startsAt,omitempty"`
	EndsAt   *time.Time `json:"endsAt,omitempty"`
	Version  int        `json:"version"`
}

// Limits tell a client what it may send.
type Limits struct {
	MessageChars      int `json:"messageChars"`
	FrameBytes        int `json:"frameBytes"`
	PerSecond         int `json:"perSecond"`       // messages from one connection, sustained
	UserPerSecond     int `json:"userPerSecond"`   // messages from one user
	RoomPerSecond     int `json:"roomPerSecond"`   // messages in one conversation
	FramesPerSecond   int `json:"framesPerSecond"` // of any kind, from one connection
	SocketsPerUser    int `json:"socketsPerUser"`
	SocketsPerAddress int `json:"socketsPerAddress"`
}

// The shapes of the server's frames, without the type, which encode writes first. Field order is wire order.
// eventFrame and ackFrame describe what encodeEvent and encodeAck write by hand.
type (
	helloFrame struct {
		Connection       string           `json:"connection"`
		You              Person           `json:"you"`
		Appointment      AppointmentState `json:"appointment"`
		Participants     []Participant    `json:"participants"`
		HeadSeq          int64            `json:"headSeq"`
		Epoch            string           `json:"epoch"`
		CanReply         bool             `json:"canReply"`
		WhyNot           string           `json:"whyNot,omitempty"`
		Limits           Limits           `json:"limits"`
		HeartbeatSeconds int              `json:"heartbeatSeconds"`
		Notice           string           `json:"notice"`
	}
	appointmentFrame struct {
		Appointment AppointmentState `json:"appointment"`
		CanReply    bool             `json:"canReply"`
		WhyNot      string           `json:"whyNot,omitempty"`
	}
	eventFrame struct {
		Seq         int64                    `json:"seq"`
		Kind        conversation.Kind        `json:"kind"`
		ClientID    *uuid.UUID               `json:"clientId,omitempty"`
		Sender      string                   `json:"sender,omitempty"`
		Text        *string                  `json:"text,omitempty"`
		Target      int64                    `json:"target,omitempty"`
		Attachment  *conversation.Attachment `json:"attachment,omitempty"`
		Retracted   bool                     `json:"retracted,omitempty"`
		CorrectedBy int64                    `json:"correctedBy,omitempty"`
		At          time.Time                `json:"at"`
	}
	ackFrame struct {
		ClientID  string    `json:"clientId"`
		Seq       int64     `json:"seq"`
		At        time.Time `json:"at"`
		Duplicate bool      `json:"duplicate,omitempty"`
	}
	nackFrame struct {
		ClientID string `json:"clientId"`
		Code     string `json:"code"`
		Detail   string `json:"detail"`
		Retry    string `json:"retry"`
	}
	errorFrame struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	liveFrame struct {
		HeadSeq int64 `json:"headSeq"`
	}
	resetFrame struct {
		HeadSeq int64  `json:"headSeq"`
		Reason  string `json:"reason"`
	}
	receiptFrame struct {
		UserID       string `json:"userId"`
		DeliveredSeq int64  `json:"deliveredSeq"`
		ReadSeq      int64  `json:"readSeq"`
	}
	typingFrame struct {
		UserID string `json:"userId"`
		Active bool   `json:"active"`
	}
	presenceFrame struct {
		UserID string `json:"userId"`
		Online *bool  `json:"online"`
	}
	authOkFrame struct {
		ExpiresAt time.Time `json:"expiresAt"`
	}
	authExpiringFrame struct {
		At time.Time `json:"at"`
	}
	pongFrame struct {
		ID json.RawMessage `json:"id,omitempty"`
	}
	byeFrame struct {
		Code             closeCode `json:"code"`
		Reason           string    `json:"reason"`
		ReconnectAfterMs int64     `json:"reconnectAfterMs"`
	}
)

// UnreadItem is a conversation in which something is unread, as lists and frames show it: how much is unread, how far
// the log goes, when it last grew, and who the other participant is.
type UnreadItem struct {
	AppointmentID string    `json:"appointmentId"`
	Unread        int64     `json:"unread" doc:"The other participant's messages after readSeq, not counting retracted ones."`
	HeadSeq       int64     `json:"headSeq" doc:"The last seq of the conversation."`
	ReadSeq       int64     `json:"readSeq"`
	From          Person    `json:"from" doc:"The other participant."`
	At            time.Time `json:"at" doc:"When the conversation last grew."`
}

// The shapes of an inbox's frames.
type (
	inboxHelloFrame struct {
		Connection       string       `json:"connection"`
		You              Person       `json:"you"`
		Unread           []UnreadItem `json:"unread"`
		Total            int64        `json:"total"`
		More             bool         `json:"more,omitempty"`
		Limits           Limits       `json:"limits"`
		HeartbeatSeconds int          `json:"heartbeatSeconds"`
	}
	unreadFrame struct {
		UnreadItem
		Total int64 `json:"total"`
	}
	inboxAppointmentFrame struct {
		Appointment AppointmentState `json:"appointment"`
		With        Person           `json:"with"`
		CanReply    bool             `json:"canReply"`
		WhyNot      string           `json:"whyNot,omitempty"`
	}
	goneFrame struct {
		AppointmentID string `json:"appointmentId"`
		Total         int64  `json:"total"`
	}
)
