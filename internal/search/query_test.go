package search

import (
	"context"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"housecall/internal/conversation"
	"housecall/internal/text"
)

func texts(words []word) []string {
	out := []string{}
	for _, w := range words {
		out = append(out, w.text)
	}
	return out
}

func TestWordsOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                         {},
		"Good morning, Dr. Müller": {"good", "morning", "dr", "muller"},
		"STRASSE straße":           {"strasse", "strasse"},
		"don't e-mail 12.5mg":      {"don", "t", "e", "mail", "12", "5", "mg"},
		"cafe\u0301 café":          {"cafe", "cafe"},
		"Łódź Ørsted Æsir ıI":      {"lodz", "orsted", "aesir", "ii"},
		"Ελλάδα ΆΝΘΡΩΠΟΣ":          {"ελλαδα", "ανθρωποσ"},
		"Ёлка й":                   {"елка", "и"},
		"مُحَمَّد":                 {"محمد"},
		"हिन्दी":                   {"हिन्दी"},
		"ｆｕｌｌ ① ﬁ":                 {"full", "1", "fi"},
		"soft\u00adhyphen":         {"softhyphen"},
		"我头疼":                      {"我头", "头疼", "疼"},
		"iPhone手机 ok":              {"iphone", "手机", "机", "ok"},
		"コーヒー":                     {"コー", "ーヒ", "ヒー", "ー"},
		"병원에":                      {"병원", "원에", "에"},
		"ปวดหัว":                   {"ปว", "วด", "ดหั", "หัว", "ว"},
		"take 💊🩺 ❤️":               {"take", "💊", "🩺", "❤"},
		"<b>x</b> 'a\\b":           {"b", "x", "b", "a", "b"},
		"\u1112\u1161\u11ab\u1100\u116e\u11a8어": {"한국", "국어", "어"},
		"ｶﾞﾝﾏ ﾊﾟｰﾏ":                             {"ガン", "ンマ", "マ", "パー", "ーマ", "マ"},
		"カ゛ン":                                   {"ガン", "ン"},
		"علی کریم":                              {"علي", "كريم"},
		"صـــداع":                               {"صداع"},
		"ـ":                                     {},
		"٥٠٠ملغ ۵۰۰ ५०० ๕๐๐": {"500", "ملغ", "500", "500", "500"},
		"㎎ ½ ５㎖":                 {"mg", "1", "2", "5", "ml"},
		"㍿":                      {"株式", "式会", "会社", "社"},
		strings.Repeat("a", 500): {strings.Repeat("a", wordMax)},
	} {
		require.Equal(t, want, texts(wordsOf(text)), text)
	}
}

func TestParseQuery(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"Head":                    `('head':*)`,
		"head ache":               `('head') & ('ache':*)`,
		`"head ache" now`:         `('head' <1> 'ache') & ('now':*)`,
		`now "head ache"`:         `('now') & ('head' <1> 'ache')`,
		`“head ache`:              `('head' <1> 'ache')`,
		"head -ache":              `('head')`,
		`-"a b" c`:                `('c')`,
		"e-mail don't":            `('e' <1> 'mail') & ('don' <1> 't')`,
		"头":                       `('头')`,
		"头疼":                      `('头疼')`,
		"我头疼 x":                   `('我头' <1> '头疼') & ('x')`,
		"手机iPhone":                `('手机' <2> 'iphone':*)`,
		"a & b | !c:* <-> 'd' \\": `('a') & ('b') & ('c') & ('d')`,
	} {
		q, err := parseQuery(typed)
		require.NoError(t, err, typed)
		require.Equal(t, want, q.tsquery(), typed)
	}
	for _, nothing := range []string{
		"", " ", "-", `""`, "!?&|:*()<->", "-x", "- --x", `-"a b"`, "\u0301", "\xff", "a\x00",
	} {
		_, err := parseQuery(nothing)
		require.Error(t, err, "%q", nothing)
	}
}

// marked marks in a text what a query finds in it; "" if the query does not find the text.
func marked(t require.TestingT, typed, text string) string {
	q, err := parseQuery(typed)
	require.NoError(t, err, typed)
	fits, why := q.match(wordsOf(text))
	if !fits {
		return ""
	}
	runes := []rune(text)
	for i := len(why) - 1; i >= 0; i-- {
		runes = append(runes[:why[i].To], append([]rune("]"), runes[why[i].To:]...)...)
		runes = append(runes[:why[i].From], append([]rune("["), runes[why[i].From:]...)...)
	}
	return string(runes)
}

