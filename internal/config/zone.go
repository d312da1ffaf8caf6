package config

import (
	"time"

	"housecall/internal/zone"
)

// Zone is a time zone, read from its IANA name.
type Zone struct{ *time.Location }

// UnmarshalText implements encoding.TextUnmarshaler.
func (z *Zone) UnmarshalText(name []byte) (err error) {
	z.Location, err = zone.Load(string(name))
	return err
}
