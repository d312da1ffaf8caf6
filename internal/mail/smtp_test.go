package mail

import (
	"context"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"
)

func sender(t *testing.T, s Server) *SMTP {
	t.Helper()
	out, err := NewSMTP(s, clinic, nil)
	require.NoError(t, err)
	return out
}

func TestSMTP_Send(t *testing.T) {
	t.Parallel()
	cert, trust := certificate(t)
	for name, implicit := range map[string]bool{"STARTTLS": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := &server{}
			at := srv.start(t, &cert, implicit)
			at.User, at.Password = "clinic", "secret"
			s, err := NewSMTP(at, clinic, trust)
			require.NoError(t, err)
			m := message()
			m.Calendar, m.Method = []byte("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"), "REQUEST"
			require.NoError(t, s.Send(t.Context(), m))
			got := srv.all()
			require.Len(t, got, 1)
			require.Equal(t, "no-reply@clinic.test", got[0].from)
			require.Equal(t, "ann@private.test", got[0].to)
			require.Equal(t, "clinic", got[0].user)
			checkParts(t, got[0].data, m)

			at.Password = "wrong"
			s, err = NewSMTP(at, clinic, trust)
			require.NoError(t, err)
			err = s.Send(t.Context(), m)
			requireFailure(t, err, stageConnect, 535, false) // we can fix it, so it is not permanent
			_, untrusting := certificate(t)
			s, err = NewSMTP(at, clinic, untrusting)
			require.NoError(t, err)
			requireFailure(t, s.Send(t.Context(), m), stageConnect, 0, false)
			require.Len(t, srv.all(), 1)
		})
	}
}

func checkParts(t *testing.T, data string, m Message) {
	t.Helper()
	parsed, err := parse(strings.NewReader(data))
	require.NoError(t, err)
	require.Equal(t, strings.ReplaceAll(m.Text, "\n", "\r\n"),
		strings.ReplaceAll(strings.ReplaceAll(parsed.Text, "\r\n", "\n"), "\n", "\r\n"))
	require.Equal(t, m.HTML, strings.TrimRight(parsed.HTML, "\r\n"))
	require.Equal(t, m.Subject, parsed.Subject)
	require.Contains(t, parsed.To, m.To.Name)
	require.True(t, m.Date.Equal(parsed.Date))
	require.Contains(t, data, "Message-ID: <"+m.ID+">")
	require.Contains(t, data, "Auto-Submitted: auto-generated")
	require.Contains(t, data, "multipart/alternative")
	require.Contains(t, data, "text/calendar; method="+m.Method)
	require.NotContains(t, data, "go-mail")
}

// requireFailure requires an Error that reveals nothing about the email or what the server said.
func requireFailure(t *testing.T, err error, stage string, code int, permanent bool) {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, stage, e.Stage)
	require.Equal(t, code, e.Code)
	require.Equal(t, permanent, e.Permanent)
	for _, private := range []string{"ann", "Änn", "private.test", "secret", "marker", "127.0.0.1"} {
		require.NotContains(t, err.Error(), private)
	}
}

func TestSMTP_Send_withoutTLS(t *testing.T) {
	t.Parallel()
	srv := &server{}
	at := srv.start(t, nil, false)
	require.NoError(t, sender(t, at).Send(t.Context(), message()))
	at.Plain = false
	requireFailure(t, sender(t, at).Send(t.Context(), message()), stageConnect, 0, false)
	require.Len(t, srv.all(), 1, "nothing goes in clear unless it is allowed to")
}

