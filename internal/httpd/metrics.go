package httpd

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"
)

type metrics struct {
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
}

func newMetrics(registry *prometheus.Registry) (*metrics, error) {
	m := &metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "How long requests took, by route pattern and class of status.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method", "route", "status"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "http_requests_in_flight", Help: "Requests being handled now; upgraded sockets do not count.",
		}),
	}
	all := []prometheus.Collector{
		m.duration, m.inFlight, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	}
	for _, c := range all {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(c); err != nil && !errors.As(err, &already) {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// finish measures and logs a request, by the pattern of its route, never with its path, query or body.
func (s *Server) finish(c *fiber.Ctx, r *request, route string, took time.Duration) {
	status := c.Response().StatusCode()
	method := c.Method()
	// If clients could choose labels, there would be no limit to them. What is refused early still has its own method.
	if c.Context().UserValue(unknownMethod{}) != nil || !slices.Contains(fiber.DefaultMethods, method) {
		method = "other"
	}
	s.metrics.duration.WithLabelValues(method, route, strconv.Itoa(status/100)+"xx").Observe(took.Seconds())
	level := zerolog.InfoLevel
	switch {
	case status == fiber.StatusServiceUnavailable:
		level = zerolog.WarnLevel
	case status >= 500:
		level = zerolog.ErrorLevel
	}
	s.deps.Log.WithLevel(level).Str("method", method).Str("route", route).Int("status", status).Dur("took", took).
		Int("bytes", sizeOf(c)).Str("request", r.client.RequestID).Str("address", r.client.Address).
		AnErr("cause", r.cause).Msg("request")
}

// sizeOf returns the length of an answer's body; for a stream it cannot look, because that would consume it.
func sizeOf(c *fiber.Ctx) int {
	if c.Response().IsBodyStream() {
		return c.Response().Header.ContentLength()
	}
	return len(c.Response().Body())
}
