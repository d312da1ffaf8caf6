// Package assistant answers patients' general questions about health with a language model that the operator runs or
// rents, over the API of Ollama or the one of OpenAI. The model is never trusted: emergencies are recognised before it
// is asked, each sentence is checked before a patient sees it, and the disclaimer is ours. Nothing that a patient or
// the model says is stored or logged, and the model does not learn who asks.
package assistant

import (
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"housecall/internal/text"
)

// Source says where an answer comes from. The older pages know these words, too.
type Source string

// The sources.
const (
	General   Source = "general"    // a greeting; the model was not asked
	NonHealth Source = "non-health" // the question was declined, since it is not about health
	Health    Source = "health"     // an answer about health, or what to do in an emergency
	Failed    Source = "error"      // there is no answer: the assistant is off, busy, or its model failed
)

// Answer is the whole answer to a message.
type Answer struct {
	// Reply is plain text, in paragraphs; it ends with the disclaimer.
	Reply  string
	Source Source
}

// Options are the configured values of the assistant.
type Options struct {
	// Endpoint is the URL that chats are posted to, and API the protocol spoken there. Without an Endpoint the assistant
	// is off.
	Endpoint string
	API      API
	Key      string // sent as a bearer token; "" for none
	Model    string
	// Timeout limits one whole answer.
	Timeout time.Duration
	// PerHour is how many questions of one patient the model is asked in an hour, over all instances.
	PerHour int
	// AtOnce is how many questions this instance asks the model at once.
	AtOnce int
	// Emergency is the number that people call in an emergency, or words such as "your local emergency number".
	Emergency string
}

// MaxChars is the length of the longest message, in code points.
const MaxChars = 2000

const (
	// scanned is how much of a message is searched for an emergency, in bytes: all that may be sent, in our languages, and
	// the beginning of what is too long. It costs up to some 80 ms of a processor.
	scanned = 4 << 10
	// perMinute is how many messages of any kind a patient may send in a minute. It is far more than people type.
	perMinute = 30
	// perPatientAtOnce keeps one patient from taking all of AtOnce.
	perPatientAtOnce = 2
	// mostAnswerBytes is the length at which an answer is cut, after a sentence.
	mostAnswerBytes = 6 << 10
)

var message = text.Rule{Min: 1, Max: MaxChars}

// apostrophes are the marks that people type for one; not every keyboard has it. Some are letters to Unicode, and NFKD
// makes a space and an accent of others.
var apostrophes = strings.NewReplacer("’", "'", "‘", "'", "‛", "'", "`", "'", "´", "'", "′", "'", "‵", "'", "＇", "'",
	"ʹ", "'", "ʻ", "'", "ʼ", "'", "ʽ", "'", "ˈ", "'", "ˊ", "'", "ˋ", "'", "՚", "'", "ꞌ", "'")

// decomposed returns a text in the form NFKD, in which each apostrophe is '.
func decomposed(s string) string { return norm.NFKD.String(apostrophes.Replace(s)) }

// plain returns what people mean by a text, for comparing words: lower case, no accents, ligatures or invisible marks,
// words of letters and digits with one space between them and one at each end. "Can’t breathe!" is " cant breathe ".
func plain(s string) string {
	var b strings.Builder
	b.WriteByte(' ')
	space := true
	for _, r := range decomposed(s) {
		switch {
		case unicode.Is(unicode.Mn, r), unicode.Is(unicode.Cf, r), r == '\'':
		case r == 'ß':
			b.WriteString("ss")
			space = false
		case unicode.IsLetter(r), unicode.IsDigit(r):
			b.WriteRune(unicode.ToLower(r))
			space = false
		case !space:
			b.WriteByte(' ')
			space = true
		}
	}
	if !space {
		b.WriteByte(' ')
	}
	return b.String()
}

// head returns the first n bytes of s at most, as valid UTF-8.
func head(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}
