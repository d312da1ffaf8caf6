package httpd

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
)

const (
	// probeTimeout limits one probe, and so /readyz.
	probeTimeout = time.Second
	// glanceTimeout limits a probe that is not required: load balancers usually wait for one second, and otherwise
	// would take an instance out of service that is only degraded.
	glanceTimeout = 300 * time.Millisecond
)

// Check is a dependency that /readyz asks.
type Check struct {
	Name string
	// Required means that the instance is not ready if the check fails; otherwise it is only degraded.
	Required bool
	// Probe returns nil when the dependency answers. Its error is neither logged nor shown.
	Probe func(ctx context.Context) error
}

type checkResult struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

type readiness struct {
	Status string                 `json:"status"`
	Checks map[string]checkResult `json:"checks"`
}

// healthRoutes adds /healthz, which answers 200 as long as the process serves, and /readyz, which says whether a load
// balancer should send requests here.
func (s *Server) healthRoutes() {
	s.app.Get("/healthz", func(c *fiber.Ctx) error { return c.JSON(fiber.Map{"status": "ok"}) })
	s.app.Get("/readyz", func(c *fiber.Ctx) error {
		answer := s.ready(c.UserContext())
		status := http.StatusOK
		if answer.Status == "draining" || answer.Status == "unavailable" {
			status = http.StatusServiceUnavailable
		}
		return c.Status(status).JSON(answer)
	})
}

// ready asks all dependencies at once.
func (s *Server) ready(ctx context.Context) readiness {
	begun := time.Now()
	failed := make([]bool, len(s.deps.Checks))
	var all sync.WaitGroup
	for i, check := range s.deps.Checks {
		all.Go(func() { failed[i] = probe(ctx, check, begun) != nil })
	}
	all.Wait()
	answer := readiness{Status: "ready", Checks: make(map[string]checkResult, len(failed))}
	for i, check := range s.deps.Checks {
		if !failed[i] {
			answer.Checks[check.Name] = checkResult{OK: true}
			continue
		}
		answer.Checks[check.Name] = checkResult{Error: "does not answer"}
		if check.Required {
			answer.Status = "unavailable"
		} else if answer.Status == "ready" {
			answer.Status = "degraded"
		}
	}
	if s.draining.Load() {
		answer.Status = "draining"
	}
	return answer
}

// probe runs a check and gives up in time, counted from begun, even if the check ignores its context.
func probe(ctx context.Context, check Check, begun time.Time) error {
	patience := glanceTimeout
	if check.Required {
		patience = probeTimeout
	}
	ctx, cancel := context.WithDeadline(ctx, begun.Add(patience))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- check.Probe(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
