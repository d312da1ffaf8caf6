package config

import (
	"errors"
	"regexp"
	"time"
	_ "time/tzdata" // zones must load on a machine that has no zoneinfo of its own
)

// zoneMax bounds a zone's name, in bytes; IANA's own are half as long.
const zoneMax = 64

// zoneName is how IANA's names look. Go takes others that lead to the same files, such as Europe//Berlin, but only
// where the machine has files.
var zoneName = regexp.MustCompile(`^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$`)

var errZone = errors.New("is not the name of an IANA time zone")

// LoadZone gives the location of an IANA zone name such as Europe/Berlin. It is the one rule for the clinic's zone and
// the doctors'. Go alone would also take "" and "Local", which mean something else on every machine, and the files
// that lie beside the zones, all in lower case: posixrules, localtime, and copies that count leap seconds.
func LoadZone(name string) (*time.Location, error) {
	if len(name) > zoneMax || name == "Local" || !zoneName.MatchString(name) {
		return nil, errZone
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, errZone
	}
	return loc, nil
}
