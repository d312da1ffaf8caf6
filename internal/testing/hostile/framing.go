package hostile

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"
)

// Opcodes of RFC 6455, 11.8.
const (
	opContinue = 0x0
	opText     = 0x1
	opBinary   = 0x2
	opClose    = 0x8
	opPing     = 0x9
	opPong     = 0xA
)

const (
	final  = 0x80
	masked = 0x80
)

// frame returns a whole client frame as RFC 6455 requires; first is final, reserved bits and opcode.
func frame(first byte, payload []byte) []byte {
	return append(header(first, uint64(len(payload)), true), mask(payload)...)
}

var key = []byte{0x37, 0xfa, 0x21, 0x3d}

// header returns the header of a frame.
func header(first byte, length uint64, withMask bool) []byte {
	out, m := []byte{first}, byte(0)
	if withMask {
		m = masked
	}
	switch {
	case length < 126:
		out = append(out, m|byte(length))
	case length < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, m|126), uint16(length))
	default:
		out = binary.BigEndian.AppendUint64(append(out, m|127), length)
	}
	if withMask {
		out = append(out, key...)
	}
	return out
}

func mask(payload []byte) []byte {
	out := bytes.Clone(payload)
	for i := range out {
		out[i] ^= key[i%4]
	}
	return out
}

// join concatenates frames.
func join(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

var ping = []byte(`{"type":"ping"}`)

// breaches are breaches of RFC 6455, and some frames that are nearly one.
var breaches = map[string][]byte{
	"a reserved opcode": frame(final|0x3, ping), "a reserved control opcode": frame(final|0xB, nil),
	"a reserved bit": frame(final|0x40|opText, ping),
	"compressed": frame(final|0x40|opText,
		[]byte{0xaa, 0x56, 0x2a, 0xa9, 0x2c, 0x48, 0x55, 0xb2, 0x52, 0x2a, 0xc8, 0xcc, 0x4b, 0x57, 0xaa, 0x05, 0x00}),
	"all reserved bits":          frame(final|0x70|opText, ping),
	"not masked":                 append(header(final|opText, uint64(len(ping)), false), ping...),
	"binary":                     frame(final|opBinary, ping),
	"a continuation of nothing":  frame(final|opContinue, ping),
	"a message inside a message": join(frame(opText, ping[:5]), frame(final|opText, ping)),
	"a ping inside a message": join(frame(opText, ping[:5]), frame(final|opPing, nil),
		frame(final|opContinue, ping[5:])),
	"many empty fragments": join(frame(opText, nil), bytes.Repeat(frame(opContinue, nil), 2000),
		frame(final|opContinue, ping)),
	"one byte a fragment":         fragments(ping),
	"a fragmented ping":           join(frame(opPing, []byte("a")), frame(final|opContinue, []byte("b"))),
	"a ping too long":             frame(final|opPing, make([]byte, 126)),
	"a ping of 64 KiB":            frame(final|opPing, make([]byte, 1<<16)),
	"the longest ping":            frame(final|opPing, make([]byte, 125)),
	"pongs nobody asked for":      bytes.Repeat(frame(final|opPong, []byte("?")), 50),
	"a close of one byte":         frame(final|opClose, []byte{3}),
	"a close without a code":      frame(final|opClose, nil),
	"a close with a strange code": frame(final|opClose, []byte{0, 1}),
	"a close with a code of ours": frame(final|opClose, binary.BigEndian.AppendUint16(nil, 4401)),
	"a close not in UTF-8":        frame(final|opClose, append(binary.BigEndian.AppendUint16(nil, 1000), 0xff, 0xfe)),
	"more after a close": join(frame(final|opClose, binary.BigEndian.AppendUint16(nil, 1000)),
		bytes.Repeat(frame(final|opText, ping), 20)),
	"a length without end": header(final|opText, 1<<62, true), "a negative length": header(final|opText, 1<<63|5, true),
	"a length padded": append(
		append([]byte{final | opText, masked | 127}, binary.BigEndian.AppendUint64(nil, uint64(len(ping)))...),
		append(bytes.Clone(key), mask(ping)...)...),
	"too large": frame(final|opText, bytes.Repeat([]byte(" "), 1<<16+1)),
	"too large in fragments": join(frame(opText, make([]byte, 1<<15)), frame(opContinue, make([]byte, 1<<15)),
		frame(final|opContinue, make([]byte, 1<<15))),
	"an empty text":     frame(final|opText, nil),
	"text not in UTF-8": frame(final|opText, []byte("{\"type\":\"ping\",\"id\":\"\xff\"}")),
	"a character cut in two": join(frame(opText, []byte("{\"type\":\"ping\",\"id\":\"\xc3")),
		frame(final|opContinue, []byte("\xbc\"}"))),
	"half a header": {final}, "half a frame": frame(final|opText, ping)[:9],
	"another HTTP request": []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
	"a TLS greeting":       []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), "zeros": make([]byte, 4096),
	"ones": bytes.Repeat([]byte{0xff}, 4096),
}

func fragments(text []byte) []byte {
	out := [][]byte{frame(opText, text[:1])}
	for _, b := range text[1 : len(text)-1] {
		out = append(out, frame(opContinue, []byte{b}))
	}
	return join(append(out, frame(final|opContinue, text[len(text)-1:]))...)
}

// breachNames gives them an order, for the random choice.
var breachNames = sorted(breaches)

// Breach returns a random breach, or noise.
func Breach(r *rand.Rand) []byte {
	n := r.IntN(len(breachNames) + 2)
	if n < len(breachNames) {
		return breaches[breachNames[n]]
	}
	noise := make([]byte, r.IntN(300))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	return noise
}

// headerFlood returns more header lines than a server should read.
func headerFlood() string { return strings.Repeat("X-Filling: "+strings.Repeat("x", 100)+"\r\n", 2000) }
