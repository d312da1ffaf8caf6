package config

import (
	"errors"
	"net/mail"
	"net/url"
	"strconv"

	"housecall/internal/text"
)

// SMTP is a mail server.
type SMTP struct {
	Host     string
	Port     int
	User     string // "" for none
	Password Secret
	// Implicit TLS begins with the connection (RFC 8314, 3.3); otherwise STARTTLS is required, unless Plain.
	Implicit, Plain bool
}

var errSMTP = errors.New("is not smtp://user:password@host:port, or smtps://…")

// ParseSMTP reads the URL of a mail server. smtp:// requires STARTTLS (port 587), smtps:// uses TLS from the start
// (port 465). ?tls=none is for a server without TLS, and then allows no credentials, which would travel unencrypted.
func ParseSMTP(s Secret) (SMTP, error) {
	u, err := url.Parse(s.Reveal())
	if err != nil || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.Fragment != "" {
		return SMTP{}, errSMTP
	}
	out := SMTP{Host: u.Hostname(), User: u.User.Username()}
	switch u.Scheme {
	case "smtp":
		out.Port = 587
	case "smtps":
		out.Port, out.Implicit = 465, true
	default:
		return SMTP{}, errSMTP
	}
	if port := u.Port(); port != "" {
		if out.Port, err = strconv.Atoi(port); err != nil || out.Port < 1 || out.Port > 65535 {
			return SMTP{}, errSMTP
		}
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return SMTP{}, errSMTP
	}
	for name, values := range query {
		if name != "tls" || len(values) != 1 || values[0] != "none" || out.Implicit {
			return SMTP{}, errSMTP
		}
		out.Plain = true
	}
	password, given := u.User.Password()
	if out.Password = Secret(password); out.Plain && out.User != "" || (out.User == "") != !given {
		return SMTP{}, errSMTP
	}
	return out, nil
}

// Sender returns the address that email comes from.
func (c Config) Sender() mail.Address {
	a, err := mail.ParseAddress(c.MailFrom)
	if err != nil {
		return mail.Address{} // refused by Validate
	}
	a.Address = text.ASCIIEmail(a.Address)
	return *a
}
