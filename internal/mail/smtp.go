package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/textproto"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// smtpTimeout bounds connecting and, after that, delivering one message. It is shorter than what RFC 5321, 4.5.3.2
// asks of mail servers, since a worker waits meanwhile and can try again later.
const smtpTimeout = 20 * time.Second

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
}

var _ Sender = (*SMTP)(nil)

// NewSMTP makes a sender to the server; from is the sender of all mail. trust has the authorities and the name with
// which to check the server's certificate; nil means the system's authorities and the server's own name.
func NewSMTP(server Server, from mail.Address, trust *tls.Config) (*SMTP, error) {
	if trust == nil {
		trust = &tls.Config{ServerName: server.Host, MinVersion: tls.VersionTLS12}
	}
	opts := []gomail.Option{
		// HELO gives the sender's domain: a machine's own name often means nothing to others.
		gomail.WithPort(server.Port), gomail.WithTimeout(smtpTimeout), gomail.WithoutNoop(), gomail.WithHELO(Domain(from)),
		gomail.WithTLSConfig(trust), gomail.WithDialContextFunc(dialer(server, trust)),
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
	client, err := gomail.NewClient(server.Host, opts...)
	if err != nil {
		return nil, errors.New("the mail server's address cannot be used") // the cause might repeat it
	}
	return &SMTP{from: from, client: client}, nil
}

// dialer makes connections that close when the context of Send ends, whatever they are waiting for: the library looks
// at the context only while it connects.
func dialer(server Server, trust *tls.Config) gomail.DialContextFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		caller, ok := ctx.Value(callerKey{}).(context.Context)
		if !ok {
			caller = ctx
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, fmt.Errorf("connect: %w", err)
		}
		conn = &mortal{Conn: conn, stop: context.AfterFunc(caller, func() { _ = conn.Close() })}
		if !server.Implicit {
			return conn, nil
		}
		secured := tls.Client(conn, trust)
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("connect: %w", err)
		}
		return secured, nil
	}
}

// callerKey is the key of Send's context: the context that a dialer gets ends with the dialing.
type callerKey struct{}

// mortal is a connection that closes when its caller's context ends.
type mortal struct {
	net.Conn
	stop func() bool
}

// Close implements net.Conn.
func (m *mortal) Close() error {
	m.stop()
	return m.Conn.Close()
}

// Send implements Sender. A server that refuses the recipient or the content with a 5xx will never accept the message;
// everything else, including a wrong password of ours, can be fixed.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	msg, err := compose(s.from, m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*smtpTimeout)
	defer cancel() // also closes a connection that the library left open
	ctx = context.WithValue(ctx, callerKey{}, ctx)
	conn, err := s.client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return failure(ctx, stageConnect, err)
	}
	err = s.client.SendWithSMTPClient(conn, msg)
	// Once the server has accepted the message, later errors do not matter: sending it again would make a duplicate.
	if err != nil && !msg.IsDelivered() {
		_ = conn.Close()
		return failure(ctx, stageOf(err), err)
	}
	_ = s.client.CloseWithSMTPClient(conn)
	return nil
}

// stageOf returns how far the library got.
func stageOf(err error) string {
	var sent *gomail.SendError
	if !errors.As(err, &sent) {
		return stageConnect
	}
	switch sent.Reason {
	case gomail.ErrSMTPMailFrom:
		return stageSender
	case gomail.ErrSMTPRcptTo:
		return stageRecipient
	case gomail.ErrSMTPData, gomail.ErrSMTPDataClose, gomail.ErrWriteContent:
		return stageData
	default:
		return stageConnect
	}
}

// failure turns an error of the library into one of ours, without what it quotes.
func failure(ctx context.Context, stage string, err error) error {
	e := &Error{Stage: stage}
	var sent *gomail.SendError
	var said *textproto.Error
	var network net.Error
	switch {
	case errors.As(err, &sent) && sent.ErrorCode() != 0:
		e.Code, e.Enhanced = sent.ErrorCode(), sent.EnhancedStatusCode()
	case errors.As(err, &said):
		e.Code = said.Code
	}
	e.Timeout = ctx.Err() != nil || errors.As(err, &network) && network.Timeout()
	e.Permanent = e.Code >= 500 && e.Code <= 599 && (stage == stageRecipient || stage == stageData)
	return e
}
