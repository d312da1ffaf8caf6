package assistant

import (
	"errors"
	"strings"
)

// Why a draft takes no more.
var (
	errUnsafe   = errors.New("assistant: a sentence is not safe")
	errDeclined = errors.New("assistant: the model declined")
	errEnough   = errors.New("assistant: the answer is long enough")
)

// lookBack is how much of what was said counts when the language of the next part is judged, in bytes.
const lookBack = 120

// draft is an answer of the model on its way: it is cut into sentences, each is checked, and only then said.
type draft struct {
	say func(part string) error

	thoughts  thoughts
	sentences sentences
	last      string          // the last sentence that passed the check
	held      string          // sentences that passed it, but are too short to tell the language
	text      strings.Builder // everything that passed, without held
}

// add takes a piece of the model's answer.
func (d *draft) add(piece string) error {
	for _, sentence := range d.sentences.add(d.thoughts.add(piece)) {
		if err := d.check(sentence); err != nil {
			return err
		}
	}
	if len(d.sentences.rest) > mostSentenceBytes {
		return nonsense
	}
	return nil
}

// end takes the rest.
func (d *draft) end() error {
	for _, sentence := range append(d.sentences.add(d.thoughts.end()), d.sentences.end()) {
		if err := d.check(sentence); err != nil {
			return err
		}
	}
	if err := d.release(); err != nil {
		return err
	}
	if strings.TrimSpace(d.text.String()) == "" {
		return nonsense
	}
	return nil
}

// check checks a sentence, by itself and together with the one before: "Take this: 500." may go on with "Milligrams,
// that is."
func (d *draft) check(sentence string) error {
	sentence = tidy(sentence)
	if d.text.Len() == 0 && declines(d.held+sentence) {
		return errDeclined
	}
	if unsafe(sentence) || unsafe(d.last+" "+sentence) {
		if err := d.release(); err != nil {
			return err
		}
		return errUnsafe
	}
	if d.text.Len()+len(d.held)+len(sentence) > mostAnswerBytes {
		if err := d.release(); err != nil {
			return err
		}
		return errEnough
	}
	if strings.TrimSpace(sentence) != "" {
		d.last = sentence
	}
	d.held += sentence
	if tallyOf(d.held).words < enough {
		return nil
	}
	return d.release()
}

// release says what is held back, if it is in a language that the checks know.
func (d *draft) release() error {
	held := d.held
	d.held = ""
	if held == "" {
		return nil
	}
	// A list has few common words, so that what came before is looked at, too.
	t := tallyOf(held)
	if !understood(tail(d.text.String(), lookBack)+held) || d.text.Len() == 0 && t.of[english]+t.of[german] == 0 {
		return nonsense
	}
	d.text.WriteString(held)
	return d.say(held)
}

// tail returns the last n bytes of s at most, as valid UTF-8.
func tail(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[len(s)-n:], "")
	}
	return s
}
