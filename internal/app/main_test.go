package app

import (
	"flag"
	"testing"

	"housecall/internal/pgtest"
)

// TestMain lets more tests run at once than there are cores, unless told otherwise: most of them wait for something.
func TestMain(m *testing.M) {
	flag.Parse()
	told := false
	flag.Visit(func(f *flag.Flag) { told = told || f.Name == "test.parallel" })
	if !told {
		if err := flag.Set("test.parallel", "4"); err != nil {
			panic(err)
		}
	}
	// Proxies that were bad when their connection ended leave some of their goroutines behind.
	pgtest.Main(m, "github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run",
		"github.com/Shopify/toxiproxy/v2.(*ToxicLink).read", "github.com/Shopify/toxiproxy/v2.(*ToxicLink).write")
}
