package text

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOrigin(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"https://clinic.example":          "https://clinic.example",
		"HTTPS://Clinic.Example:443":      "https://clinic.example",
		"http://clinic.example:80":        "http://clinic.example",
		"http://clinic.example:0080":      "http://clinic.example",
		"http://clinic.example:443":       "http://clinic.example:443",
		"https://clinic.example:8443":     "https://clinic.example:8443",
		"https://Müller.example":          "https://xn--mller-kva.example",
		"http://dev_box:3000":             "http://dev_box:3000",
		"http://127.0.0.1:3000":           "http://127.0.0.1:3000",
		"http://[0:0:0:0:0:0:0:1]:3000":   "http://[::1]:3000",
		"capacitor://localhost":           "capacitor://localhost",
		"Ionic://LocalHost":               "ionic://localhost",
		"app.clinic+x-1://localhost:8080": "app.clinic+x-1://localhost:8080",
		"capacitor://localhost:80":        "capacitor://localhost:80",
	} {
		got, ok := Origin(given)
		require.True(t, ok, given)
		require.Equal(t, want, got)
	}
	for _, bad := range []string{
		"", "null", "*", "clinic.example", "//clinic.example", "https://", "https://:443", "https://clinic.example/",
		"https://clinic.example?x", "https://clinic.example?", "https://clinic.example#", "https://user@clinic.example",
		"https://clinic.example:99999", "https://clinic.example:x", "https://*.clinic.example", "file://x", "data://x",
		"https://a b", "https://a,https://b", "mailto:x@y", "1https://a",
	} {
		_, ok := Origin(bad)
		require.False(t, ok, bad)
	}
}

func FuzzOrigin(f *testing.F) {
	for _, seed := range []string{"https://a:443", "capacitor://localhost", "http://[::1]:80", "https://ü.example", "null"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if origin, ok := Origin(s); ok {
			again, ok := Origin(origin)
			require.True(t, ok)
			require.Equal(t, origin, again)
		}
	})
}
