package text

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTwice(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]string{
		`{"a":1,"a":2}`:                       "a",
		`{"a":1,"\u0061":2}`:                  "a",
		`{"a":{"b":1},"b":[{"c":1,"c":{}}]}`:  "c",
		`[{"a":1},{"a":{},"b":"a","a":null}]`: "a",
	} {
		key, found := Twice([]byte(document))
		require.True(t, found, document)
		require.Equal(t, want, key)
	}
	for _, document := range []string{
		`{}`, `[]`, ``, `"a"`, `{"a":"a","b":"a"}`, `{"a":{"a":{"a":1}}}`, `[{"a":1},{"a":1}]`, `["a","a"]`, `{"a":["a","a"],"A":1}`,
		`{"a":1,`, `{"a":1,"a"`, `nonsense`, `{"a":1}{"a":1}`,
	} {
		_, found := Twice([]byte(document))
		require.Equal(t, document == `{"a":1,"a"`, found, document)
	}
}

func TestTwiceInAnyCase(t *testing.T) {
	t.Parallel()
	for document, want := range map[string][]string{
		`{"text":"a","Text":"b"}`:                      {"Text"},
		`{"k":1,"\u212a":2,"K":3}`:                     {"\u212a", "K"}, // the Kelvin sign
		`{"a":1,"b":2,"a":3,"B":4}`:                    {"a", "B"},
		`{"a":{"b":1,"B":2},"c":{"d":1,"d":2}}`:        {"d"},
		`{"a":1,"b":{"A":1},"c":["a","A"]}`:            nil,
		`{"ab":1,"abc":2,"stra\u00dfe":3,"strasse":4}`: nil,
	} {
		require.Equal(t, want, TwiceInAnyCase([]byte(document)), document)
	}
}

// What Go has read and written again has no key twice.
func FuzzTwice(f *testing.F) {
	for _, seed := range []string{`{"a":1,"a":2}`, `[{"a":{"b":[]}}]`, `{"a":`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		Twice(document)
		var v any
		if json.Unmarshal(document, &v) != nil {
			return
		}
		again, err := json.Marshal(v)
		require.NoError(t, err)
		_, found := Twice(again)
		require.False(t, found)
	})
}
