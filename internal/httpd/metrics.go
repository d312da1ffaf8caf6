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
			Name: "http_requests_in_flight", Help: "Requests being handled now; an upgraded socket is none.",
		}),
	}
	all := []prometheus.Collector{
		m.duration, m.inFlight, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	}
	for _, c := range all {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(c); err != nil && !errors.As(err, &already) {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// finish measures and logs a request: the pattern of its route, never its path, query or body.
func (s *Server) finish(c *fiber.Ctx, r *request, route string, took time.Duration) {
	status := c.Response().StatusCode()
	method := c.Method()
	if !slices.Contains(fiber.DefaultMethods, method) {
		method = "other" // labels of the client's choosing would grow without bound
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

// sizeOf is the length of an answer's body; reading one that is a stream would be sending it nowhere.
func sizeOf(c *fiber.Ctx) int {
	if c.Response().IsBodyStream() {
		return c.Response().Header.ContentLength()
	}
	return len(c.Response().Body())
}
