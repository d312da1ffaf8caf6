package httpd

import (
	"bytes"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http/httpguts"
)

// A head is a request line with the header section after it (RFC 9112, 2.1). fasthttp takes heads that other programs
// read in another way, or refuse. So it only gets to see heads that parseHead takes, which is as strict as RFC 9112
// allows: a proxy and this server never disagree about where a request ends.

const (
	// maxHead is how many bytes a head may have.
	maxHead = 16 << 10
	// headBuffer is the size of fasthttp's buffer, which stays with an open socket. Of a larger head it only gets what it
	// needs to read the request; see head.compact.
	headBuffer = 2048
	// maxMethod is the longest method, in bytes; registered ones (RFC 9110, 16.1) have up to 17.
	maxMethod = 32
	// maxTarget is the longest target of a request, in bytes (RFC 9112, 3 recommends at least 8,000).
	maxTarget = 8 << 10
	// shortTarget is the longest target that a compact head contains.
	shortTarget = 512
)

// field is one line of a header section.
type field struct{ name, value []byte }

func (f field) is(name string) bool { return strings.EqualFold(string(f.name), name) }

// head is a parsed head. Its slices point into what was parsed.
type head struct {
	method, target, version []byte
	fields                  []field
	// length is the Content-Length; 0 without one.
	length int64
	// chunked says that the length of the body is not known before its end.
	chunked bool
	// closing says that the client sends nothing else on the connection.
	closing bool
	// folded says that fasthttp would read a list in another way: it came in several lines, or has close among others.
	folded bool
}

// headScan finds the end of a head that arrives bit by bit.
type headScan struct{ line int } // where the current line begins

// next looks at all that has arrived. end is 0 until the empty line has come. bad says that a line does not end with
// CRLF: RFC 9112, 2.2 lets servers take a bare LF, which would make them see lines that a proxy does not.
func (s *headScan) next(b []byte) (end int, bad bool) {
	for {
		n := bytes.IndexByte(b[s.line:], '\n')
		switch {
		case n < 0:
			return 0, false
		case n == 0 || b[s.line+n-1] != '\r':
			return 0, true
		case n == 1 && s.line > 0:
			return s.line + 2, false
		}
		s.line += n + 1 // also after an empty line at the beginning, which parseHead refuses
	}
}

// parseHead reads a head, up to and including its empty line. status is 0, or that of the refusal; what was read of the
// request line is in h then.
func parseHead(b []byte) (h head, status int) {
	line, rest, _ := bytes.Cut(b, []byte("\r\n"))
	if status := h.requestLine(line); status != 0 {
		return h, status
	}
	for {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		if len(line) == 0 {
			break
		}
		name, value, colon := bytes.Cut(line, []byte(":"))
		value = bytes.Trim(value, " \t")
		// Space before the colon (RFC 9112, 5.1), and continued lines (5.2), which begin with one, are in the name.
		if !colon || !httpguts.ValidHeaderFieldName(string(name)) || !httpguts.ValidHeaderFieldValue(string(value)) {
			return h, http.StatusBadRequest
		}
		h.fields = append(h.fields, field{name, value})
	}
	if !h.framed() {
		return h, http.StatusBadRequest
	}
	return h, 0
}

// requestLine reads the first line (RFC 9112, 3).
func (h *head) requestLine(line []byte) (status int) {
	parts := bytes.Split(line, []byte(" "))
	if len(parts) < 2 || !httpguts.ValidHeaderFieldName(string(parts[0])) || !validTarget(parts[1]) {
		return http.StatusBadRequest
	}
	h.method, h.target = parts[0], parts[1]
	if len(parts) != 3 || len(h.method) > maxMethod || string(parts[2]) != "HTTP/1.1" && string(parts[2]) != "HTTP/1.0" {
		return http.StatusBadRequest
	}
	if h.version = parts[2]; len(h.target) > maxTarget {
		return http.StatusRequestURITooLong
	}
	return 0
}

