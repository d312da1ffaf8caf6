// Package ui serves the pages that emails link to. Those about accounts are plain HTML: they work without a line of
// JavaScript, load nothing from elsewhere, and change nothing when they are merely viewed, as link scanners do.
// Appointments and their conversations are a page of scripts over the API; its chat client, static/housecall-chat.js,
// is a module that any page can use.
package ui

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
)

//go:embed pages
var files embed.FS

var pageTemplate = template.Must(template.ParseFS(files, "pages/page.html"))

// stylePath is where the pages find their style sheet.
const stylePath = "/ui/style.css"

// page is what a page says, with at most one form and one link onwards.
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

// Failed reports whether there is something to correct.
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

// form is sent to the page it is on. What was typed is never shown again: it may be a password.
type form struct {
	Action string
	Token  string // of the email; "" where the page needs none
	Fields []field
	Button string
}

// field is one line to fill in.
type field struct {
	Name, Label, Type, Autocomplete string
	Hint                            string
	Error                           string // what the field must be instead: "must have 10 to 128 characters"
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

// The names of the fields are those that the rules of account use, so that each complaint finds its field.
const (
	fieldLogin    = "login"
	fieldPassword = "password"
	fieldAgain    = "again"
)

const passwordHint = "10 to 128 characters. A few words that only you would combine are better than one word with " +
	"symbols in it. Do not use your name or email address."

func passwordFields(label string) []field {
	return []field{
		{Name: fieldPassword, Label: label, Type: "password", Autocomplete: "new-password", Hint: passwordHint},
		{Name: fieldAgain, Label: "Repeat password", Type: "password", Autocomplete: "new-password"},
	}
}

// forgotLink leads onwards when a link no longer works.
var forgotLink = &link{Path: ForgotPath, Text: "Request a new email"}

// The pages as they are first shown, and what is shown when their form has been accepted.
var (
	verifyPage = page{
		Title: "Confirm your email address", Text: "Select the button to confirm that this address is yours.",
		Form: &form{Action: VerifyPath, Button: "Confirm"},
	}
	verifiedPage = page{Title: "Your email address is confirmed", Text: "You're all set. You can close this page."}

	resetPage = page{
		Title: "Choose a new password", Text: "You will be signed out on all devices.",
		Form: &form{Action: ResetPath, Fields: passwordFields("New password"), Button: "Change password"},
	}
	resetDonePage = page{
		Title: "Your password has been changed",
		Text:  "You can now sign in with it. You have been signed out on all devices.",
	}

	invitationPage = page{
		Title: "Welcome to Housecall", Text: "Choose a password for your account.",
		Form: &form{Action: InvitationPath, Fields: passwordFields("Password"), Button: "Set password"},
	}
	acceptedPage = page{
		Title: "Your password has been set",
		Text:  "You can now sign in with it. We have sent you an email: please use it to confirm your email address.",
	}

	forgotPage = page{
		Title: "Forgot your password?", Text: "We will email you a link to choose a new one.",
		Form: &form{
			Action: ForgotPath, Button: "Send email",
			Fields: []field{{Name: fieldLogin, Label: "Email address or user ID", Type: "text", Autocomplete: "username"}},
		},
	}
	forgottenPage = page{
		Title: "Check your email",
		Text: "If there is an account with that email address or user ID, we have sent it an email with a link. " +
			"If it does not arrive, check your spam folder.",
	}

	// signpostPage stands in for the pages that emails link to and that do not exist yet.
	signpostPage = page{
		Title: "Please sign in",
		Text:  "You will find your offers in your clinic's app, once you have signed in there.",
		Next:  &link{Path: ForgotPath, Text: "Forgot your password?"},
	}

	brokenLinkPage = page{Title: "This link does not work"}
)

// with returns the page for the holder of a token, with complaints by the names of the fields they are about.
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
