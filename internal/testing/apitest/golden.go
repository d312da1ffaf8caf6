package apitest

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Mask hides what differs between runs in a golden file.
type Mask struct {
	Pattern *regexp.Regexp
	Instead string // may refer to the pattern's groups, as in regexp.ReplaceAll
}

// Masks for what is in many answers.
var (
	// MaskTimes hides times.
	MaskTimes = Mask{regexp.MustCompile(`"\d{4}-\d\d-\d\dT[0-9:.]+Z"`), `"time"`}
	// MaskUUIDs hides request ids and the like.
	MaskUUIDs = Mask{regexp.MustCompile(`"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"`), `"uuid"`}
)

// MaskMember hides strings by the name of their member; | separates several names.
func MaskMember(names string) Mask {
	return Mask{regexp.MustCompile(`("(?:` + names + `)": )"[^"]*"`), `$1"…"`}
}

// Golden compares an answer's body, indented and masked, with testdata/NAME.json.
func Golden(t testing.TB, name string, a Answer, masks ...Mask) {
	t.Helper()
	GoldenFile(t, name+".json", Pretty(t, a, masks...))
}

// Pretty returns what Golden compares: the JSON of a body, first indented, then masked.
func Pretty(t testing.TB, a Answer, masks ...Mask) []byte {
	t.Helper()
	var pretty bytes.Buffer
	require.NoError(t, json.Indent(&pretty, bytes.TrimSpace(a.Raw), "", "  "), "%s", a.Raw)
	pretty.WriteByte('\n')
	shown := pretty.Bytes()
	for _, m := range masks {
		shown = m.Pattern.ReplaceAll(shown, []byte(m.Instead))
	}
	return shown
}

// GoldenFile compares bytes with testdata/NAME.
func GoldenFile(t testing.TB, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o750))
		require.NoError(t, os.WriteFile(file, got, 0o600)) // an existing file keeps its mode
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}