func TestQuery_match(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ typed, text, want string }{
		{"he", "Headache, he", "Headache, [he]"},
		{"head", "Headache, and my HEAD hurts", "[Headache], and my [HEAD] hurts"},
		{"head hurts", "My headache hurts", ""},
		{"hurts head", "My headache hurts", "My [headache] [hurts]"},
		{`"my head"`, "Oh my head. My Head!", "Oh [my] [head]. [My] [Head]!"},
		{`"my head"`, "head my", ""},
		{"pain -back", "pain in the back", ""},
		{"pain -back", "pain in the chest", "[pain] in the chest"},
		{"muller", "Frau Müller", "Frau [Müller]"},
		{"Müll", "Frau Muller", "Frau [Muller]"},
		{"疼", "我头疼。", "我头[疼]。"},
		{"头疼", "我头疼。", "我[头疼]。"},
		{"头", "我头疼。", "我[头]疼。"},
		{"疼头", "我头疼。", ""},
		{"我头疼", "昨天我头疼了", "昨天[我头疼]了"},
		{"手机iphone", "手机 iPhone", "[手机] [iPhone]"},
		{"หัว", "ปวดหัวมาก", "ปวด[หัว]มาก"},
		{"👍", "ok 👍🏽!", "ok [👍]🏽!"},
		{"5mg", "5 mg, 5MG, 15mg", "[5] [mg], [5MG], 15mg"},
		{"12.5", "12.5mg", "[12].[5]mg"},
		{"한국", "\u1112\u1161\u11ab\u1100\u116e\u11a8", "[\u1112\u1161\u11ab\u1100\u116e\u11a8]"},
		{"\u1103\u116e\u1110\u1169\u11bc", "심한 두통이", "심한 [두통]이"},
		{"ガン", "肺ｶﾞﾝです", "肺[ｶﾞﾝ]です"},
		{"ｶﾞﾝ", "胃ガン", "胃[ガン]"},
		{"カン", "肺ｶﾞﾝです", ""},
		{"كريم", "آقای کریم", "آقای [کریم]"},
		{"علی", "عليّ هنا", "[عليّ] هنا"},
		{"صداع", "عندي صـــداع شديد", "عندي [صـــداع] شديد"},
		{"500", "خذ ٥٠٠ملغ", "خذ [٥٠٠]ملغ"},
		{"๕", "รับ 5 เม็ด", "รับ [5] เม็ด"},
		{"5mg", "5㎎ täglich", "[5㎎] täglich"},
		{"会社", "㍿", "[㍿]"},
	} {
		require.Equal(t, c.want, marked(t, c.typed, c.text), "%q in %q", c.typed, c.text)
	}
}

func TestSnippet(t *testing.T) {
	t.Parallel()
	at := func(text, word string) []Span {
		before, _, _ := strings.Cut(text, word)
		from := utf8.RuneCountInString(before)
		return []Span{{from, from + utf8.RuneCountInString(word)}}
	}
	shown := func(s string, h Span) string { return string([]rune(s)[h.From:h.To]) }

	s, h := snippet("a\nb\u2028\tpain", []Span{{5, 9}})
	require.Equal(t, "a b  pain", s)
	require.Equal(t, "pain", shown(s, h[0]))

	long := strings.Repeat("über ", 100) + "pain" + strings.Repeat(" éà", 100)
	s, h = snippet(long, at(long, "pain"))
	require.Equal(t, snippetMax+2, utf8.RuneCountInString(s))
	require.Equal(t, "pain", shown(s, h[0]))
	require.True(t, strings.HasPrefix(s, "…über") && strings.HasSuffix(s, "…"), s)

	end := strings.Repeat("x ", 300) + "pain"
	s, h = snippet(end, append([]Span{{0, 1}}, at(end, "pain")...)[1:])
	require.Equal(t, "pain", shown(s, h[0]))
	s, h = snippet(end, append([]Span{{0, 1}}, at(end, "pain")...))
	require.Equal(t, []Span{{0, 1}}, h, "the other one is out of sight")
	require.True(t, strings.HasPrefix(s, "x x"))
}

