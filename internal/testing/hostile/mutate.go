package hostile

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
)

// Frames are frames of good clients, to be mutated.
var Frames = [][]byte{
	[]byte(`{"type":"send","clientId":"6f1a0c52-7c39-4a70-9a3e-0d2f5c1b8e11","text":"Good morning, ü 🩺 \u2028"}`),
	[]byte(
		`{"type":"send","clientId":"7f1a0c52-7c39-4a70-9a3e-0d2f5c1b8e11",` +
			`"attachmentId":"6f1a0c52-7c39-4a70-9a3e-0d2f5c1b8e11"}`,
	),
	[]byte(`{"type":"retract","clientId":"8f1a0c52-7c39-4a70-9a3e-0d2f5c1b8e11","target":1}`),
	[]byte(`{"type":"correct","clientId":"9f1a0c52-7c39-4a70-9a3e-0d2f5c1b8e11","target":1,"text":"I meant"}`),
	[]byte(`{"type":"delivered","upTo":7}`),
	[]byte(`{"type":"read","upTo":6}`),
	[]byte(`{"type":"typing","active":true}`),
	[]byte(`{"type":"auth","token":"eyJhbGciOiJIUzI1NiJ9.e30.x"}`),
	[]byte(`{"type":"ping","id":{"n":1}}`),
}

// values replace the value of a field.
var values = []string{
	"null", "true", "[]", "{}", `""`, "-1", "-0", "0", "1e999", "1E-999", "0.1", "9223372036854775807",
	"9223372036854775808", "-9223372036854775809", "18446744073709551616", strings.Repeat("9", 5000), `"\u0000"`,
	`"\ud800"`, `"\udc00\ud800"`, "\"\xff\xfe\"", "\"\xed\xa0\x80\"", "\"\xc0\x80\"", strings.Repeat("[", 20_000),
	strings.Repeat(`{"a":`, 9_000), strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000),
	`"` + strings.Repeat("x", 4_001) + `"`, `"` + strings.Repeat("🩺", 4_000) + `"`,
	`"` + strings.Repeat(`\u0007`, 9_000) + `"`, `"00000000-0000-0000-0000-000000000000"`, `"' or 1=1 --"`,
	`"../../etc/passwd"`, `"{{7*7}}"`, `"\r\nSet-Cookie: a=b"`, "NaN", "Infinity", "0x10", "'x'",
}

// spoilers are the ways to break a frame's text.
var spoilers = []func(r *rand.Rand, frame []byte) []byte{
	func(r *rand.Rand, f []byte) []byte { // one bit changed
		f[r.IntN(len(f))] ^= 1 << r.IntN(8)
		return f
	},
	func(r *rand.Rand, f []byte) []byte { // one byte more
		at := r.IntN(len(f) + 1)
		return append(f[:at:at], append([]byte{byte(r.Uint32())}, f[at:]...)...)
	},
	func(r *rand.Rand, f []byte) []byte { // cut off
		return f[:r.IntN(len(f))]
	},
	func(r *rand.Rand, f []byte) []byte { // a piece missing
		from := r.IntN(len(f))
		to := from + r.IntN(len(f)-from)
		return append(f[:from:from], f[to:]...)
	},
	func(r *rand.Rand, f []byte) []byte { // a piece twice
		from := r.IntN(len(f))
		to := from + r.IntN(len(f)-from)
		return append(f[:to:to], f[from:]...)
	},
	spoilValue, spoilValue, spoilValue,
	func(r *rand.Rand, f []byte) []byte { // a key twice
		key := []string{"type", "clientId", "text", "upTo", "TYPE", "token"}[r.IntN(6)]
		return bytes.Replace(f, []byte("{"), fmt.Appendf(nil, `{%q:%s,`, key, values[r.IntN(len(values))]), 1)
	},
	func(r *rand.Rand, f []byte) []byte { // extra fields
		var more strings.Builder
		for range 1 + r.IntN(500) {
			fmt.Fprintf(&more, `"x%d":%d,`, r.Uint32(), r.Uint32())
		}
		return bytes.Replace(f, []byte("{"), []byte("{"+more.String()), 1)
	},
	func(_ *rand.Rand, f []byte) []byte { return bytes.ToUpper(f) },
	func(_ *rand.Rand, f []byte) []byte { return append([]byte("\ufeff"), f...) },
	func(_ *rand.Rand, f []byte) []byte { return append(bytes.Clone(f), f...) },
	func(_ *rand.Rand, f []byte) []byte { return fmt.Appendf(nil, "[%s]", f) },
	func(r *rand.Rand, f []byte) []byte {
		return append(bytes.Repeat([]byte{" \t\r\n"[r.IntN(4)]}, 30_000), f...)
	},
	func(_ *rand.Rand, f []byte) []byte {
		return bytes.Replace(f, []byte(`"type":"`), []byte(`"type":"x`), 1)
	},
}

// Mutate returns a mutated copy of a frame.
func Mutate(r *rand.Rand, frame []byte) []byte {
	frame = bytes.Clone(frame)
	for range 1 + r.IntN(2) {
		if len(frame) > 0 {
			frame = spoilers[r.IntN(len(spoilers))](r, frame)
		}
	}
	return frame
}

// spoilValue replaces the value of a field.
func spoilValue(r *rand.Rand, f []byte) []byte {
	fields := bytes.Count(f, []byte(":"))
	if fields == 0 {
		return f
	}
	at := -1
	for range 1 + r.IntN(fields) {
		at += 1 + bytes.IndexByte(f[at+1:], ':')
	}
	end := len(f)
	if n := bytes.IndexAny(f[at:], ",}"); n > 0 {
		end = at + n
	}
	return append(append(f[:at+1:at+1], values[r.IntN(len(values))]...), f[end:]...)
}
