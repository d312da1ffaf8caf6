package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"
)

// postbox is a mail server that takes everything but mail to nobody@…
type postbox struct{ taken chan string }

// NewSession implements smtp.Backend.
func (p *postbox) NewSession(*smtp.Conn) (smtp.Session, error) { return p, nil }

// Mail implements smtp.Session.
func (p *postbox) Mail(string, *smtp.MailOptions) error { return nil }

// Rcpt implements smtp.Session.
func (p *postbox) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "marker"}
	}
	return nil
}

// Data implements smtp.Session.
func (p *postbox) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	p.taken <- string(b)
	return err
}

// Reset implements smtp.Session.
func (p *postbox) Reset() {}

// Logout implements smtp.Session.
func (p *postbox) Logout() error { return nil }

// gets waits for an email with a text in it.
func (p *postbox) gets(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case taken := <-p.taken:
			if strings.Contains(taken, text) {
				return
			}
		case <-deadline:
			require.FailNow(t, "no email has "+text)
		}
	}
}

// newPostbox starts one, and returns it with its address.
func newPostbox(t *testing.T) (*postbox, string) {
	t.Helper()
	box := &postbox{taken: make(chan string, 100)}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := smtp.NewServer(box)
	server.Domain = "mail.test"
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	return box, "smtp://" + ln.Addr().String()
}

func TestMailTest(t *testing.T) {
	t.Parallel()
	box, address := newPostbox(t)
	from := program{"MAIL_FROM": "The Clinic <no-reply@clinic.test>"}
	at := func(query string) program { return from.with("SMTP_URL", address+"/"+query) }

	r := at("?tls=none").run(t, "", "mail", "test", "--to", "ann@bücher.example")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stdout, "ann@xn--bcher-kva.example")
	taken := <-box.taken
	require.Contains(t, taken, "To: <ann@xn--bcher-kva.example>")
	require.Contains(t, taken, "how The Clinic sends mail")

	dir := filepath.Join(t.TempDir(), "mail")
	r = from.with("MAIL_DIR", dir).run(t, "", "mail", "test", "--to", "ann@example.org")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stdout, dir)
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 1)

	for says, c := range map[string]struct {
		env program
		to  string
	}{
		"offers no STARTTLS":      {at(""), "ann@example.org"},
		"550 5.1.1":               {at("?tls=none"), "nobody@example.org"},
		"must be an email":        {at("?tls=none"), "ann"},
		"HOUSECALL_SMTP_URL must": {from.with("SMTP_URL", "marker"), "ann@example.org"},
		"name does not exist":     {from.with("SMTP_URL", "smtp://mail.invalid"), "ann@example.org"},
	} {
		r := c.env.run(t, "", "mail", "test", "--to", c.to)
		require.Equal(t, 1, r.code, says)
		require.Contains(t, r.stderr, says)
		require.NotContains(t, r.stderr, "marker")
	}
}
