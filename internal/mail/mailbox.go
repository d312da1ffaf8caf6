package mail

import (
	"embed"
	"errors"
	"html/template"
	"io"
	"mime"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
)

//go:embed mailbox.html.tmpl
var mailboxFiles embed.FS

var mailboxPage = template.Must(template.ParseFS(mailboxFiles, "mailbox.html.tmpl"))

// mailboxPolicy lets the pages of the mailbox do nothing but show emails; letterPolicy lets the HTML of an email,
// which is not ours, do even less, but open its links in other tabs.
const (
	mailboxPolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; " +
		"form-action 'none'; frame-ancestors 'none'"
	letterPolicy = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; " +
		"style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)

// Mailbox shows the emails of a folder in a browser, newest first: for development. It answers on loopback names only,
// so that no other site can point its own name here.
func Mailbox(dir string) http.Handler {
	mux := http.NewServeMux()
	b := mailbox{dir}
	mux.HandleFunc("GET /{$}", b.list)
	mux.HandleFunc("GET /mail/{file}", b.show)
	mux.HandleFunc("GET /mail/{file}/html", b.html)
	mux.HandleFunc("GET /mail/{file}/attachments/{n}", b.attachment)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", mailboxPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if !loopback(r.Host) {
			http.Error(w, "This mailbox is available on localhost only.", http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func loopback(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	ip := net.ParseIP(strings.Trim(name, "[]"))
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

type mailbox struct{ dir string }

// shown is what the page shows: a list, or one email.
type shown struct {
	List []Stored
	One  *Stored
	Text []piece
}

// piece is text, or a link.
type piece struct{ Text, Link string }

func (b mailbox) list(w http.ResponseWriter, _ *http.Request) {
	files, err := names(b.dir)
	if err != nil {
		http.Error(w, "The folder cannot be read.", http.StatusInternalServerError)
		return
	}
	var s shown
	for _, name := range files {
		m, err := load(b.dir, name)
		if errors.Is(err, os.ErrNotExist) {
			continue // it was removed in the meantime
		}
		if err != nil {
			m.Subject = "(" + errNotMail.Error() + ")"
		}
		s.List = append(s.List, m)
	}
	write(w, s)
}

// found loads the email that a request names, or answers 404.
func (b mailbox) found(w http.ResponseWriter, r *http.Request) (Stored, bool) {
	m, err := load(b.dir, r.PathValue("file"))
	if err != nil {
		http.Error(w, "There is no such email.", http.StatusNotFound)
		return m, false
	}
	return m, true
}

func (b mailbox) show(w http.ResponseWriter, r *http.Request) {
	if m, ok := b.found(w, r); ok {
		write(w, shown{One: &m, Text: pieces(m.Text)})
	}
}

func (b mailbox) html(w http.ResponseWriter, r *http.Request) {
	m, ok := b.found(w, r)
	if !ok {
		return
	}
	w.Header().Set("Content-Security-Policy", letterPolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// Links open in another tab: the frame could not show anything.
	_, _ = io.WriteString(w, strings.Replace(m.HTML, "<head>", `<head><base target="_blank">`, 1))
}

func (b mailbox) attachment(w http.ResponseWriter, r *http.Request) {
	m, ok := b.found(w, r)
	if !ok {
		return
	}
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil || n < 0 || n >= len(m.Attachments) {
		http.Error(w, "There is no such attachment.", http.StatusNotFound)
		return
	}
	a := m.Attachments[n]
	w.Header().Set("Content-Security-Policy", letterPolicy)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": a.Name}))
	_, _ = w.Write(a.Data)
}

func write(w http.ResponseWriter, s shown) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = mailboxPage.Execute(w, s) // fails only if the reader has gone
}

var address = regexp.MustCompile(`https?://[^\s<>"]+`)

// pieces cuts a text at its links.
func pieces(text string) (out []piece) {
	last := 0
	for _, at := range address.FindAllStringIndex(text, -1) {
		out = append(out, piece{Text: text[last:at[0]]}, piece{Text: text[at[0]:at[1]], Link: text[at[0]:at[1]]})
		last = at[1]
	}
	return append(out, piece{Text: text[last:]})
}
