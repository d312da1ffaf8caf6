package conversation

import "github.com/prometheus/client_golang/prometheus"

// metrics are the package's metrics for Prometheus.
type metrics struct {
	committed prometheus.Counter
	refused   *prometheus.CounterVec // by reason
	batch     prometheus.Histogram   // drafts
	commit    prometheus.Histogram   // seconds
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		committed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chat_messages_committed_total", Help: "Messages committed by this instance.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chat_messages_refused_total", Help: "Messages refused, by reason.",
		}, []string{"reason"}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "chat_commit_batch_messages", Help: "Messages in one commit.", Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "chat_commit_seconds", Help: "Duration of one commit.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
	}
	reg.MustRegister(m.committed, m.refused, m.batch, m.commit)
	return m
}
