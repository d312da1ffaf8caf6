package jobs

import "github.com/prometheus/client_golang/prometheus"

// What came of a try at a job.
const (
	resultDone   = "done"
	resultLater  = "later"  // put off
	resultFailed = "failed" // to be tried again
	resultDead   = "dead"   // given up
)

// newWorked makes the jobs' numbers for Prometheus; reg may be nil.
func newWorked(reg prometheus.Registerer) *prometheus.CounterVec {
	worked := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "jobs_worked_total",
		Help: "Attempts at jobs by this instance, by kind and result: done, later, failed or dead.",
	}, []string{"kind", "result"})
	if reg != nil {
		reg.MustRegister(worked)
	}
	return worked
}
