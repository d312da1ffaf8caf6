package dev

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"housecall/internal/app"
	"housecall/internal/config"
)

// instance is a running instance and how to reach it.
type instance struct {
	*app.App
	url  string // where browsers and clients reach it
	zone string // of its clinic
}

// startInstances returns the instances that are running, even if a later one fails.
func startInstances(ctx context.Context, base config.Config, o Options) ([]instance, error) {
	var running []instance
	for _, port := range o.Ports {
		cfg := base
		cfg.Addr = fmt.Sprintf("127.0.0.1:%d", port) // everybody knows the demo passwords
		cfg.PublicURL = fmt.Sprintf("http://localhost:%d", port)
		cfg.MetricsAddr = "127.0.0.1:0"
		for _, other := range o.Ports {
			if other != port {
				cfg.AllowedOrigins = append(cfg.AllowedOrigins, fmt.Sprintf("http://localhost:%d", other))
			}
		}
		if err := cfg.Validate(); err != nil {
			return running, err
		}
		a, err := app.New(cfg, o.Log.With().Int("port", port).Logger())
		if err != nil {
			return running, err
		}
		if err := a.Start(ctx); err != nil {
			return running, err
		}
		running = append(running, instance{App: a, url: cfg.PublicURL, zone: cfg.ClinicZone.String()})
	}
	return running, nil
}

func stopAll(instances []instance) error {
	failures := make([]error, len(instances))
	var all sync.WaitGroup
	for i, in := range instances {
		all.Go(func() { failures[i] = in.Stop() })
	}
	all.Wait()
	return errors.Join(failures...)
}

// firstFailure returns the error of the first instance that ends without Stop. Its goroutines end with ctx.
func firstFailure(ctx context.Context, instances []instance) <-chan error {
	failed := make(chan error, len(instances))
	for _, in := range instances {
		go func() {
			select {
			case err := <-in.Failed():
				failed <- err
			case <-ctx.Done():
			}
		}()
	}
	return failed
}