func TestSMTP_Send_refused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers   map[string]string
		stage     string
		code      int
		permanent bool
	}{
		"nobody there": {
			map[string]string{"RCPT": "550 5.1.1 marker <ann@private.test>"}, stageRecipient, 550, true,
		},
		"greylisted": {map[string]string{"RCPT": "450 4.2.0 marker try again"}, stageRecipient, 450, false},
		"nobody there, without an enhanced code": {
			map[string]string{"RCPT": "550 marker no such user"}, stageRecipient, 550, false, // it may be about us as well
		},
		"the recipient's mailbox is off": {map[string]string{"RCPT": "550 5.2.1 marker"}, stageRecipient, 550, true},
		"the recipient takes no mail":    {map[string]string{"RCPT": "556 5.1.10 marker"}, stageRecipient, 556, true},
		"our domain is unknown":          {map[string]string{"RCPT": "550 5.1.8 marker"}, stageRecipient, 550, false},
		"we are refused at RCPT":         {map[string]string{"RCPT": "554 5.7.1 marker"}, stageRecipient, 554, false},
		"we have to sign in":             {map[string]string{"RCPT": "530 5.7.0 marker"}, stageRecipient, 530, false},
		"we have to sign in (Exim)": {
			map[string]string{"RCPT": "550 marker authentication required"}, stageRecipient, 550, false,
		},
		"too large, without an enhanced code": {map[string]string{".": "552 marker"}, stageData, 552, true},
		"too large":                           {map[string]string{".": "552 5.3.4 marker"}, stageData, 552, true},
		"too large, at MAIL":                  {map[string]string{"MAIL": "552 5.3.4 marker"}, stageSender, 552, true},
		"content refused":                     {map[string]string{".": "554 5.7.1 marker"}, stageData, 554, false},
		"a code that lies":                    {map[string]string{"RCPT": "550 2.1.5 marker"}, stageRecipient, 550, false},
		"no room":                             {map[string]string{".": "452 marker"}, stageData, 452, false},
		"DATA refused":                        {map[string]string{"DATA": "451 marker"}, stageData, 451, false},
		"we are refused":                      {map[string]string{"MAIL": "550 marker"}, stageSender, 550, false},
		"busy":                                {map[string]string{"greeting": "421 marker"}, stageConnect, 421, false},
		"no greeting":                         {map[string]string{"greeting": ""}, stageConnect, 0, false},
		"hangs up at EHLO":                    {map[string]string{"EHLO": "", "HELO": ""}, stageConnect, 0, false},
		"hangs up at RCPT":                    {map[string]string{"RCPT": ""}, stageRecipient, 0, false},
		"hangs up in the data":                {map[string]string{"in data": ""}, stageData, 0, false},
		"hangs up at the end":                 {map[string]string{".": ""}, stageData, 0, false},
		"speaks something else":               {map[string]string{"greeting": "marker"}, stageConnect, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at, _ := script(t, c.answers)
			requireFailure(t, sender(t, at).Send(t.Context(), message()), c.stage, c.code, c.permanent)
		})
	}
	t.Run("not there", func(t *testing.T) {
		t.Parallel()
		requireFailure(t, sender(t, Server{Host: "127.0.0.1", Port: 1, Plain: true}).Send(t.Context(), message()),
			stageConnect, 0, false)
	})
}

// A server that accepts the email and then dies has it: sending it again would make a duplicate.
func TestSMTP_Send_takenThenDead(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string]map[string]string{
		"hangs up at RSET": {"RSET": ""}, "refuses RSET": {"RSET": "500 marker"}, "hangs up at QUIT": {"QUIT": ""},
		"refuses QUIT": {"QUIT": "500 marker"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at, _ := script(t, answers)
			require.NoError(t, sender(t, at).Send(t.Context(), message()))
		})
	}
}

// The end of the context breaks the connection to a silent server.
func TestSMTP_Send_cancelled(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"EHLO", "MAIL", "RCPT", "DATA", "."} {
		t.Run(word, func(t *testing.T) {
			t.Parallel()
			at, said := script(t, map[string]string{word: "…"})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done, s := make(chan error, 1), sender(t, at)
			go func() { done <- s.Send(ctx, message()) }()
			for heard := ""; heard != word; {
				select {
				case heard = <-said:
				case <-time.After(patience):
					require.FailNow(t, "the server heard nothing")
				}
			}
			cancel()
			select {
			case err := <-done:
				var e *Error
				require.ErrorAs(t, err, &e)
				require.True(t, e.Timeout)
				require.False(t, e.Permanent)
			case <-time.After(patience):
				require.FailNow(t, "it waits on")
			}
		})
	}
}

func TestSMTP_Send_refusedThenTaken(t *testing.T) {
	t.Parallel()
	srv := &server{rcpt: func(n int) error {
		if n < 3 {
			return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "marker later"}
		}
		return nil
	}}
	s := sender(t, srv.start(t, nil, false))
	for range 2 {
		err := s.Send(t.Context(), message())
		requireFailure(t, err, stageRecipient, 450, false)
		require.ErrorContains(t, err, "4.2.1")
	}
	require.NoError(t, s.Send(t.Context(), message()))
	require.Len(t, srv.all(), 1)
}

