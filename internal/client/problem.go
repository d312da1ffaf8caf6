package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Problem is a refusal by the service: a problem document (RFC 9457). Every method of API returns one, wrapped, if
// the service refused the request.
type Problem struct {
	Status       int            `json:"status"`
	Code         string         `json:"code"`
	Title        string         `json:"title"`
	Detail       string         `json:"detail"`
	RequestID    string         `json:"requestId"`
	Errors       []FieldProblem `json:"errors"`
	Alternatives []Slot         `json:"alternatives"` // of slot_taken
	// RetryAfter is the wait that the Retry-After header asks for; 0 without one.
	RetryAfter time.Duration `json:"-"`
}

// FieldProblem is one bad field of the request.
type FieldProblem struct {
	Path    string `json:"path"`
	Message string `json:"message"`
}

// Error is the service's own text, with the bad fields.
func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	for _, f := range p.Errors {
		text += fmt.Sprintf(" (%s: %s)", f.Path, f.Message)
	}
	return fmt.Sprintf("%d %s: %s", p.Status, p.Code, text)
}

// AsProblem finds the service's refusal in an error.
func AsProblem(err error) (*Problem, bool) {
	var p *Problem
	return p, errors.As(err, &p)
}

// isStatus tells whether err is a refusal with that status.
func isStatus(err error, status int) bool {
	p, ok := AsProblem(err)
	return ok && p.Status == status
}

// problemBodyMax limits how much of a refusal is read: a proxy may answer with a whole page.
const problemBodyMax = 64 << 10

// problemOf reads a refusal. Of an answer that is not a problem document, such as a proxy's page, it keeps the status.
func problemOf(resp *http.Response) *Problem {
	p := &Problem{}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, problemBodyMax))
	if err != nil || json.Unmarshal(raw, p) != nil {
		p = &Problem{}
	}
	p.Status = resp.StatusCode
	if p.Title == "" {
		p.Title = http.StatusText(resp.StatusCode)
	}
	if p.Code == "" {
		p.Code = strings.ReplaceAll(strings.ToLower(http.StatusText(resp.StatusCode)), " ", "_")
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		p.RetryAfter = time.Duration(seconds) * time.Second
	}
	return p
}
