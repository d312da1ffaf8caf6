package assistant

import "github.com/prometheus/client_golang/prometheus"

// metrics are the package's metrics for Prometheus.
type metrics struct {
	answers *prometheus.CounterVec // by source and reason
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{answers: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "assistant_answers_total", Help: "Answers of the patients' assistant, by source and by what went wrong.",
	}, []string{"source", "reason"})}
	reg.MustRegister(m.answers)
	return m
}

// answered counts an answer; reason is "" if nothing went wrong.
func (m *metrics) answered(from Source, reason string) {
	m.answers.WithLabelValues(string(from), reason).Inc()
}
