package text_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/text"
)

// However the domain of an address is typed, there is one way to write it that mail servers take.
func TestASCIIEmail(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"ann@example.org":           "ann@example.org",
		"ann@bücher.example":        "ann@xn--bcher-kva.example",
		"ann@bu\u0308cher.example":  "ann@xn--bcher-kva.example",
		"ann@BÜCHER.example":        "ann@xn--bcher-kva.example",
		"ann@xn--bcher-kva.example": "ann@xn--bcher-kva.example",
		"ann@münchen。example":       "ann@xn--mnchen-3ya.example",
		"änn@example.org":           "änn@example.org", // no domain to write in another way
		"ann@-ü.example":            "ann@-ü.example",  // cannot be a domain
		"ann":                       "ann",
		"":                          "",
	} {
		require.Equal(t, want, text.ASCIIEmail(typed), typed)
		require.Equal(t, want, text.ASCIIEmail(want), "twice")
	}
}