// anyText draws texts and queries that have something to do with each other.
func anyText(most int) *rapid.Generator[string] {
	atom := rapid.SampledFrom([]string{
		"head", "ache", "Head", "headache", "é", "e", "x", "头", "疼", "我", "หัว", "ป", "ー", "👍", " ", " ", " ", "-",
		`"`, `"`, "'", "\\", ":*", "&", "|", "!", "(", ")", "<->", "½", "\u0301", "\u200d", "１", "ß", "한", "\n", ".",
		"٣", "3", "ی", "ي", "ـ", "\u1112", "\u1161", "\u11ab", "ｶ", "ﾞ", "㎎", "mg", "゛", "カ", "ガ", "๓", "株", "㍿",
	})
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(atom, 0, most).Draw(t, "atoms"), "")
	})
}

// PostgreSQL finds a text by its words exactly when match does, which compares texts that are not indexed yet.
func TestQuery_asPostgreSQL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		typed, text := anyText(6).Draw(rt, "typed"), anyText(10).Draw(rt, "text")
		q, err := parseQuery(typed)
		if err != nil {
			return
		}
		fits, why := q.match(wordsOf(text))
		exactly, one, both, earlier := w.matches(rt, q, text)
		require.Equal(rt, fits, exactly, "%q on %q", typed, text)
		if fits {
			require.True(rt, both, "documents of this release: %q on %q", typed, text)
		}
		if earlier {
			require.True(rt, one && both, "what the release before finds: %q on %q", typed, text)
		}
		requireSpans(rt, text, why)
	})
}

// matches asks PostgreSQL: about the words of this release alone, excluded ones too; whether the query finds a document
// of the release before, and one of this; and whether the release before finds its own.
func (w *world) matches(t require.TestingT, q query, text string) (exactly, one, both, earlier bool) {
	before, excluded := q.before, []string{}
	if before == nil {
		before = q.terms
	}
	for _, t := range q.terms {
		if t.excluded {
			excluded = append(excluded, tsqueryOf([]term{{words: t.words}}))
		}
	}
	require.NoError(t, w.Pool.QueryRow(context.Background(), `
		select $1::text::tsvector @@ $4::text::tsquery
				and not exists (select from unnest($7::text[]) x where $1::text::tsvector @@ x::tsquery),
			$2::text::tsvector @@ $5::text::tsquery,
			$3::text::tsvector @@ $5::text::tsquery, $2::text::tsvector @@ $6::text::tsquery`,
		vector(wordsOf(text), 0), vector(wordsBefore(text), 0), vectorOf(text, scopeWord(1, 2)),
		tsqueryOf(q.terms), q.tsquery(), tsqueryOf(before), excluded).Scan(&exactly, &one, &both, &earlier))
	return exactly, one, both, earlier
}

// requireSpans checks what is promised of highlights, and of the snippet that shows them.
func requireSpans(t require.TestingT, text string, why []Span) {
	last := -1
	for _, s := range why {
		require.True(t, s.From > last && s.From < s.To && s.To <= utf8.RuneCountInString(text),
			"%v in %q", why, text)
		last = s.To - 1
	}
	short, shown := snippet(text, why)
	require.True(t, utf8.ValidString(short))
	if len(why) > 0 {
		require.NotEmpty(t, shown)
	}
	for _, s := range shown {
		require.True(t, s.From < s.To && s.To <= utf8.RuneCountInString(short))
	}
}

// Whatever people type and write, PostgreSQL accepts the query and the words, and finds what match finds.
func FuzzParseQuery(f *testing.F) {
	for _, s := range []string{
		"", "head", `"a b" -c`, "头疼", "'\\''", "a:*b", "\xff", "x\x00", "½ ﷺ", "ปวดหัว", "👍🏽", strings.Repeat("q ", 100),
	} {
		f.Add(s, "My head aches: 头疼 ½ l'eau\\")
	}
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, typed, written string) {
		if !text.Storable(written) || text.Longer(written, conversation.MaxChars) || text.Longer(typed, 200) {
			return // HTTP refuses these
		}
		q, err := parseQuery(typed)
		if err != nil {
			return
		}
		words := wordsOf(written)
		fits, why := q.match(words)
		exactly, _, _, _ := w.matches(t, q, written)
		if len(words) < 200 { // PostgreSQL keeps 255 places of one word
			require.Equal(t, fits, exactly, "%q on %q", typed, written)
		}
		requireSpans(t, written, why)
	})
}
