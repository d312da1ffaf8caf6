// Package ui serves the pages that mails lead to. Those about accounts are plain HTML: they work without a line of
// JavaScript, load nothing from elsewhere, and change nothing when they are merely looked at, as link scanners do.
// Appointments and the chat in them are a page of scripts over the API; its chat client, static/housecall-chat.js, is a
// module for any page.
package ui

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"

	"housecall/internal/config"
)

//go:embed pages
var files embed.FS

var pageTemplate = template.Must(template.ParseFS(files, "pages/page.html"))

// stylePath is where the pages find how they look.
const stylePath = "/ui/style.css"

// page is what a page says: at most one form, and where to go on.
type page struct {
	Title string
	Text  string
	// Alert is what went wrong, "" for nothing.
	Alert string
	Form  *form
	Next  *link
}

// StylePath is for the template.
func (page) StylePath() string { return stylePath }

// Failed tells whether something is to be put right.
func (p page) Failed() bool {
	if p.Form != nil {
		for _, f := range p.Form.Fields {
			if f.Error != "" {
				return true
			}
		}
	}
	return p.Alert != ""
}

// form is sent to its own page. What was typed is not shown again: it may be a password.
type form struct {
	Action string
	Token  string // of the mail; "" where the page needs none
	Fields []field
	Button string
}

// field is one line to fill in.
type field struct {
	Name, Label, Type, Autocomplete string
	Hint                            string
	Error                           string // how it has to be otherwise: "must have 10 to 128 characters"
}

type link struct{ Path, Text string }

// render writes the HTML of a page.
func render(p page) ([]byte, error) {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		return nil, fmt.Errorf("render a page: %w", err)
	}
	return b.Bytes(), nil
}

// The names of fields: those that the account's rules know them by, so that its complaints find their place.
const (
	fieldLogin    = "login"
	fieldPassword = "password"
	fieldAgain    = "again"
)

const passwordHint = "10 to 128 characters. A few words that only you would put together are better than one with signs in it. " +
	"Not your name or e-mail address."

func passwordFields(label string) []field {
	return []field{
		{Name: fieldPassword, Label: label, Type: "password", Autocomplete: "new-password", Hint: passwordHint},
		{Name: fieldAgain, Label: "Repeat the password", Type: "password", Autocomplete: "new-password"},
	}
}

// forgotLink leads on when a link has stopped working.
var forgotLink = &link{Path: config.ForgotPath, Text: "Ask for a new mail"}

// The pages as they are first shown, and as they are left.
var (
	verifyPage = page{
		Title: "Confirm your e-mail address", Text: "Press the button to confirm that you read the mail of this address.",
		Form: &form{Action: config.VerifyPath, Button: "Confirm"},
	}
	verifiedPage = page{Title: "Your e-mail address is confirmed", Text: "That is all. You can close this page."}

	resetPage = page{
		Title: "Choose a new password", Text: "You will be signed out everywhere.",
		Form: &form{Action: config.ResetPath, Fields: passwordFields("New password"), Button: "Change the password"},
	}
	resetDonePage = page{Title: "Your password is changed", Text: "You can sign in with it now. All other devices are signed out."}

	invitationPage = page{
		Title: "Welcome to Housecall", Text: "Choose a password for your account.",
		Form: &form{Action: config.InvitationPath, Fields: passwordFields("Password"), Button: "Set the password"},
	}
	acceptedPage = page{
		Title: "Your password is set",
		Text:  "You can sign in with it now. We have sent you a mail: please confirm your e-mail address with it.",
	}

	forgotPage = page{
		Title: "Forgotten your password?", Text: "We send you a mail with a link to choose a new one.",
		Form: &form{
			Action: config.ForgotPath, Button: "Send the mail",
			Fields: []field{{Name: fieldLogin, Label: "E-mail address or user id", Type: "text", Autocomplete: "username"}},
		},
	}
	forgottenPage = page{
		Title: "Look into your mail",
		Text:  "If there is an account of that name, a mail with a link is on its way. If none comes, look among the spam.",
	}

	// signpostPage stands where mails lead that tell of what no page shows yet.
	signpostPage = page{
		Title: "Please sign in",
		Text:  "Offers are shown in your clinic's app, once you have signed in there.",
		Next:  &link{Path: config.ForgotPath, Text: "Forgotten your password?"},
	}

	brokenLinkPage = page{Title: "This link does not work"}
)

// with gives the page for the holder of a token, with complaints about fields by their names.
func (p page) with(token string, complaints map[string]string) page {
	if p.Form == nil {
		return p
	}
	f := *p.Form
	f.Token = token
	f.Fields = make([]field, len(p.Form.Fields))
	for i, one := range p.Form.Fields {
		one.Error = complaints[one.Name]
		f.Fields[i] = one
	}
	p.Form = &f
	return p
}
