package config

import (
	"time"

	"housecall/internal/zone"
)

// Zone returns the clinic's time zone. Validate has made sure that it loads, so that a wrong name is an error at start
// and nowhere else; for a Config that was never validated, it returns UTC instead.
func (c Config) Zone() *time.Location {
	loc, err := zone.Load(c.ClinicZone)
	if err != nil {
		return time.UTC
	}
	return loc
}
