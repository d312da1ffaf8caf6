// Package zone is the one place that turns the name of a time zone into a *time.Location: the clinic's, the doctors'
// and those that users choose.
package zone

import (
	"errors"
	"regexp"
	"time"
	_ "time/tzdata" // zones must load on a machine that has no zoneinfo of its own
)

// maxName is the longest name of a zone, in bytes; IANA's own are half as long.
const maxName = 64

// nameShape is what IANA's names look like. Go also accepts others that lead to the same files, such as
// Europe//Berlin, but only on machines that have the files.
var nameShape = regexp.MustCompile(`^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$`)

// ErrUnknown is Load's error for anything that is not the name of an IANA zone. Its text can follow the name of a
// field or variable.
var ErrUnknown = errors.New("must be the name of an IANA time zone, such as Europe/Berlin")

// Load returns the location of an IANA zone, such as Europe/Berlin; its error is ErrUnknown. Go itself would also
// accept "" and "Local", which differ between machines, and other files stored with the zones, all in lower case:
// posixrules, localtime, and copies that count leap seconds. Factory is what IANA has for machines whose zone was never
// set: it has no local time.
func Load(name string) (*time.Location, error) {
	if len(name) > maxName || name == "Local" || name == "Factory" || !nameShape.MatchString(name) {
		return nil, ErrUnknown
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, ErrUnknown
	}
	return loc, nil
}
