package hms

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/assistant"
	"housecall/internal/auth"
	"housecall/internal/errs"
)

var (
	errNoMessage = errs.New(errs.BadRequest, "message_required", "Message is required")
	// errNoPatient is 401, as it was: the pages then show the sign-in form.
	errNoPatient = errs.New(errs.Unauthenticated, "patients_only", "Only patients can ask the assistant. Sign in as one.")
)

// agentReply is what the page of the assistant shows.
type agentReply struct {
	Reply  string           `json:"reply"`
	Source assistant.Source `json:"source"`
}

// askAgent answers a patient's question to the automatic assistant. The page shows nothing but replies, so a patient
// who has asked too often is told so in one.
func (a api) askAgent(c *fiber.Ctx, by auth.Actor) error {
	if by.Role != auth.Patient {
		return errNoPatient
	}
	f, err := read(c)
	if err != nil {
		return err
	}
	message := f.text("message")
	if err := f.err(); err != nil {
		return err
	}
	if strings.TrimSpace(message) == "" {
		return errNoMessage
	}
	q, err := a.Assistant.Take(c.UserContext(), by, message)
	var refusal *errs.Error
	if errors.Is(err, assistant.ErrLimit) && errors.As(err, &refusal) {
		return c.JSON(agentReply{refusal.Message, assistant.Failed})
	}
	if err != nil {
		return err
	}
	answer := q.Answer(context.WithoutCancel(c.UserContext()), nil) // it has its own time limit
	return c.Status(http.StatusOK).JSON(agentReply(answer))
}
