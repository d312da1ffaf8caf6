// Package idempotency keeps the first answers to requests that carry an Idempotency-Key, for all instances, so that a
// request that is sent again is carried out only once. httpd decides which requests and which answers; this package
// keeps them in PostgreSQL, sealed, for a day.
package idempotency

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"housecall/internal/errs"
	"housecall/internal/httpd"
)

// errUnreadable replaces an answer that was sealed under a secret which is no longer in use.
var errUnreadable = errs.New(errs.Conflict, "already_done",
	"This request was carried out, but its answer is no longer available. "+
		"Load what it changed, or use a new key for a new request.")

// digest names an operation under a key. It reveals neither: an operation contains ids, and the key is the client's.
func digest(a httpd.Attempt) []byte {
	h := sha256.New()
	_ = binary.Write(h, binary.BigEndian, int64(len(a.Operation))) // writing to a hash never fails
	h.Write([]byte(a.Operation))
	h.Write([]byte(a.Key))
	return h.Sum(nil)
}

// purpose binds a sealed answer to its actor, operation and key: copied into another row, it cannot be opened.
func purpose(a httpd.Attempt) string { return fmt.Sprintf("idempotency %d %x", a.Actor, digest(a)) }

// kept is an answer as it is sealed.
type kept struct {
	Status int               `json:"status"`
	Header map[string]string `json:"header"`
	Body   []byte            `json:"body"`
}

func encode(a httpd.Answer) ([]byte, error) { return json.Marshal(kept(a)) }

func decode(plain []byte) (*httpd.Answer, error) {
	var k kept
	if err := json.Unmarshal(plain, &k); err != nil {
		return nil, fmt.Errorf("read a kept answer: %w", err)
	}
	a := httpd.Answer(k)
	return &a, nil
}
