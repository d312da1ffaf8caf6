package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"regexp"
	"strings"
	"syscall"

	gomail "github.com/wneessen/go-mail"
)

// Error means that a message was not sent. Its text quotes neither the message nor the server, since both may name a
// person.
type Error struct {
	// Stage is how far sending got: compose, connect, sender, recipient, data or write.
	Stage string
	// Code is the server's reply (RFC 5321, 4.2.3), 0 if it sent none; Enhanced its finer code (RFC 3463) or "".
	Code     int
	Enhanced string
	// Cause says in words what is wrong, if it is one of the mistakes that people make when they set up mail; "" if not.
	Cause Cause
	// Permanent means that the same message will never be accepted.
	Permanent bool
	// Timeout means that the server was too slow, or that the caller's context ended.
	Timeout bool
}

// Cause is a mistake in how mail is set up, in words for those who can mend it.
type Cause string

// The causes.
const (
	NoSuchHost    Cause = "the mail server's name does not exist"
	Refused       Cause = "the mail server's host refuses the connection: nothing listens on that port"
	Unreachable   Cause = "the mail server's host cannot be reached"
	Untrusted     Cause = "the mail server's certificate is not trusted, has expired, or is for another name"
	NoSTARTTLS    Cause = "the mail server offers no STARTTLS, which smtp:// requires"
	NotTLS        Cause = "the mail server does not begin with TLS on that port, as smtps:// requires"
	NoAUTH        Cause = "the mail server offers no sign-in (AUTH), or none that works here, but a user is configured"
	WrongPassword Cause = "the mail server refuses the user name or the password"
	NotWelcome    Cause = "the mail server refuses this service as a client or sender, or wants it to sign in"
)

// Error implements error.
func (e *Error) Error() string {
	words := "sending failed at the stage " + e.Stage
	if e.Code != 0 {
		words += fmt.Sprintf(", code %d", e.Code)
	}
	if e.Enhanced != "" {
		words += " " + e.Enhanced
	}
	if e.Timeout {
		words += ", timed out"
	}
	if e.Permanent {
		words += ", permanently"
	}
	if e.Cause != "" {
		words += ": " + string(e.Cause)
	}
	return words
}

// stages are the ones of Error.
const (
	stageCompose   = "compose"
	stageConnect   = "connect"
	stageSender    = "sender"
	stageRecipient = "recipient"
	stageData      = "data"
	stageWrite     = "write"
)

// enhanced is the code of RFC 2034 at the beginning of a reply's text.
var enhanced = regexp.MustCompile(`^([245]\.\d{1,3}\.\d{1,3})(?:\s|$)`)

// failure turns an error of the library into one of ours, without what it quotes.
func failure(ctx context.Context, stage string, err error) error {
	e := &Error{Stage: stage}
	var said *textproto.Error
	if errors.As(err, &said) {
		e.Code = said.Code
		if found := enhanced.FindStringSubmatch(said.Msg); found != nil {
			e.Enhanced = found[1]
		}
	}
	var network net.Error
	e.Timeout = ctx.Err() != nil || errors.As(err, &network) && network.Timeout()
	e.Permanent = e.final()
	if !e.Permanent {
		e.Cause = e.cause(err)
	}
	return e
}

// final reports whether the reply is about this recipient or this message, and never changes. Everything else is
// about us (RFC 3463: 5.7.x, 5.5.x, 5.3.x; and 5.1.0, 5.1.7 and 5.1.8, which are about the sender), or says nothing of
// its cause: a clinic whose server refuses it for an hour must not lose the mail of that hour. A server may tell at
// the recipient what it has against the client or the sender; Postfix does.
func (e *Error) final() bool {
	class, detail, _ := strings.Cut(strings.TrimPrefix(e.Enhanced, "5."), ".")
	switch {
	case e.Code < 500 || e.Code > 599:
		return false
	case e.Enhanced == "":
		return e.Code == 552 // RFC 5321, 4.2.3: too much for the mailbox; RFC 1870, 6: the message is too large
	case !strings.HasPrefix(e.Enhanced, "5."):
		return false
	case e.Enhanced == "5.3.4": // the message is too large
		return true
	case e.Stage != stageRecipient && e.Stage != stageData:
		return false
	}
	return class == "2" || class == "1" && detail != "0" && detail != "7" && detail != "8"
}

// cause finds out what is set up wrongly.
func (e *Error) cause(err error) Cause {
	switch {
	case e.Code == 530 || e.Code >= 500 && (strings.HasPrefix(e.Enhanced, "5.7.") && e.Stage != stageConnect ||
		e.Enhanced == "5.1.0" || e.Enhanced == "5.1.7" || e.Enhanced == "5.1.8"):
		return NotWelcome
	case e.Code == 535 || e.Code == 534 || e.Code == 538:
		return WrongPassword
	case e.Code >= 500 && (e.Stage == stageConnect || e.Stage == stageSender):
		return NotWelcome
	case e.Code != 0:
		return ""
	}
	return causeOfConnection(err)
}

// causeOfConnection is cause for a conversation that the server did not end with a reply. The library has no types for
// what a server does not offer.
func causeOfConnection(err error) Cause {
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	words := err.Error()
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return NoSuchHost
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return Unreachable
	case errors.As(err, &certificate), errors.As(err, &authority), errors.As(err, &host), errors.As(err, &invalid):
		return Untrusted
	case errors.As(err, &record):
		return NotTLS
	case strings.Contains(words, "does not support STARTTLS"):
		return NoSTARTTLS
	case errors.Is(err, gomail.ErrNoSupportedAuthDiscovered), strings.Contains(words, "does not support SMTP AUTH"):
		return NoAUTH
	}
	return ""
}
