package blob

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

const (
	checkEvery   = 30 * time.Second
	checkTimeout = 10 * time.Second
)

// Watch checks a store when it starts and twice a minute from then on. It tells the log, once for each change, a
// metric, and whoever calls Probe.
type Watch struct {
	store Store
	log   zerolog.Logger
	up    prometheus.Gauge

	mu   sync.Mutex // guards last
	last error      // of the latest check

	stop context.CancelFunc
	done sync.WaitGroup
}

// NewWatch makes a watch; nothing happens before Start.
func NewWatch(store Store, log zerolog.Logger, registry prometheus.Registerer) *Watch {
	w := &Watch{store: store, log: log, stop: func() {}, up: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "attachment_store_up", Help: "1, or 0 while the store of files does not work.",
	})}
	registry.MustRegister(w.up)
	w.up.Set(1)
	return w
}

// Start begins with a check, which it does not wait for.
func (w *Watch) Start() {
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	w.done.Go(func() {
		tick := time.NewTicker(checkEvery)
		defer tick.Stop()
		for {
			w.look(ctx)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

// Stop ends the watch.
func (w *Watch) Stop() {
	w.stop()
	w.done.Wait()
}

// Probe returns what the latest check found; nil before the first.
func (w *Watch) Probe(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

func (w *Watch) look(ctx context.Context) {
	within, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	err := w.store.Check(within)
	if ctx.Err() != nil {
		return // stopped
	}
	w.mu.Lock()
	before := w.last
	w.last = err
	w.mu.Unlock()
	w.up.Set(map[bool]float64{true: 1}[err == nil])
	switch {
	case errors.Is(err, ErrRefused) && !errors.Is(before, ErrRefused):
		w.log.Error().Err(err).Msg("the store of files refuses us: its configuration has to be changed")
	case err != nil && before == nil:
		w.log.Warn().Err(err).Msg("the store of files does not answer")
	case err == nil && before != nil:
		w.log.Info().Msg("the store of files is back")
	}
}
