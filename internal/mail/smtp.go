package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// Server is a mail server.
type Server struct {
	Host           string
	Port           int
	User, Password string // "" for none
	// Implicit TLS begins with the connection (RFC 8314, 3.3); otherwise STARTTLS is required, unless Plain.
	Implicit, Plain bool
}

// SMTP hands messages to a mail server (RFC 6409). Each message has a connection of its own, so nothing is kept open
// in between.
type SMTP struct {
	from   mail.Address
	client *gomail.Client
	// dial opens a TCP connection.
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

var _ Sender = (*SMTP)(nil)

// NewSMTP makes a sender to the server; from is the sender of all mail. trust has the authorities and the name with
// which to check the server's certificate; nil means the system's authorities and the server's own name.
func NewSMTP(server Server, from mail.Address, trust *tls.Config) (*SMTP, error) {
	if trust == nil {
		trust = &tls.Config{ServerName: server.Host, MinVersion: tls.VersionTLS12}
	}
	s := &SMTP{from: from, dial: (&net.Dialer{Timeout: dialTimeout}).DialContext}
	opts := []gomail.Option{
		// HELO gives the sender's domain: a machine's own name often means nothing to others. The timeout is for all
		// that precedes the message; what a single answer may take is up to conn.
		gomail.WithPort(server.Port), gomail.WithTimeout(SendTimeout), gomail.WithoutNoop(), gomail.WithHELO(Domain(from)),
		gomail.WithTLSConfig(trust), gomail.WithDialContextFunc(s.dialer(server, trust)),
	}
	switch {
	case server.Plain:
		opts = append(opts, gomail.WithTLSPolicy(gomail.NoTLS))
	case server.Implicit: // the dialer does it; STARTTLS (RFC 3207) is not offered inside TLS
		opts = append(opts, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	default:
		opts = append(opts, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if server.User != "" {
		opts = append(opts, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover),
			gomail.WithUsername(server.User), gomail.WithPassword(server.Password))
	}
	var err error
	if s.client, err = gomail.NewClient(server.Host, opts...); err != nil {
		return nil, errors.New("the mail server's address cannot be used") // the cause might repeat it
	}
	return s, nil
}

// callerKey is the key of the call that a dialer works for: its context ends with the dialing.
type callerKey struct{}

// call is one Send.
type call struct {
	ctx  context.Context //nolint:containedctx // the connection ends with it
	conn *conn
}

// dialer makes connections for the library, which looks at the context only while it connects.
func (s *SMTP) dialer(server Server, trust *tls.Config) gomail.DialContextFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		caller, ok := ctx.Value(callerKey{}).(*call)
		if !ok {
			return nil, errors.New("mail: dialed without a call")
		}
		inner, err := s.dial(ctx, network, address)
		if err != nil {
			return nil, fmt.Errorf("connect: %w", err)
		}
		caller.conn = newConn(caller.ctx, inner)
		if !server.Implicit {
			return caller.conn, nil
		}
		secured := tls.Client(caller.conn, trust)
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = caller.conn.Close()
			return nil, fmt.Errorf("connect: %w", err)
		}
		return secured, nil
	}
}

// Send implements Sender. It may take up to SendTimeout. Only what a server says about the recipient or the message
// itself is permanent; everything else, a refusal of us included, can be mended.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	msg, err := compose(s.from, m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, SendTimeout)
	defer cancel() // also closes a connection that the library left open
	c := &call{ctx: ctx}
	client, err := s.client.DialToSMTPClientWithContext(context.WithValue(ctx, callerKey{}, c))
	if err != nil {
		return failure(ctx, stageConnect, err)
	}
	if stage, err := c.transfer(client, msg, s.from.Address, m.To.Email); err != nil {
		_ = client.Close()
		return failure(ctx, stage, err)
	}
	// The server has accepted the message. Later errors do not matter: sending it again would make a duplicate.
	c.conn.wait(quitTimeout)
	if client.Quit() != nil {
		_ = client.Close()
	}
	return nil
}

// transfer hands over the message; stage is where it failed.
func (c *call) transfer(client *smtp.Client, msg *gomail.Msg, from, to string) (stage string, err error) {
	if err := client.Mail("<" + from + ">"); err != nil {
		return stageSender, err
	}
	if err := client.Rcpt("<" + to + ">"); err != nil {
		return stageRecipient, err
	}
	c.conn.wait(dataTimeout)
	body, err := client.Data()
	if err != nil {
		return stageData, err
	}
	if _, err := msg.WriteTo(body); err != nil {
		return stageData, err // without the final dot, so the server drops what it has
	}
	c.conn.wait(finalTimeout)
	if err := body.Close(); err != nil {
		return stageData, err
	}
	return "", nil
}
