package mail

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFolder_Send(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "mail")
	f := NewFolder(dir, clinic)
	m := message()
	m.Calendar, m.Method = []byte("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"), "CANCEL"
	m.Attachments = []Attachment{{"notes.txt", "text/plain", []byte("hello")}}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := f.Send(context.Background(), m); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	files, err := names(dir)
	require.NoError(t, err)
	require.Len(t, files, 8, "each has a file of its own")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 8, "nothing unfinished is left")
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	info, err = os.Stat(filepath.Join(dir, files[0]))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	raw, err := os.ReadFile(filepath.Join(dir, files[0]))
	require.NoError(t, err)
	checkParts(t, string(raw), m)
	stored, err := load(dir, files[0])
	require.NoError(t, err)
	require.Equal(t,
		[]Attachment{{"cancel.ics", "text/calendar", m.Calendar}, {"notes.txt", "text/plain", []byte("hello")}},
		stored.Attachments)
}

func TestFolder_Send_broken(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "marker")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	err := NewFolder(filepath.Join(file, "mail"), clinic).Send(t.Context(), message())
	requireFailure(t, err, stageWrite, 0, false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	requireFailure(t, NewFolder(t.TempDir(), clinic).Send(ctx, message()), stageWrite, 0, false)
}

// seen is the answer to a browser.
type seen struct {
	status int
	header http.Header
}

// mailboxOf serves a folder.
func mailboxOf(t *testing.T, dir string) func(path string, header ...string) (seen, string) {
	t.Helper()
	srv := httptest.NewServer(Mailbox(dir))
	t.Cleanup(srv.Close)
	return func(path string, header ...string) (seen, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+path, http.NoBody)
		require.NoError(t, err)
		if len(header) == 2 {
			req.Host = header[1]
		}
		res, err := srv.Client().Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return seen{res.StatusCode, res.Header}, string(b)
	}
}

func TestMailbox(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mail")
	get := mailboxOf(t, dir)
	_, page := get("/")
	require.Contains(t, page, "No emails yet", "before there is a folder")

	f := NewFolder(dir, clinic)
	m := message()
	m.Subject, m.Date = "<script>alert(1)</script> older", m.Date.Add(-time.Hour)
	m.To.Name = "<b>Ann</b>"
	m.Text = "See https://clinic.test/appointments/APP0123456789?a=1&b=\"2\" <script>alert(2)</script> javascript:alert(3)"
	m.HTML = "<!DOCTYPE html><html><head></head><body><script>alert(4)</script><a " +
		"href=\"https://clinic.test/\">there</a></body></html>"
	m.Calendar, m.Method = []byte("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"), "REQUEST"
	require.NoError(t, f.Send(t.Context(), m))
	require.NoError(t, f.Send(t.Context(), message()))

	res, page := get("/")
	require.Less(t, strings.Index(page, "Your appointment"), strings.Index(page, "older"), "newest first")
	require.NotContains(t, page, "<script")
	require.NotContains(t, page, "<b>Ann")
	policy := res.header.Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'")
	require.NotContains(t, policy, "script-src")
	require.Equal(t, "nosniff", res.header.Get("X-Content-Type-Options"))

	files, err := names(dir)
	require.NoError(t, err)
	at := "/mail/" + files[1]
	_, page = get(at)
	require.Contains(t, page,
		`<a href="https://clinic.test/appointments/APP0123456789?a=1&amp;b=" rel="noreferrer" target="_blank">`)
	require.Contains(t, page, `sandbox="allow-popups allow-popups-to-escape-sandbox"`)
	require.Contains(t, page, `href="`+at+`/attachments/0"`)
	require.NotContains(t, page, "<script")
	require.NotContains(t, page, `href="javascript`)

	res, page = get(at + "/html")
	require.Contains(t, page, `<base target="_blank">`)
	policy = res.header.Get("Content-Security-Policy")
	require.True(t, strings.HasPrefix(policy, "sandbox "), policy)
	require.NotContains(t, policy, "allow-scripts")
	require.NotContains(t, policy, "allow-same-origin")
	require.Contains(t, policy, "default-src 'none'")

	res, page = get(at + "/attachments/0")
	require.Equal(t, `attachment; filename=request.ics`, res.header.Get("Content-Disposition"))
	require.Equal(t, string(m.Calendar), page)
}

func TestMailbox_refuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secret.txt"), []byte("secret"), 0o600))
	broken := "20261124T093000.000000Z-AAAAAAAA.eml"
	require.NoError(t, os.WriteFile(filepath.Join(dir, broken), []byte("not a mail"), 0o600))
	require.NoError(t, NewFolder(dir, clinic).Send(t.Context(), message()))
	get := mailboxOf(t, dir)
	_, page := get("/")
	require.Contains(t, page, errNotMail.Error())
	for _, path := range []string{
		"/mail/secret.txt", "/mail/..%2f..%2fetc%2fpasswd", "/mail/%2e%2e", "/mail/x/html", "/mail/x/attachments/0",
		"/elsewhere", "/mail/" + broken,
	} {
		res, page := get(path)
		require.Equal(t, http.StatusNotFound, res.status, path)
		require.NotContains(t, page, "secret")
	}
	files, err := names(dir)
	require.NoError(t, err)
	for _, n := range []string{"0", "-1", "x", "999"} {
		res, _ := get("/mail/" + files[len(files)-1] + "/attachments/" + n)
		require.Equal(t, http.StatusNotFound, res.status)
	}
	for host, want := range map[string]int{
		"localhost:1": http.StatusOK, "127.0.0.1": http.StatusOK, "[::1]:80": http.StatusOK,
		"evil.test": http.StatusMisdirectedRequest, "evil.test:80": http.StatusMisdirectedRequest,
		"10.0.0.1":            http.StatusMisdirectedRequest,
		"localhost.evil.test": http.StatusMisdirectedRequest,
	} {
		res, _ := get("/", "Host", host)
		require.Equal(t, want, res.status, host)
	}
}

func FuzzParse(f *testing.F) {
	msg, err := compose(clinic, message())
	require.NoError(f, err)
	var b strings.Builder
	_, err = msg.WriteTo(&b)
	require.NoError(f, err)
	f.Add(b.String())
	f.Add(
		"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n",
	)
	f.Add("Content-Type: text/calendar\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!")
	f.Add("Subject: =?x?q?y?=\r\n\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		m, err := parse(strings.NewReader(s))
		if err != nil {
			return
		}
		require.NoError(t, mailboxPage.Execute(io.Discard, shown{One: &m, Text: pieces(m.Text)}))
		var text strings.Builder
		for _, p := range pieces(m.Text) {
			text.WriteString(p.Text)
		}
		require.Equal(t, m.Text, text.String())
	})
}
