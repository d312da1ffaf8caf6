package app

import (
	"net/url"
	"strings"

	"housecall/internal/config"
	"housecall/internal/mail"
	"housecall/internal/notify"
)

func notifyOptions(c config.Config) notify.Options {
	return notify.Options{Domain: mail.Domain(c.Sender()), Zone: c.Zone()}
}

// mailLinks are the addresses of the pages to which mails lead.
type mailLinks struct{ cfg config.Config }

var _ notify.Links = mailLinks{}

func (l mailLinks) page(path string) string { return strings.TrimSuffix(l.cfg.PublicURL, "/") + path }

// Home implements notify.Links.
func (l mailLinks) Home() string { return l.page(config.HomePath) }

// Appointment implements notify.Links.
func (l mailLinks) Appointment(publicID string) string {
	return l.page(config.AppointmentsPath + "/" + url.PathEscape(publicID))
}

// Inbox implements notify.Links.
func (l mailLinks) Inbox() string { return l.page(config.InboxPath) }

// Offer implements notify.Links.
func (l mailLinks) Offer(id string) string {
	return l.page(config.WaitlistPath + "/" + url.PathEscape(id))
}

// Invitation implements notify.Links.
func (l mailLinks) Invitation(token string) string { return l.cfg.Link(config.InvitationPath, token) }

// PasswordReset implements notify.Links.
func (l mailLinks) PasswordReset(token string) string { return l.cfg.Link(config.ResetPath, token) }

// VerifyEmail implements notify.Links.
func (l mailLinks) VerifyEmail(token string) string { return l.cfg.Link(config.VerifyPath, token) }
