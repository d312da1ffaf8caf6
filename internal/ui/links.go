package ui

import (
	"net/url"
	"strings"
)

// Paths of the pages that mails link to.
const (
	VerifyPath     = "/verify"     // takes a token: confirm an email address
	ResetPath      = "/reset"      // takes a token: choose a new password
	InvitationPath = "/invitation" // takes a token: choose the first password
	ForgotPath     = "/forgot"     // ask for a mail that leads to ResetPath

	// What can be seen after signing in.
	HomePath         = "/"
	AppointmentsPath = "/appointments" // and below it one, by its id
	InboxPath        = "/inbox"
	WaitlistPath     = "/waitlist" // and below it an offer, by its id
)

// Links are the addresses of the pages, below the one under which clients reach the service.
type Links struct{ PublicURL string }

func (l Links) page(path string) string { return strings.TrimSuffix(l.PublicURL, "/") + path }

// withToken is the address of a page for the holder of a token. Whoever has the link has the token: it belongs in no
// log.
func (l Links) withToken(path, token string) string {
	return l.page(path) + "?token=" + url.QueryEscape(token)
}

// Home is where everything begins.
func (l Links) Home() string { return l.page(HomePath) }

// Appointment is one appointment's page.
func (l Links) Appointment(publicID string) string {
	return l.page(AppointmentsPath + "/" + url.PathEscape(publicID))
}

// Inbox lists one's conversations.
func (l Links) Inbox() string { return l.page(InboxPath) }

// Offer is the page of a time that was offered to a waiting patient.
func (l Links) Offer(id string) string { return l.page(WaitlistPath + "/" + url.PathEscape(id)) }

// Invitation is where an invited user chooses their first password.
func (l Links) Invitation(token string) string { return l.withToken(InvitationPath, token) }

// PasswordReset is where a new password is chosen.
func (l Links) PasswordReset(token string) string { return l.withToken(ResetPath, token) }

// VerifyEmail is where an email address is confirmed.
func (l Links) VerifyEmail(token string) string { return l.withToken(VerifyPath, token) }