func validTarget(target []byte) bool {
	return len(target) > 0 && !bytes.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

// hostShape is a host with a port, as far as it matters here (RFC 3986, 3.2.2).
var hostShape = regexp.MustCompile(`^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]*)?$`)

// framed reads the fields that say where a request goes and where it ends; false if they are missing, contradict each
// other, or can be read in two ways (RFC 9112, 3.2, 6.1 and 6.3).
func (h *head) framed() bool {
	var hosts, lengths, codings, upgrades int
	var connections []string
	for _, f := range h.fields {
		switch {
		case f.is("Host"):
			hosts++
			if !hostShape.Match(f.value) {
				return false
			}
		case f.is("Content-Length"):
			lengths++
			length, err := strconv.ParseUint(string(f.value), 10, 63) // takes no sign
			if err != nil {
				return false
			}
			h.length = int64(length)
		case f.is("Transfer-Encoding"):
			codings++
			h.chunked = strings.EqualFold(string(f.value), "chunked")
			if !h.chunked { // others may not be last, and none is known here
				return false
			}
		case f.is("Connection"):
			connections = append(connections, string(f.value))
		case f.is("Upgrade"):
			upgrades++
		}
	}
	h.closing = httpguts.HeaderValuesContainsToken(connections, "close") // RFC 9112, 9.6, in any case
	h.folded = len(connections) > 1 || upgrades > 1 || h.closing && connections[0] != "close"
	modern := string(h.version) == "HTTP/1.1"
	return hosts <= 1 && lengths+codings <= 1 && (modern && hosts == 1 || !modern && codings == 0)
}

// aside is what fasthttp does not get to see of a head before the request is handled.
type aside struct {
	target []byte
	fields []field
}

// compact returns a head for fasthttp that says the same, and what was left out of it if it would not fit into
// fasthttp's buffer. Lists that came in several lines are one (RFC 9110, 5.3). Where the end of the body only shows
// when it comes, the connection ends with the answer, so that nothing after it can be mistaken for a request.
func (h *head) compact(size int) (out []byte, rest *aside) {
	// Each field may be written with a space that it did not have.
	large := size+len(h.fields)+len("Connection: close\r\n")+4 > headBuffer
	target := h.target
	if large {
		rest = &aside{}
		if len(target) > shortTarget {
			rest.target, target = target, []byte("/")
		}
	}
	out = append(out, h.method...)
	out = append(append(append(out, ' '), target...), ' ')
	out = append(append(out, h.version...), "\r\n"...)
	var connection, upgrade []string
	for _, f := range h.fields {
		switch {
		case f.is("Connection"):
			connection = append(connection, string(f.value))
		case f.is("Upgrade"):
			upgrade = append(upgrade, string(f.value))
		case large && !f.is("Host") && !f.is("Content-Length") && !f.is("Transfer-Encoding") && !f.is("Expect"):
			rest.fields = append(rest.fields, f)
		default:
			out = appendField(out, f)
		}
	}
	if h.chunked || h.closing { // fasthttp compares the whole value
		connection = []string{"close"}
	}
	out = appendList(appendList(out, "Connection", connection), "Upgrade", upgrade)
	return append(out, "\r\n"...), rest
}

func appendList(b []byte, name string, list []string) []byte {
	if len(list) == 0 {
		return b
	}
	return appendField(b, field{[]byte(name), []byte(strings.Join(list, ", "))})
}

func appendField(b []byte, f field) []byte {
	b = append(append(b, f.name...), ": "...)
	return append(append(b, f.value...), "\r\n"...)
}

// restore adds to a request what fasthttp was not given of it.
func (a *aside) restore(r *fasthttp.Request) {
	if len(a.target) > 0 {
		r.SetRequestURIBytes(a.target)
	}
	for _, f := range a.fields {
		r.Header.AddBytesKV(f.name, f.value)
	}
}
