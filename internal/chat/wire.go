package chat

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"unicode/utf8"

	"housecall/internal/wirejson"

	"github.com/google/uuid"

	"housecall/internal/conversation"
	"housecall/internal/errs"
)

// wire is one whole WebSocket frame as a server sends it (RFC 6455, 5.2: final, unmasked). An event is encoded once,
// and the same bytes go to every connection, here and, over the bus, on other instances.
type wire []byte

const (
	opText  = 0x81
	opClose = 0x88
	opPing  = 0x89
	opPong  = 0x8A
	// wireHeader is the length of the longest header: frames never need 64-bit lengths.
	wireHeader = 4
)

// seal puts the header before the payload. buf holds wireHeader spare bytes, then the payload.
func seal(op byte, buf []byte) wire {
	n := len(buf) - wireHeader
	if n < 126 {
		buf[2], buf[3] = op, byte(n)
		return wire(buf[2:])
	}
	buf[0], buf[1] = op, 126
	binary.BigEndian.PutUint16(buf[2:], uint16(n))
	return wire(buf)
}

// encode makes a text frame from one of the shapes in serverFrames; events and acks have encoders of their own. Its
// type comes first.
func encode(shape any) wire {
	kind := kindOf[reflect.TypeOf(shape)]
	body, err := wirejson.Marshal(shape)
	if err != nil || kind == "" {
		panic(fmt.Sprintf("chat: a frame cannot be encoded: %T, %v", shape, err)) // the set of shapes is closed and tested
	}
	buf := make([]byte, wireHeader, wireHeader+len(kind)+len(body)+12)
	buf = append(append(append(buf, `{"type":"`...), kind...), '"')
	if len(body) > len(`{}`) {
		buf = append(buf, ',')
	}
	return seal(opText, append(buf, body[1:]...))
}

// encodeClose makes a close frame (RFC 6455, 5.5.1); the reason is cut to fit.
func encodeClose(code closeCode, reason string) wire {
	if len(reason) > 120 {
		reason = reason[:120]
	}
	buf := make([]byte, wireHeader, wireHeader+2+len(reason))
	buf = binary.BigEndian.AppendUint16(buf, uint16(code))
	return seal(opClose, append(buf, reason...))
}

// encodeEvent is written by hand for speed: it runs for every message.
func encodeEvent(e conversation.Event) wire {
	buf := make([]byte, wireHeader, wireHeader+170+len(e.Text)+len(e.Text)/8)
	buf = append(buf, `{"type":"event","seq":`...)
	buf = strconv.AppendInt(buf, e.Seq, 10)
	buf = append(buf, `,"kind":"`...)
	buf = append(buf, e.Kind...)
	buf = append(buf, '"')
	if e.ClientID != uuid.Nil {
		buf = append(buf, `,"clientId":"`...)
		buf = appendUUID(buf, e.ClientID)
		buf = append(buf, '"')
	}
	if e.Sender != "" {
		buf = append(buf, `,"sender":"`...)
		buf = append(buf, e.Sender...)
		buf = append(buf, '"')
	}
	if e.HasText() {
		buf = append(buf, `,"text":`...)
		buf = appendString(buf, e.Text)
	}
	if e.Kind != conversation.KindText && e.Kind != conversation.KindSystem || e.Retracted || e.CorrectedBy != 0 {
		buf = appendRare(buf, e)
	}
	buf = append(buf, `,"at":"`...)
	buf = wirejson.AppendTime(buf, e.At)
	return seal(opText, append(buf, '"', '}'))
}

// appendRare adds the fields that most events lack.
func appendRare(buf []byte, e conversation.Event) []byte {
	if e.Target != 0 {
		buf = append(buf, `,"target":`...)
		buf = strconv.AppendInt(buf, e.Target, 10)
	}
	if e.Attachment != nil {
		file, err := json.Marshal(e.Attachment)
		if err != nil {
			panic("chat: an attachment does not marshal: " + err.Error()) // it has only strings and numbers
		}
		buf = append(append(buf, `,"attachment":`...), file...)
	}
	if e.Retracted {
		buf = append(buf, `,"retracted":true`...)
	}
	if e.CorrectedBy != 0 {
		buf = append(buf, `,"correctedBy":`...)
		buf = strconv.AppendInt(buf, e.CorrectedBy, 10)
	}
	return buf
}

// encodeAck is written by hand for the same reason.
func encodeAck(clientID string, a conversation.Ack) wire {
	buf := make([]byte, wireHeader, wireHeader+140)
	buf = append(buf, `{"type":"ack","clientId":"`...)
	buf = append(buf, clientID...) // a valid UUID: nothing to escape
	buf = append(buf, `","seq":`...)
	buf = strconv.AppendInt(buf, a.Seq, 10)
	buf = append(buf, `,"at":"`...)
	buf = wirejson.AppendTime(buf, a.At)
	buf = append(buf, '"')
	if a.Duplicate {
		buf = append(buf, `,"duplicate":true`...)
	}
	return seal(opText, append(buf, '}'))
}

// encodeNack turns an error into a nack, which says whether the client may try again later.
func encodeNack(clientID string, err error) wire {
	f := nackFrame{
		ClientID: clientID, Code: conversation.ErrUnavailable.Code, Detail: conversation.ErrUnavailable.Message,
		Retry: "later",
	}
	var e *errs.Error
	if errors.As(err, &e) && e.Kind != errs.Internal {
		f.Code, f.Detail = e.Code, e.Message
		if e.Kind != errs.Unavailable && e.Kind != errs.RateLimited {
			f.Retry = "never"
		}
	}
	return encode(f)
}

func appendUUID(buf []byte, id uuid.UUID) []byte {
	const hex = "0123456789abcdef"
	for i, b := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			buf = append(buf, '-')
		}
		buf = append(buf, hex[b>>4], hex[b&15])
	}
	return buf
}

// appendString writes a JSON string (RFC 8259 section 7). U+2028 and U+2029 are escaped too, so that the frame is
// also valid JavaScript.
func appendString(buf []byte, s string) []byte {
	const hex = "0123456789abcdef"
	buf = append(buf, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			buf = append(buf, s[start:i]...)
			switch c {
			case '"', '\\':
				buf = append(buf, '\\', c)
			case '\n':
				buf = append(buf, '\\', 'n')
			case '\t':
				buf = append(buf, '\\', 't')
			case '\r':
				buf = append(buf, '\\', 'r')
			default:
				buf = append(buf, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == '\u2028' || r == '\u2029' {
			buf = append(buf, s[start:i]...)
			buf = append(buf, '\\', 'u', '2', '0', '2', hex[r&15])
			start = i + size
		}
		i += size
	}
	buf = append(buf, s[start:]...)
	return append(buf, '"')
}