func TestCompose_refuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Message){
		"a line in the subject":   func(m *Message) { m.Subject = "Hello\r\nBcc: eve@evil.test" },
		"a line in the name":      func(m *Message) { m.To.Name = "Ann\nBcc: eve@evil.test" },
		"a line in the address":   func(m *Message) { m.To.Email = "ann@private.test\r\nBcc: eve@evil.test" },
		"two addresses":           func(m *Message) { m.To.Email = "ann@private.test, eve@evil.test" },
		"a name in the address":   func(m *Message) { m.To.Email = "Ann <ann@private.test>" },
		"no address":              func(m *Message) { m.To.Email = "" },
		"an address in Unicode":   func(m *Message) { m.To.Email = "änn@private.test" },
		"a line in the id":        func(m *Message) { m.ID = "a@b\r\nBcc: eve@evil.test" },
		"an id without a domain":  func(m *Message) { m.ID = "a" },
		"an id that closes":       func(m *Message) { m.ID = "a@b> <c@d" },
		"U+0000":                  func(m *Message) { m.Subject = "\x00" },
		"broken UTF-8":            func(m *Message) { m.Subject = "\xff" },
		"no text":                 func(m *Message) { m.Text = "" },
		"no HTML":                 func(m *Message) { m.HTML = "" },
		"another method":          func(m *Message) { m.Calendar, m.Method = []byte("x"), "PUBLISH" },
		"a line in the method":    func(m *Message) { m.Calendar, m.Method = []byte("x"), "REQUEST\r\nX: y" },
		"a path as a file's name": func(m *Message) { m.Attachments = []Attachment{{"../x", "text/plain", nil}} },
		"a file without a type":   func(m *Message) { m.Attachments = []Attachment{{"x", "", nil}} },
		"a line in a file's type": func(m *Message) { m.Attachments = []Attachment{{"x", "text/plain\r\nX: y", nil}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := message()
			change(&m)
			_, err := compose(clinic, m)
			requireFailure(t, err, stageCompose, 0, true)
		})
	}
}

// headers are all headers that an email may have.
var headers = []string{"Auto-Submitted", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To"}

func FuzzCompose(f *testing.F) {
	f.Add("Ann", "ann@private.test", "Hello", "a@b", "text", "<p>html</p>")
	f.Add("Ann\r\nBcc: x@y", "ann@private.test\r\n", "Hello\nBcc: eve@evil.test", "a@b\r\n", "text\r\n.\r\nMAIL FROM:<x>",
		"\r\n\r\n--boundary")
	f.Add("=?utf-8?q?Ann=0D=0ABcc:_x@y?=", "ann@private.test", "=?utf-8?q?=0D=0ABcc:_x@y?=", "a@b", "\x00", "\xff")
	f.Add("Änn \"the\" <x@y>", "a@b", strings.Repeat("ä ", 200), "a@b", "x", "y")
	f.Fuzz(func(t *testing.T, name, email, subject, id, text, html string) {
		m := Message{ID: id, To: Address{name, email}, Subject: subject, Text: text, HTML: html, Date: message().Date}
		msg, err := compose(clinic, m)
		if err != nil {
			var e *Error
			require.ErrorAs(t, err, &e)
			require.True(t, e.Permanent)
			return
		}
		var b strings.Builder
		_, err = msg.WriteTo(&b)
		require.NoError(t, err)
		parsed, err := mail.ReadMessage(strings.NewReader(b.String()))
		require.NoError(t, err)
		for h, values := range parsed.Header {
			require.Contains(t, headers, h, "only our headers")
			require.Len(t, values, 1, h)
		}
		to, err := parsed.Header.AddressList("To")
		require.NoError(t, err)
		require.Len(t, to, 1)
		require.Equal(t, email, to[0].Address)
		require.Equal(t, "<"+id+">", parsed.Header.Get("Message-Id"))
		for line := range strings.SplitSeq(b.String(), "\r\n") {
			require.NotContains(t, line, "\n", "no bare line feed")
			require.NotContains(t, line, "\r", "no bare carriage return")
		}
	})
}

func TestError(t *testing.T) {
	t.Parallel()
	require.EqualError(t, &Error{Stage: stageRecipient, Code: 550, Enhanced: "5.1.1", Permanent: true},
		"sending failed at the stage recipient, code 550 5.1.1, permanently")
	require.EqualError(t, &Error{Stage: stageConnect, Timeout: true}, "sending failed at the stage connect, timed out")
}
