package wirejson_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/wirejson"
)

// own has a method of its own, as problem documents and pages have.
type own struct{ at time.Time }

func (o own) MarshalJSON() ([]byte, error) { return wirejson.Marshal(map[string]any{"at": o.at}) }

type embedded struct {
	ID int64 `json:"id"`
}

// TestMarshal: a time has six digits wherever it stands, and everything else is as encoding/json writes it.
func TestMarshal(t *testing.T) {
	t.Parallel()
	utc := time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)
	fine := time.Date(2026, 12, 1, 10, 0, 0, 123_456_789, time.FixedZone("", 3600))
	v := struct {
		embedded
		At     time.Time      `json:"at"`
		Fine   *time.Time     `json:"fine,omitempty"`
		None   *time.Time     `json:"none,omitempty"`
		List   []time.Time    `json:"list"`
		Any    map[string]any `json:"any"`
		Own    own            `json:"own"`
		Text   string         `json:"text"`
		Absent []int          `json:"absent"`
		Zero   int            `json:"zero,omitempty"`
	}{
		embedded: embedded{7}, At: utc, Fine: &fine, List: []time.Time{utc}, Any: map[string]any{"b": utc, "a": 1},
		Own: own{utc}, Text: "2026-12-01T10:00:00Z <b>\u2028é\x01",
	}
	got, err := wirejson.Marshal(v)
	require.NoError(t, err)
	//nolint:testifylint // to the byte
	require.Equal(t, `{"id":7,"at":"2026-12-01T10:00:00.000000Z","fine":"2026-12-01T10:00:00.123456+01:00",`+
		`"list":["2026-12-01T10:00:00.000000Z"],"any":{"a":1,"b":"2026-12-01T10:00:00.000000Z"},`+
		`"own":{"at":"2026-12-01T10:00:00.000000Z"},"text":"2026-12-01T10:00:00Z <b>\u2028é\u0001","absent":null}`, string(got))
	require.Equal(t, "2026-12-01T09:00:00.123456Z", string(wirejson.AppendTime(nil, fine)))
}

// FuzzMarshal: whatever JSON has no times comes out as from encoding/json.
func FuzzMarshal(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5e300,null,true,"x\u2028<&>\ud83e\ude7a"],"b":{}}`, `"\u0000"`, `-0`, `[]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var v any
		if json.Unmarshal(raw, &v) != nil {
			return
		}
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		require.NoError(t, e.Encode(v))
		got, err := wirejson.Marshal(v)
		require.NoError(t, err)
		require.Equal(t, want.String(), string(got)+"\n")
	})
}
