package chat

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the chat's numbers for Prometheus.
type metrics struct {
	sockets   prometheus.Gauge
	committed prometheus.Counter
	delivered prometheus.Counter
	refused   *prometheus.CounterVec // by reason
	closed    *prometheus.CounterVec // by close code
	limited   *prometheus.CounterVec // by limit
	lost      prometheus.Counter     // publishes that did not get through
	swept     prometheus.Counter     // rooms in which a sweep found something
	batch     prometheus.Histogram   // drafts
	commit    prometheus.Histogram   // seconds
}

// The limits on sockets, as metrics name them.
const (
	limitFrames  = "frames"
	limitUser    = "sockets_of_user"
	limitAddress = "sockets_from_address"
)

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		sockets:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "chat_sockets", Help: "Open sockets."}),
		committed: prometheus.NewCounter(prometheus.CounterOpts{Name: "chat_messages_committed_total", Help: "Messages committed by this instance."}),
		delivered: prometheus.NewCounter(prometheus.CounterOpts{Name: "chat_frames_written_total", Help: "Frames written to sockets."}),
		refused:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "chat_messages_refused_total", Help: "Messages refused, by reason."}, []string{"reason"}),
		closed:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "chat_closes_total", Help: "Sockets closed by the server, by code."}, []string{"code"}),
		limited:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "chat_sockets_limited_total", Help: "Sockets refused, before or after the upgrade, or closed, by the limit they were over."}, []string{"limit"}),
		lost:      prometheus.NewCounter(prometheus.CounterOpts{Name: "chat_bus_publish_failures_total", Help: "Notices that the bus did not take."}),
		swept:     prometheus.NewCounter(prometheus.CounterOpts{Name: "chat_sweep_finds_total", Help: "Rooms that a sweep found behind."}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "chat_commit_batch_messages", Help: "Messages in one commit.", Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "chat_commit_seconds", Help: "Duration of one commit.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
	}
	reg.MustRegister(m.sockets, m.committed, m.delivered, m.refused, m.closed, m.limited, m.lost, m.swept, m.batch, m.commit)
	return m
}

// busGauge tells whether instances hear each other.
func busGauge(b bus) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "chat_bus_healthy", Help: "1 while notices between instances get through Redis, 0 while sweeps of PostgreSQL stand in for them.",
	}, func() float64 {
		if b.Healthy() {
			return 1
		}
		return 0
	})
}

func (m *metrics) countClose(code int) { m.closed.WithLabelValues(strconv.Itoa(code)).Inc() }
