package app

import (
	"testing"

	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) {
	// Proxies with a fault leave some goroutines behind if their connection ends.
	pgtest.Main(m, "github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run",
		"github.com/Shopify/toxiproxy/v2.(*ToxicLink).read", "github.com/Shopify/toxiproxy/v2.(*ToxicLink).write")
}
