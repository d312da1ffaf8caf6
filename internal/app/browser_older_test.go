package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/config"
)

// olderPages is an instance, and web pages on another origin that do what those of the Health Management System do,
// with the same words, header and shapes (testdata/older_pages).
type olderPages struct {
	*world
	browser *browser
	root    string      // of the pages
	model   chan string // what the assistant's model goes on with
}

func newOlderPages(t *testing.T) *olderPages {
	t.Helper()
	long(t)
	var base atomic.Pointer[string]
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir("testdata/older_pages")))
	mux.HandleFunc("/base.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = fmt.Fprintf(w, "export const base = %q;", *base.Load())
	})
	pages := httptest.NewServer(mux)
	t.Cleanup(pages.Close)
	o := &olderPages{root: pages.URL, model: make(chan string, 1)}
	assistant := withAssistant(machine(t, o.model))
	o.world = newWorld(t, 1, func(c *config.Config) {
		assistant(c)
		c.AllowedOrigins, c.MailFrom = []string{pages.URL}, "Hillside Clinic <no-reply@clinic.test>"
	})
	api := o.url(0) + "/api"
	base.Store(&api)
	o.browser = newBrowser(t)
	return o
}

// newcomer is a tab of somebody who has not signed in.
func (o *olderPages) newcomer() *tab { o.t.Helper(); return o.browser.tab(o.browser.profile()) }

// page opens a page.
func (o *olderPages) page(t *tab, name string) { o.t.Helper(); t.goes(o.root + "/" + name + ".html") }

// enters signs in and waits for the page of the role.
func (o *olderPages) enters(t *tab, userID, secret, page string) {
	o.t.Helper()
	o.page(t, "login")
	t.sends("#login", fields{"userId": userID, "password": secret})
	t.waits("the page of "+page, `location.pathname === "/`+page+`.html" && document.readyState === "complete"`)
}

type fields map[string]string

// sends fills in a form and sends it, as long as the browser itself has nothing against its fields.
func (t *tab) sends(form string, f fields) {
	t.t.Helper()
	values, err := json.Marshal(f)
	require.NoError(t.t, err)
	t.waits("the form "+form, `document.readyState === "complete" && document.querySelector(`+quoted(form)+`)`)
	t.eval(`(() => {
		const form = document.querySelector(`+quoted(form)+`);
		for (const [name, value] of Object.entries(`+string(values)+`)) form.elements[name].value = value;
		form.requestSubmit();
	})()`, nil)
}

// presses presses a button, or follows a link, with that text, in the first line of a list.
func (t *tab) presses(list, text string) {
	t.t.Helper()
	found := `[...document.querySelectorAll(` + quoted(list+" li:first-child > :is(button, a)") + `)].find((e) => e.textContent === ` + quoted(text) + `)`
	t.waits(text+" in "+list, found)
	t.eval(found+`.click()`, nil)
}

// shown waits until an element shows a text.
func (t *tab) shown(element, text string) {
	t.t.Helper()
	t.waits(element+" shows "+text, `document.querySelector(`+quoted(element)+`).textContent === `+quoted(text))
}

// lists waits until the lines of a list, without buttons and forms, are these.
func (t *tab) lists(list string, lines ...string) {
	t.t.Helper()
	want, err := json.Marshal(append([]string{}, lines...))
	require.NoError(t.t, err)
	t.waits(list+" has the lines "+string(want), `JSON.stringify([...document.querySelectorAll(`+quoted(list+" > li")+
		`)].map((li) => li.firstChild.textContent)) === JSON.stringify(`+string(want)+`)`)
}

// refused waits until something was refused with a status and a message, of which the page shows nothing.
func (t *tab) refused(status int, message string) {
	t.t.Helper()
	t.waits("it was refused", `last !== null`)
	var got string
	t.eval(`last.status + " " + JSON.stringify(last.data)`, &got)
	require.Equal(t.t, fmt.Sprintf(`%d {"message":%s}`, status, quoted(message)), got)
	t.shown("#said", "")
	t.eval(`last = null`, nil)
}

func quoted(s string) string {
	q, _ := json.Marshal(s) // a text can always be encoded
	return string(q)
}

// The older pages' story: everything that people did with them, in a browser, on another origin.
func TestBrowser_OlderPages(t *testing.T) {
	o := newOlderPages(t)
	eve := o.person(auth.Admin)
	admin, doctor, patient := o.newcomer(), o.newcomer(), o.newcomer()
	// West of UTC, a day must not become the one before.
	patient.run(emulation.SetTimezoneOverride("America/Los_Angeles"))

	o.enters(admin, eve.userID, password, "admin")
	o.doctorIsCreated(admin, doctor)
	patientID := o.patientRegisters(patient)
	o.patientRequests(patient)
	o.patientAsksTheAssistant(patient)
	day := o.doctorDecides(patient, doctor)
	o.patientSees(patient, day)
	o.bothChat(patient, doctor)
	o.everythingIsListed(admin, doctor, day)
	o.passwordsChange(patient, patientID)
}

