package httpd

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// lingering is how long a connection is still read once its last answer is written, and lingerPause how long its
	// client may send nothing in that time. Closing it at once would make the system reset it, and the client would
	// lose the answer while it is still sending.
	lingering   = 5 * time.Second
	lingerPause = time.Second
	// maxEmptyLines is how many empty lines may come before a request.
	maxEmptyLines = 16
)

// requests follows the requests on a connection. It passes them on to fasthttp one by one, each only once its head is
// complete and safe to read (see head).
type requests struct {
	conn net.Conn
	// most returns the longest body that is read at all on a route.
	most func(method, target []byte) int64

	out  []byte // to be passed on before anything else
	rest []byte // what came after the present request
	left int64  // how many bytes of the present body are to come
	// last says that no other request follows the present one: all that comes is passed on, or nothing if it was refused.
	last    bool
	aside   *aside // what fasthttp has not seen of the present head
	refusal int    // the status with which the present request is refused; 0 if it is not
}

// heads are buffers for heads that do not arrive at once.
var heads = sync.Pool{New: func() any { return new([maxHead]byte) }}

// Read reads what fasthttp may see next.
func (r *requests) Read(p []byte) (int, error) {
	if len(r.out) == 0 && r.left == 0 && !r.last {
		n, err := r.readHead(p)
		if n > 0 || err != nil {
			return n, err
		}
	}
	switch {
	case len(r.out) > 0:
		n := copy(p, r.out)
		if r.out = r.out[n:]; len(r.out) == 0 {
			r.out = nil
		}
		return n, nil
	case r.refusal != 0:
		return 0, io.EOF
	case r.last:
		n, err := r.more(p)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // fasthttp would take it for the end of the body
		}
		return n, err
	}
	n, err := r.more(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, err
}

// more reads what has come already, and then from the connection.
func (r *requests) more(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return r.conn.Read(p) //nolint:wrapcheck // fasthttp checks the kind of the error
	}
	n := copy(p, r.rest)
	if r.rest = r.rest[n:]; len(r.rest) == 0 {
		r.rest = nil
	}
	return n, nil
}

// inside tells whether bytes of the present request may still come.
func (r *requests) inside() bool { return r.left > 0 || r.last }

// readHead waits for a request and reads its head. Most come at once and pass as they are, in p; otherwise n is 0, and
// what to pass on is in out. It waits without a buffer of its own, as thousands of connections are idle.
func (r *requests) readHead(p []byte) (n int, err error) {
	r.aside, r.refusal = nil, 0
	if n, err = r.first(p[:min(len(p), headBuffer)]); n == 0 {
		return 0, err
	}
	var scan headScan
	if end, bad := scan.next(p[:n]); end > 0 && !bad && len(r.rest) == 0 {
		if h, status := parseHead(p[:end]); status == 0 && !h.folded && !h.chunked && r.fits(h) {
			return r.split(p[:n], end, h.length), nil
		}
	}
	buffer, _ := heads.Get().(*[maxHead]byte)
	defer heads.Put(buffer)
	r.gather(buffer[:], copy(buffer[:], p[:n]))
	return 0, nil
}

// first waits for the first bytes of a head. Empty lines before it are ignored (RFC 9112, 2.2): some clients send one
// behind a body. While nothing else comes, the connection is idle, and ends as such when reading fails. Of too many, n
// is 0, and the refusal is in out.
func (r *requests) first(p []byte) (n int, err error) {
	kept := 0 // 1 if a CR has come that may be half an empty line
	for lines := 0; ; {
		if n, err = r.more(p[kept:]); n == 0 {
			return 0, err
		}
		n += kept
		blank := 0
		for bytes.HasPrefix(p[blank:n], []byte("\r\n")) {
			blank += len("\r\n")
		}
		if lines += blank / len("\r\n"); lines > maxEmptyLines {
			r.refuse(p[blank:n], http.StatusBadRequest)
			return 0, nil
		}
		kept = copy(p, p[blank:n])
		if kept > 1 || kept == 1 && p[0] != '\r' {
			return kept, nil
		}
	}
}

// fits tells whether the body of a request is read.
func (r *requests) fits(h head) bool { return h.length == 0 || h.length <= r.most(h.method, h.target) }

