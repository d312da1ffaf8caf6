package app

import (
	"testing"

	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) {
	// Proxies that were bad when their connection ended leave some of their goroutines behind.
	pgtest.Main(m, "github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run",
		"github.com/Shopify/toxiproxy/v2.(*ToxicLink).read", "github.com/Shopify/toxiproxy/v2.(*ToxicLink).write")
}
