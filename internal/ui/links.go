package ui

import (
	"net/url"
	"strings"
)

// Paths of the pages that emails link to.
const (
	VerifyPath     = "/verify"     // takes a token: confirm an email address
	ResetPath      = "/reset"      // takes a token: choose a new password
	InvitationPath = "/invitation" // takes a token: choose the first password
	ForgotPath     = "/forgot"     // ask for an email that leads to ResetPath

	// Pages for people who are signed in.
	HomePath         = "/"
	AppointmentsPath = "/appointments" // one appointment is below it, by its id
	InboxPath        = "/inbox"
	AssistantPath    = "/assistant"
	WaitlistPath     = "/waitlist" // one offer is below it, by its id
)

// Links are the addresses of the pages, below the one under which clients reach the service.
type Links struct{ PublicURL string }

func (l Links) page(path string) string { return strings.TrimSuffix(l.PublicURL, "/") + path }

// withToken is the address of a page for the holder of a token. The address is as secret as the token: do not log it.
func (l Links) withToken(path, token string) string {
	return l.page(path) + "?token=" + url.QueryEscape(token)
}

// Home is the start page.
func (l Links) Home() string { return l.page(HomePath) }

// Appointment is one appointment's page.
func (l Links) Appointment(publicID string) string {
	return l.page(AppointmentsPath + "/" + url.PathEscape(publicID))
}

// Inbox is the list of the user's conversations.
func (l Links) Inbox() string { return l.page(InboxPath) }

// Offer is the page of a time that was offered to a waiting patient.
func (l Links) Offer(id string) string { return l.page(WaitlistPath + "/" + url.PathEscape(id)) }

// Invitation is where an invited user chooses their first password.
func (l Links) Invitation(token string) string { return l.withToken(InvitationPath, token) }

// PasswordReset is where a new password is chosen.
func (l Links) PasswordReset(token string) string { return l.withToken(ResetPath, token) }

// VerifyEmail is where an email address is confirmed.
func (l Links) VerifyEmail(token string) string { return l.withToken(VerifyPath, token) }
