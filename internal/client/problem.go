package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"
)

// Problem is a refusal: the service's problem document (RFC 9457), or what is known of an answer that is not one. Every
// method of API returns one, wrapped, if the request was refused.
type Problem struct {
	Status int `json:"status"`
	// Code is the service's; empty if something else answered, such as a load balancer with a page of its own. That says
	// nothing about the request: treat it as a fault of the network.
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
	if p.Code == "" {
		return fmt.Sprintf("%d, not from the service: %s", p.Status, text)
	}
	return fmt.Sprintf("%d %s: %s", p.Status, p.Code, text)
}

// AsProblem finds a refusal in an error.
func AsProblem(err error) (*Problem, bool) {
	var p *Problem
	return p, errors.As(err, &p)
}

// isUnauthenticated tells whether err is the service's 401. Another's says nothing about the sign-in session.
func isUnauthenticated(err error) bool {
	p, ok := AsProblem(err)
	return ok && p.Status == http.StatusUnauthorized && p.Code != ""
}

// problemBodyMax limits how much of a refusal is read: a proxy may answer with a whole page.
const problemBodyMax = 64 << 10

// problemOf reads a refusal. Of an answer that is not a problem document, such as a proxy's page, it keeps the status.
func problemOf(resp *http.Response) *Problem {
	p := &Problem{}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, problemBodyMax))
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != "application/problem+json" || json.Unmarshal(raw, p) != nil || p.Status != resp.StatusCode {
		p = &Problem{Status: resp.StatusCode}
	}
	if p.Title == "" {
		p.Title = http.StatusText(resp.StatusCode)
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		p.RetryAfter = time.Duration(seconds) * time.Second
	}
	return p
}
