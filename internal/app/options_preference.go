package app

import (
	"housecall/internal/config"
	"housecall/internal/preference"
)

func preferenceOptions(c config.Config) preference.Options { return preference.Options{Zone: c.Zone()} }
