package config

import (
	"net/url"
	"strings"
)

// Paths of the pages that mails link to; package ui serves them.
const (
	VerifyPath     = "/verify"     // takes a token: confirm an e-mail address
	ResetPath      = "/reset"      // takes a token: choose a new password
	InvitationPath = "/invitation" // takes a token: choose the first password
	ForgotPath     = "/forgot"     // ask for a mail that leads to ResetPath

	// What can be seen after signing in, with the clinic's app.
	HomePath         = "/"
	AppointmentsPath = "/appointments" // and below it one, by its id
	InboxPath        = "/inbox"
	WaitlistPath     = "/waitlist" // and below it an offer, by its id
)

// Link is the address of one of these pages for the holder of a token, as a mail shows it. Whoever has the link has
// the token: it belongs into no log.
func (c Config) Link(path, token string) string {
	return strings.TrimSuffix(c.PublicURL, "/") + path + "?token=" + url.QueryEscape(token)
}
