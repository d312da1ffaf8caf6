package httpd_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/httpd"
)

func TestClient_Network(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"":                          "",
		"192.0.2.7":                 "192.0.2.7",
		"::ffff:192.0.2.7":          "::ffff:192.0.2.7",
		"2001:db8:1:2::1":           "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::9":      "2001:db8:1:2::/64",
		"fe80::1%eth0":              "fe80::/64",
		"not an address; as it was": "not an address; as it was",
	} {
		require.Equal(t, want, httpd.Client{Address: address}.Network(), address)
	}
}
