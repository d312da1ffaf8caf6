package app

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"housecall/internal/config"
)

// machine is a server that speaks OpenAI's API. It says the first part of its answer, and the rest once it may.
func machine(t *testing.T, rest <-chan string) *httptest.Server {
	t.Helper()
	m := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		say := func(text string) {
			_, _ = fmt.Fprintf(w, "data: {\"choices\":[{\"delta\":{\"content\":%q}}]}\n\n", text)
			_ = http.NewResponseController(w).Flush()
		}
		say("Rest and drink enough water for a few days. And")
		select {
		case text := <-rest:
			say(text)
			_, _ = io.WriteString(w, "data: [DONE]\n\n")
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(m.Close)
	return m
}

// withAssistant has an instance use a model.
func withAssistant(m *httptest.Server) func(*config.Config) {
	return func(c *config.Config) {
		c.AssistantURL, c.AssistantModel, c.ClinicEmergency = m.URL+"/v1", "a-model", "112"
	}
}

const lastAnswer = `[...document.querySelectorAll("#answers .theirs .text")].at(-1).textContent`

// asksTheAssistant goes from the list of appointments to the assistant, and asks it with the keyboard alone.
func (t *tab) asksTheAssistant(home string, rest chan<- string) {
	t.t.Helper()
	t.goes(home + "/inbox")
	t.waits("the link is shown", `document.querySelector("#assistant-link").checkVisibility()`)
	t.run(chromedp.Click("#assistant-link a", chromedp.ByQuery))
	t.waits("whom to call", `document.querySelector("#assistant-emergency").textContent === "In an emergency call 112."`)
	t.waits("the field has the focus", `document.activeElement.id === "question"`)
	var said string
	t.eval(`document.querySelector(".assistant").innerText`, &said)
	require.Contains(t.t, said, "not a doctor")

	t.run(chromedp.SendKeys("#question", "What helps against a cough?\r", chromedp.ByID))
	t.waits("the first part is shown", lastAnswer+` === "Rest and drink enough water for a few days. "`)
	t.waits("it can be stopped", `document.querySelector("#stop").checkVisibility()`)
	rest <- " see a doctor if it does not get better."
	t.waits("the disclaimer is at the end", lastAnswer+`.endsWith("In an emergency call 112.")`)
	t.eval(lastAnswer, &said)
	require.True(t.t, strings.HasPrefix(said,
		"Rest and drink enough water for a few days. And see a doctor if it does not get better.\n\nThis answer"), said)
	t.screen("assistant-phone-light", 390, 780, false)
	t.screen("assistant-desktop-dark", 1100, 800, true)

	t.run(chromedp.SendKeys("#question", "What helps against a cold?\r", chromedp.ByID))
	t.waits("the first part is shown", lastAnswer+` === "Rest and drink enough water for a few days. "`)
	rest <- " take 500 mg of this. And so on."
	t.waits("what is not safe is not shown", lastAnswer+`.includes("I cannot diagnose")`)
	t.eval(lastAnswer, &said)
	require.NotContains(t.t, said, "500")

	t.run(chromedp.SendKeys("#question", "I have chest pain\r", chromedp.ByID))
	t.waits("an emergency is answered at once", lastAnswer+`.includes("Call 112 now")`)

	t.run(chromedp.SetValue("#question", strings.Repeat("a cough ", 300), chromedp.ByID),
		chromedp.SendKeys("#question", "\r", chromedp.ByID))
	t.waits("a question that is too long is refused",
		`document.querySelector("#question-error").textContent.startsWith("This question is too long: it has 2399")`)
	t.waits("its text is kept, and nothing is asked", `document.querySelector("#question").value !== "" &&
		document.querySelector("#stop").hidden && document.querySelectorAll("#answers .theirs").length === 3`)
	t.run(chromedp.SetValue("#question", "I have chest pain "+strings.Repeat("a cough ", 300), chromedp.ByID),
		chromedp.SendKeys("#question", "\r", chromedp.ByID))
	t.waits("an emergency in one is answered", `document.querySelectorAll("#answers .theirs").length === 4 && `+
		lastAnswer+`.includes("Call 112 now")`)

	t.run(chromedp.SendKeys("#question", "What helps against fever?\r", chromedp.ByID))
	t.waits("the first part is shown", lastAnswer+` === "Rest and drink enough water for a few days. "`)
	t.run(chromedp.Click("#stop", chromedp.ByID))
	t.waits("it stops", lastAnswer+` === "Stopped."`)
	t.waits("the field has the focus again", `document.activeElement.id === "question"`)
	t.run(chromedp.Click(".assistant .top a", chromedp.ByQuery))
	t.waits("it leads back", `document.querySelector(".appointments")`)
}
