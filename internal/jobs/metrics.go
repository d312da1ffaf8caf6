package jobs

import "github.com/prometheus/client_golang/prometheus"

// The results of an attempt at a job.
const (
	resultDone   = "done"
	resultLater  = "later"  // postponed
	resultFailed = "failed" // to be tried again
	resultDead   = "dead"   // not to be tried again
)

// newWorked makes the counter of attempts at jobs and registers it; reg may be nil.
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
