package assistant

import (
	"strings"
	"unicode"
)

// language is one that the assistant understands: its rules about emergencies and unsafe sentences have words for
// these, and for no others.
type language int

const (
	english language = iota
	german
)

// common are words that nearly every sentence of a language has, as plain writes them, and that its neighbours do not
// share.
var common = map[string]language{}

func init() {
	const (
		en = `the and of to is are was were that with for your you it this these those can could would should will or if be
			been have has had not when what why how which who from by may might about there their they them i my do does did
			im ive dont cant isnt also help its than often more some such get got too after take
			see contact call keep avoid within during between into over out because while until many most other people well good
			usually often better drink water rest doctor`
		de = `der die das und ist sind war nicht mit fur fuer sie ihr ihre ihren ihnen ein eine einen einem einer zu bei oder
			wenn kann konnen koennen auch auf von werden wird sich es ich mein meine meinen mir mich wie was warum habe haben hat
			bin dem den zum zur durch noch schon seit nach wenden sollte sollten kein keine bitte gegen tut man aber dass arzt
			viel mehr sehr bis einige andere haufig meist meistens trinken hilft helfen`
	)
	for _, w := range strings.Fields(en) {
		common[w] = english
	}
	for _, w := range strings.Fields(de) {
		common[w] = german
	}
}

// tally counts the words of a text, and those that are common in each language.
type tally struct {
	words int
	of    [2]int
}

func tallyOf(s string) (t tally) {
	for w := range strings.FieldsSeq(plain(s)) {
		t.words++
		if l, ok := common[w]; ok {
			t.of[l]++
		}
	}
	return t
}

// language is the one in which to answer.
func (t tally) language() language {
	if t.of[german] > t.of[english] {
		return german
	}
	return english
}

// enough is how many words tell whether a text is in one of our languages; below, a list of symptoms may have none of
// the common ones.
const enough = 8

// understood reports whether a text is in one of our languages, as far as one can tell: at least one in fifteen of its
// words is a common one, and nearly all of its letters are Latin. Usually a third are common.
func understood(s string) bool {
	t := tallyOf(s)
	if t.words >= enough && (t.of[english]+t.of[german])*15 < t.words {
		return false
	}
	letters, latin := 0, 0
	for _, r := range s {
		if !unicode.IsLetter(r) {
			continue
		}
		letters++
		if unicode.Is(unicode.Latin, r) {
			latin++
		}
	}
	return latin*10 >= letters*9
}
