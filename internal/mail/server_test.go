package mail

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"
)

const patience = time.Minute

var clinic = mail.Address{Name: "Housecall", Address: "no-reply@clinic.test"}

func message() Message {
	return Message{
		ID: "confirmed.APP0123456789.2.patient@clinic.test", To: Address{
			"Änn Öhman", "ann@private.test",
		}, Subject: "Your appointment – confirmed",
		Text: "Hello Änn,\n.\nfrom a line with a dot.\n",
		HTML: "<!DOCTYPE html><html><head></head><body><p>Hello Änn</p></body></html>",
		Date: time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC),
	}
}

// taken is an email that the server accepted.
type taken struct{ from, to, user, data string }

// server is a real SMTP server that keeps what it takes, and fails as it is told.
type server struct {
	mu   sync.Mutex // guards the rest
	mail []taken
	rcpt func(n int) error // of the nth recipient
	data func(n int) error
	n    int
}

func (s *server) all() []taken {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]taken(nil), s.mail...)
}

// NewSession implements smtp.Backend.
func (s *server) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{s: s}, nil }

type session struct {
	s *server
	t taken
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if password != "secret" {
			return smtp.ErrAuthFailed
		}
		s.t.user = user
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error { s.t.from = from; return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	s.s.n++
	if s.s.rcpt != nil {
		if err := s.s.rcpt(s.s.n); err != nil {
			return err
		}
	}
	s.t.to = to
	return nil
}

func (s *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	if s.s.data != nil {
		if err := s.s.data(s.s.n); err != nil {
			return err
		}
	}
	s.t.data = string(b)
	s.s.mail = append(s.s.mail, s.t)
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

// certificate returns a certificate for localhost, and a configuration that trusts it.
func certificate(t *testing.T) (tls.Certificate, *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, &tls.Config{
		RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS12,
	}
}

// start serves until the test ends and returns the address. Without cert there is no TLS; implicit uses it from the
// start.
func (s *server) start(t *testing.T, cert *tls.Certificate, implicit bool) Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := ln.Addr().(*net.TCPAddr).Port
	srv := smtp.NewServer(s)
	srv.Domain = "mail.test"
	srv.ErrorLog = quiet{}
	if cert != nil {
		c := &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12}
		if implicit {
			ln = tls.NewListener(ln, c)
		} else {
			srv.TLSConfig = c
		}
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return Server{Host: "localhost", Port: port, Plain: cert == nil, Implicit: implicit}
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

// script is a server that follows a script: for each line it gets, the answer to its first word; "" hangs up, "…" says
// nothing until the client goes. "." is the answer to the end of the data.
func script(t *testing.T, answers map[string]string) (Server, <-chan string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	said := make(chan string, 1000)
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			work.Go(func() { converse(conn, answers, said) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		work.Wait()
	})
	return Server{Host: "127.0.0.1", Port: ln.Addr().(*net.TCPAddr).Port, Plain: true}, said
}

func converse(conn net.Conn, answers map[string]string, said chan<- string) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	say := func(word, usual string) bool {
		answer, told := answers[word]
		if !told {
			answer = usual
		}
		switch answer {
		case "":
			return false
		case "…":
			_, _ = io.Copy(io.Discard, r)
			return false
		}
		_, err := io.WriteString(conn, answer+"\r\n")
		return err == nil
	}
	if !say("greeting", "220 mail.test") {
		return
	}
	data := false
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		if data && line != "." {
			if _, broken := answers["in data"]; broken {
				return
			}
			continue
		}
		word, _, _ := strings.Cut(strings.ToUpper(line), " ")
		said <- word
		usual := "250 ok"
		switch word {
		case "DATA":
			usual, data = "354 go on", true
		case ".":
			data = false
		case "QUIT":
			usual = "221 bye"
		}
		if !say(word, usual) {
			return
		}
	}
}