// patientAsksTheAssistant greets it, asks it about their health, and has an emergency.
func (o *olderPages) patientAsksTheAssistant(patient *tab) {
	o.t.Helper()
	ask := func(message, source, says string) {
		o.t.Helper()
		patient.sends("#agent", fields{"message": message})
		patient.waits(source, `document.querySelector("#reply").textContent.startsWith(`+quoted(source+" | ")+`)`)
		var reply string
		patient.eval(`document.querySelector("#reply").textContent`, &reply)
		require.Contains(o.t, reply, says)
	}
	ask("Hello", "general", "")
	ask("Who won the football match?", "non-health", "")
	o.model <- " see a doctor if it lasts."
	ask("What helps against a cough?", "health", "Rest and drink enough water for a few days. And see a doctor if it lasts.")
	ask("I have chest pain", "health", "112")
	patient.sends("#agent", fields{"message": " "})
	patient.shown("#reply", "Message is required")
}

// doctorIsCreated has the doctor made, and sign in with the id from their email and the password that was shown once.
func (o *olderPages) doctorIsCreated(admin, doctor *tab) {
	o.t.Helper()
	cara := fields{
		"name": "Dr Cara Lim", "email": "cara@private.test", "specialization": "Cardiology", "experience": "7",
		"qualification": "MD", "phoneNo": "9841111111",
	}
	admin.sends("#create", cara)
	admin.shown("#said", "Doctor Created Successfully")
	var plain string
	admin.eval(`document.querySelector("#plain").textContent`, &plain)
	admin.sends("#create", cara)
	admin.refused(409, "There is already an account with this email address.")
	admin.sends("#create", fields{"name": "Dr Dan Roth", "email": "dan@private.test", "specialization": "Surgery"}) // the rest as before
	admin.shown("#said", "Doctor Created Successfully")

	o.eventually("both doctors are told", func() bool { return len(o.mails("enrolled.")) == 2 })
	mail := o.onlyMail("enrolled.", 2)
	require.Contains(o.t, mail, "An account has been created for you at Hillside Clinic.")
	require.Contains(o.t, mail, "http://clinic.test/reset?token=")
	found := regexp.MustCompile(`(?s)cara@private\.test.*?Your user id is (DOC[0-9A-Z]{10})\.`).FindStringSubmatch(mail)
	require.NotNil(o.t, found, mail)

	o.enters(doctor, found[1], plain, "doctor")
	doctor.refused(403, "Choose a new password first, under Update password.")
	doctor.sends("#password", fields{"newPassword": password})
	doctor.shown("#said", "Password Updated Successfully")
	o.page(doctor, "doctor")
	doctor.shown("#me", "Dr Cara Lim | Cardiology | 7 | MD | 9841111111")
	doctor.sends("#info", fields{"specialization": "Neurology", "experience": "8"})
	doctor.shown("#said", "Doctor info updated successfully")
	doctor.shown("#me", "Dr Cara Lim | Neurology | 8 | MD | 9841111111")
}

// patientRegisters registers and signs in with the id from the email: the pages never show it.
func (o *olderPages) patientRegisters(patient *tab) (userID string) {
	o.t.Helper()
	pia := fields{
		"name": "Pia Patient", "email": "pia@private.test", "password": "short", "phoneNo": "9841000000", "gender": "Female",
		"age": "34",
	}
	o.page(patient, "register")
	patient.sends("#register", pia)
	patient.refused(400, "password must have 10 to 128 characters.")
	pia["password"] = password
	patient.sends("#register", pia)
	patient.waits("the page to sign in", `location.pathname === "/login.html"`)
	o.page(patient, "register")
	patient.sends("#register", pia)
	patient.shown("#said", "There is already a user with this email")

	mail := o.onlyMail("verify_email.", 2) // the other one is the doctor's, who has chosen a password
	found := regexp.MustCompile(`Your user id is (PAT[0-9A-Z]{10})\.`).FindStringSubmatch(mail)
	require.NotNil(o.t, found, mail)
	o.page(patient, "login")
	patient.sends("#login", fields{"userId": found[1], "password": "wrong"})
	patient.shown("#said", "The email address or user id, or the password, is wrong.")
	o.enters(patient, found[1], password, "patient")
	patient.shown("#me", "Pia Patient | PATIENT | 9841000000 | Female | 34")
	patient.sends("#profile", fields{"phoneNo": "9841999999", "age": "35"})
	patient.shown("#said", "User Updated Successfully")
	patient.shown("#me", "Pia Patient | PATIENT | 9841999999 | Female | 35")
	return found[1]
}

func (o *olderPages) patientRequests(patient *tab) {
	o.t.Helper()
	patient.lists("#doctors", "Dr Dan Roth | Surgery | MD | dan@private.test | 9841111111",
		"Dr Cara Lim | Neurology | MD | cara@private.test | 9841111111")
	for range 2 { // whoever presses twice has asked once
		o.patientPresses(patient)
		patient.lists("#appointments", "PENDING | Dr Cara Lim | - | - | -")
	}
}

