package search

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"housecall/internal/errs"
	"housecall/internal/text"
)

// prefixMin is how many code points the beginning of a word must have. Shorter ones match so many words that the
// index does not help.
const prefixMin = 3

// query selects texts with all of its terms and none of the excluded ones.
type query struct {
	terms []term
	// before are the terms as the release before cuts words, which documents that it wrote have; nil: the same.
	before []term
}

// term is a word or several in a row: a phrase, or something written as one word that search splits into several.
type term struct {
	words    []soughtWord
	excluded bool
}

// soughtWord is one word of a term; offset is its distance from the first word, in words.
type soughtWord struct {
	text   string
	offset int
	prefix bool // it may be only the beginning of a word
	alone  bool // a character without its neighbour
}

// parseQuery reads a query as typed: words that must all occur, "words in a row", and -excluded words. The last word
// may be only the beginning of one, because the user may still be typing. It refuses only queries without a word to
// look for, and text that cannot be stored.
func parseQuery(typed string) (query, error) {
	if !text.Storable(typed) {
		return query{}, errs.InvalidField("query.q", "must be valid UTF-8 without U+0000")
	}
	terms, sought := termsOf(typed, wordsOf)
	if !sought {
		return query{}, errs.InvalidField("query.q", "needs a word to search for")
	}
	q := query{terms: terms}
	if before, sought := termsOf(typed, wordsBefore); sought && tsqueryOf(before) != tsqueryOf(terms) {
		q.before = before
	}
	return q, nil
}

// termsOf cuts a query into terms, and reports whether one of them is not excluded.
func termsOf(typed string, cut func(string) []word) (terms []term, sought bool) {
	for rest := typed; ; {
		var p part
		if p, rest = nextPart(rest); p.text == "" && rest == "" {
			return terms, sought
		}
		words := cut(p.text)
		if len(words) == 0 {
			continue
		}
		open := !p.quoted && !p.excluded && len(cut(rest)) == 0
		terms = append(terms, term{words: soughtWords(words, open), excluded: p.excluded})
		sought = sought || !p.excluded
	}
}

// part is a piece of a query.
type part struct {
	text             string
	quoted, excluded bool
}

// quotes are the marks that open and close a phrase; phones insert the curved ones automatically.
const quotes = "\"“”„«»"

// nextPart splits the first part off a query.
func nextPart(s string) (p part, rest string) {
	s = strings.TrimLeftFunc(s, unicode.IsSpace)
	if after, ok := strings.CutPrefix(s, "-"); ok {
		p.excluded, s = true, after
	}
	if trimmed := strings.TrimLeft(s, quotes); trimmed != s {
		p.quoted = true
		p.text, rest = cutAt(trimmed, func(r rune) bool { return strings.ContainsRune(quotes, r) })
		return p, strings.TrimLeft(rest, quotes)
	}
	p.text, rest = cutAt(s, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(quotes, r) })
	return p, rest
}

func cutAt(s string, end func(rune) bool) (before, after string) {
	if i := strings.IndexFunc(s, end); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// soughtWords makes a term of words; open means that the last one may be unfinished. Of characters without spaces
// between them it keeps only the pairs, which contain all of them.
func soughtWords(words []word, open bool) []soughtWord {
	var out []soughtWord
	for i, w := range words {
		alone := w.char != "" && w.char == w.text
		if alone && w.paired {
			continue // the pair before it contains it
		}
		unfinished := open && i == len(words)-1 && w.char == "" && utf8.RuneCountInString(w.text) >= prefixMin
		out = append(out, soughtWord{text: w.text, offset: i, prefix: unfinished, alone: alone})
	}
	return out
}

// unfinished reports whether a word of the query may be only the beginning of one.
func (q query) unfinished() bool {
	return slices.ContainsFunc(q.terms, func(t term) bool {
		return slices.ContainsFunc(t.words, func(w soughtWord) bool { return w.prefix })
	})
}

// tsquery writes what the query looks for in PostgreSQL's notation (manual, 8.11.2). What it finds is still to be
// compared with the terms: documents have the words of the release before, too. For the same reason it leaves out the
// excluded terms, which may be such a word of a text that does not contain them. Words consist of letters, digits,
// marks and symbols only, but they are quoted all the same.
func (q query) tsquery() string {
	if q.before == nil {
		return tsqueryOf(q.terms)
	}
	return "((" + tsqueryOf(q.terms) + ") | (" + tsqueryOf(q.before) + "))"
}

func tsqueryOf(terms []term) string {
	var b strings.Builder
	for _, t := range terms {
		if t.excluded {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(" & ")
		}
		b.WriteByte('(')
		for i, w := range t.words {
			if i > 0 {
				b.WriteString(" <" + strconv.Itoa(w.offset-t.words[i-1].offset) + "> ")
			}
			b.WriteString(lexeme(w.text))
			if w.prefix {
				b.WriteString(":*")
			}
		}
		b.WriteByte(')')
	}
	return b.String()
}

// lexeme quotes a word.
func lexeme(s string) string {
	return "'" + lexemeQuotes.Replace(s) + "'"
}

var lexemeQuotes = strings.NewReplacer(`'`, `''`, `\`, `\\`)

// Span is a part of a text, counted in code points; To is the first one after it.
type Span struct{ From, To int }

// match reports whether a text, given as its words, matches the query, and which parts of it do, in order and without
// overlaps.
func (q query) match(words []word) (fits bool, why []Span) {
	for _, t := range q.terms {
		found := t.find(words)
		if t.excluded == (len(found) > 0) {
			return false, nil
		}
		why = append(why, found...)
	}
	return true, union(why)
}

// find returns everything in a text that the term matches.
func (t term) find(words []word) []Span {
	var out []Span
	for at := range words {
		if s, ok := t.at(words, at); ok {
			out = append(out, s...)
		}
	}
	return out
}

// at compares the term with the words that begin at one of them.
func (t term) at(words []word, at int) ([]Span, bool) {
	var out []Span
	for _, sought := range t.words {
		i := at + sought.offset
		if i >= len(words) || !sought.fits(words[i]) {
			return nil, false
		}
		found := Span{words[i].from, words[i].to}
		if sought.alone {
			found.To = words[i].ends
		}
		out = append(out, found)
	}
	return out, true
}

func (s soughtWord) fits(w word) bool {
	switch {
	case s.alone:
		return w.char == s.text
	case s.prefix:
		return w.char == "" && strings.HasPrefix(w.text, s.text)
	default:
		return w.text == s.text
	}
}
