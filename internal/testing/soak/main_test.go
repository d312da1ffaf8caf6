package soak

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"housecall/internal/app"
	"housecall/internal/config"
	"housecall/internal/testing/pgtest"
)

var (
	soakTime    = flag.Duration("soak.time", 30*time.Second, "how long clients and faults go on")
	soakSeed    = flag.Uint64("soak.seed", 0, "seed of the choices of clients and faults; 0: a new one each time")
	soakHistory = flag.String("soak.history", "", "a recorded history that TestReplay checks again")
)

const (
	// patience is how long a test waits for what must come. It says nothing about how fast things should be.
	patience = 3 * time.Minute
	// hurry is how long a client waits for an answer before it counts as lost, while things fail; calm is the same
	// when nothing fails.
	hurry    = 2 * time.Second
	calm     = 30 * time.Second
	password = "a-rather-long-passphrase-7"
	// beInstance makes this test program act as an instance: this needs no build, and the race detector watches it.
	beInstance = "HOUSECALL_SOAK_BE_INSTANCE"
)

func TestMain(m *testing.M) {
	if os.Getenv(beInstance) != "" {
		os.Exit(instanceMain())
	}
	zerolog.SetGlobalLevel(zerolog.WarnLevel) // toxiproxy talks to zerolog's own logger
	// Proxies with a fault leave some goroutines behind if their connection ends.
	pgtest.Main(m, "github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run",
		"github.com/Shopify/toxiproxy/v2.(*ToxicLink).read", "github.com/Shopify/toxiproxy/v2.(*ToxicLink).write")
}

// instanceMain does what housecall serve does.
func instanceMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg, err := config.FromEnv()
	if err == nil {
		err = app.Run(ctx, cfg, zerolog.New(os.Stderr).Level(zerolog.WarnLevel).With().Timestamp().Logger())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