func (o *olderPages) patientPresses(patient *tab) {
	o.t.Helper()
	patient.eval(`document.querySelector("#doctors li:last-child button").click()`, nil)
	patient.shown("#said", "Appointment request created successfully")
}

// patientRequestsAgain makes another request, a while after the ones before.
func (o *olderPages) patientRequestsAgain(patient *tab) {
	o.t.Helper()
	_, err := o.apps[0].pool.Exec(o.context(), `update appointments set created_at = created_at - interval '2 minutes'`)
	require.NoError(o.t, err)
	o.page(patient, "patient")
	patient.waits("the doctors", `document.querySelectorAll("#doctors li").length === 2`)
	o.patientPresses(patient)
}

// doctorDecides approves two requests, one without a time of day, and rejects one between them. It returns the day.
func (o *olderPages) doctorDecides(patient, doctor *tab) (day time.Time) {
	o.t.Helper()
	day = time.Now().UTC().AddDate(0, 0, 2) // the clinic's zone is UTC
	o.page(doctor, "doctor")
	const line = "PENDING | Pia Patient | - | - | -"
	doctor.lists("#pending", line)
	doctor.shown("#counts", "1 | 0 | 0 | 1")
	const approve = "#pending li:first-child form"
	date := day.Format(time.DateOnly)
	doctor.sends(approve, fields{"date": date, "time": "half past ten"})
	doctor.refused(400, "time must be a clock time such as 10:30 or 10:30 AM.")
	doctor.sends(approve, fields{"date": date, "time": "10.30 AM", "notes": "Bring your papers."})
	doctor.shown("#said", "Appointment booked successfully")
	doctor.lists("#pending")
	o.patientRequestsAgain(patient)
	o.page(doctor, "doctor")
	doctor.presses("#pending", "Reject")
	doctor.shown("#said", "Appointment rejected successfully")
	doctor.lists("#pending")
	o.patientRequestsAgain(patient)
	o.page(doctor, "doctor")
	doctor.sends(approve, fields{"date": date, "time": ""})
	doctor.shown("#counts", "0 | 2 | 1 | 3")
	return day
}

func (o *olderPages) patientSees(patient *tab, day time.Time) {
	o.t.Helper()
	o.page(patient, "patient")
	shown := day.Format("January 2, 2006")
	patient.lists("#appointments",
		"BOOKED | Dr Cara Lim | "+shown+" | 00:00 | -",
		"REJECTED | Dr Cara Lim | - | - | -",
		"BOOKED | Dr Cara Lim | "+shown+" | 10:30 | Bring your papers.")
}

func (o *olderPages) bothChat(patient, doctor *tab) {
	o.t.Helper()
	patient.presses("#appointments", "Chat")
	doctor.presses("#booked", "Chat")
	patient.sends("#send", fields{"message": "Good morning, <b>doctor</b>"})
	patient.lists("#chat", "me: Good morning, <b>doctor</b>")
	doctor.lists("#chat", "they: Good morning, <b>doctor</b>")
	doctor.sends("#send", fields{"message": "Good morning!"})
	patient.lists("#chat", "me: Good morning, <b>doctor</b>", "they: Good morning!")
	doctor.lists("#chat", "they: Good morning, <b>doctor</b>", "me: Good morning!")
}

func (o *olderPages) everythingIsListed(admin, doctor *tab, day time.Time) {
	o.t.Helper()
	o.page(admin, "admin")
	shown := day.Format("January 2, 2006")
	admin.lists("#doctors", "Dr Dan Roth | DOCTOR | - | - | created", "Dr Cara Lim | DOCTOR | - | - | created")
	admin.lists("#patients", "Pia Patient | PATIENT | Female | 35 | created")
	admin.lists("#pending")
	booked := []string{
		"BOOKED | Pia Patient, Dr Cara Lim | " + shown + " | 00:00 | -",
		"BOOKED | Pia Patient, Dr Cara Lim | " + shown + " | 10:30 | Bring your papers.",
	}
	admin.lists("#booked", booked...)
	admin.lists("#rejected", "REJECTED | Pia Patient, Dr Cara Lim | - | - | -")
	admin.shown("#counts", "0 | 2 | 1 | 2 | 1")
	o.page(doctor, "doctor")
	doctor.lists("#rejected", "REJECTED | Pia Patient | - | - | -")
	doctor.shown("#counts", "0 | 2 | 1 | 3")
}

func (o *olderPages) passwordsChange(patient *tab, userID string) {
	o.t.Helper()
	const next = "another-long-passphrase-8"
	o.page(patient, "patient")
	patient.sends("#password", fields{"newPassword": next})
	patient.shown("#said", "Password Updated Successfully")
	o.page(patient, "login")
	patient.sends("#login", fields{"userId": userID, "password": password})
	patient.shown("#said", "The email address or user id, or the password, is wrong.")
	o.enters(patient, userID, next, "patient")
	require.NotContains(o.t, o.log.String(), "passphrase")
	require.NotContains(o.t, o.log.String(), "Good morning")
}
