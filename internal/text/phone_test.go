package text_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/text"
)

func TestIsPhone(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"1", "9841000000", "+977 (1) 555-01", "030/123.45", strings.Repeat("1", text.MaxPhone)} {
		require.True(t, text.IsPhone(good), good)
	}
	for _, bad := range []string{
		"", "call me", "1x", " 1", "(030) 1", "1\n", "1\x00", "１２３", "+49\u202e", "tel:1", strings.Repeat("1", text.MaxPhone+1),
	} {
		require.False(t, text.IsPhone(bad), "%q", bad)
	}
}
