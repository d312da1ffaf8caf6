package app

import (
	"housecall/internal/config"
	"housecall/internal/jobs"
)

func jobsOptions(c config.Config) jobs.Options {
	return jobs.Options{Workers: c.JobWorkers, PollOnly: c.JobsPollOnly}
}
