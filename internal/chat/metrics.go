package chat

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"housecall/internal/bus"
)

// metrics are chat's metrics for Prometheus.
type metrics struct {
	sockets   prometheus.Gauge
	delivered prometheus.Counter
	refused   func(reason string)    // counts a refused message, in conversation's own counter
	closed    *prometheus.CounterVec // by close code
	limited   *prometheus.CounterVec // by limit
	lost      prometheus.Counter     // failed publishes
	swept     prometheus.Counter     // conversations in which a sweep found something
}

// The limits on connections, as labels of the metric.
const (
	limitFrames  = "frames"
	limitUser    = "sockets_of_user"
	limitAddress = "sockets_from_address"
)

func newMetrics(reg prometheus.Registerer, refused func(reason string)) *metrics {
	m := &metrics{
		sockets: prometheus.NewGauge(prometheus.GaugeOpts{Name: "chat_sockets", Help: "Open connections."}),
		delivered: prometheus.NewCounter(
			prometheus.CounterOpts{Name: "chat_frames_written_total", Help: "Frames written to connections."},
		),
		refused: refused,
		closed: prometheus.NewCounterVec(
			prometheus.CounterOpts{Name: "chat_closes_total", Help: "Connections closed by the server, by code."},
			[]string{"code"},
		),
		limited: prometheus.NewCounterVec(
			prometheus.CounterOpts{
				Name: "chat_sockets_limited_total",
				Help: "Connections refused or closed for exceeding a limit, by limit.",
			},
			[]string{"limit"},
		),
		lost: prometheus.NewCounter(
			prometheus.CounterOpts{Name: "chat_bus_publish_failures_total", Help: "Broadcasts that could not be published."},
		),
		swept: prometheus.NewCounter(
			prometheus.CounterOpts{Name: "chat_sweep_finds_total", Help: "Conversations that a sweep found to be behind."},
		),
	}
	reg.MustRegister(m.sockets, m.delivered, m.closed, m.limited, m.lost, m.swept)
	return m
}

// busGauge is the metric for whether instances hear each other.
func busGauge(b bus.Bus) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "chat_bus_healthy",
		Help: "1 while broadcasts between instances get through Redis, 0 while sweeps of PostgreSQL replace them.",
	}, func() float64 {
		if b.Healthy() {
			return 1
		}
		return 0
	})
}

func (m *metrics) countClose(code closeCode) { m.closed.WithLabelValues(strconv.Itoa(int(code))).Inc() }