// split keeps what came after the present request, and returns how much of b belongs to it.
func (r *requests) split(b []byte, end int, length int64) (n int) {
	n = end + int(min(length, int64(len(b)-end)))
	r.left = length - int64(n-end)
	r.keep(b[n:])
	return n
}

// keep puts what was read too early before the rest.
func (r *requests) keep(early []byte) {
	if len(early) > 0 {
		r.rest = slices.Concat(early, r.rest)
	}
}

// gather reads a head into buffer, which begins with the n bytes that have come, and says in out what fasthttp is to
// see.
func (r *requests) gather(buffer []byte, n int) {
	// From its first byte on, a head has to arrive within the read timeout.
	_ = r.conn.SetReadDeadline(time.Now().Add(readTimeout)) // a closed connection shows at the next read
	var scan headScan
	for {
		b := buffer[:n]
		end, bad := scan.next(b)
		switch {
		case bad:
			r.refuse(b, http.StatusBadRequest)
			return
		case end > 0:
			r.take(b, end)
			return
		case len(b) == len(buffer):
			r.refuse(b, tooLarge(b))
			return
		}
		more, err := r.more(buffer[n:])
		if n += more; more == 0 && err != nil {
			r.refuse(b, interrupted(err))
			return
		}
	}
}

// take passes on a complete head.
func (r *requests) take(b []byte, end int) {
	b = bytes.Clone(b)
	h, status := parseHead(b[:end])
	if status == 0 && !r.fits(h) {
		status = http.StatusRequestEntityTooLarge
		h.fields = slices.DeleteFunc(h.fields, func(f field) bool {
			return f.is("Content-Length") || f.is("Connection") || f.is("Expect") || f.is("Upgrade")
		})
		h.fields = append(h.fields, field{[]byte("Connection"), []byte("close")})
		r.out, r.aside = h.compact(end)
		r.last, r.refusal = true, status
		return
	}
	if status != 0 {
		r.refuse(b, status)
		return
	}
	r.out, r.aside = b[:end], nil
	if h.folded || h.chunked || end > headBuffer {
		r.out, r.aside = h.compact(end)
	}
	r.last = h.chunked
	r.left = h.length
	r.keep(b[end:])
}

// refuse passes on a request in the place of one that cannot be read, so that the refusal is answered like all others.
func (r *requests) refuse(b []byte, status int) {
	h := head{
		method: []byte(http.MethodGet), target: []byte("/"), version: []byte("HTTP/1.1"),
		fields: []field{{[]byte("Host"), nil}, {[]byte("Connection"), []byte("close")}},
	}
	var given head
	line, _, _ := bytes.Cut(b, []byte("\r\n"))
	given.requestLine(line) // what it can read decides the form of the answer
	if string(given.method) == http.MethodHead {
		h.method = given.method
	}
	if path, _, _ := bytes.Cut(given.target, []byte("?")); bytes.HasPrefix(path, h.target) {
		h.target = path[:min(len(path), shortTarget)]
	}
	r.out, r.aside = h.compact(0)
	r.last, r.refusal = true, status
}

// tooLarge returns the status for a head that is larger than maxHead.
func tooLarge(b []byte) int {
	if line, _, complete := bytes.Cut(b, []byte("\r\n")); !complete || len(line) > maxTarget {
		return http.StatusRequestURITooLong
	}
	return http.StatusRequestHeaderFieldsTooLarge
}

// interrupted returns the status for a head that did not arrive.
func interrupted(err error) int {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return http.StatusRequestTimeout
	}
	return http.StatusBadRequest
}

// linger says that nothing else will be sent, and reads what the client is still sending until it has seen that.
func linger(c net.Conn) {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	end := time.Now().Add(lingering)
	buffer, _ := heads.Get().(*[maxHead]byte)
	defer heads.Put(buffer)
	for now := time.Now(); now.Before(end); now = time.Now() {
		deadline := now.Add(lingerPause)
		if deadline.After(end) {
			deadline = end
		}
		if c.SetReadDeadline(deadline) != nil {
			return
		}
		if _, err := c.Read(buffer[:]); err != nil {
			return
		}
	}
}
