package httpd

import (
	"regexp"
	"strconv"
	"strings"

	"housecall/internal/errs"
)

// ETag returns the entity tag of a version (RFC 9110, 8.8.3), such as "7" with its quotes. It is for If-Match: it
// changes with what clients can change, not with everything that is shown with it.
func ETag(version int) string { return `"` + strconv.Itoa(version) + `"` }

// versionTag is one of our entity tags, as it comes back: a balancer that compresses answers weakens it (nginx,
// HAProxy) or adds the coding (Apache, Jetty). RFC 9110, 13.1.1 compares strongly, for bytes; what counts here is the
// version.
var versionTag = regexp.MustCompile(`^(?:W/)?"([1-9][0-9]{0,9})(?:--?(?:gzip|br|zstd|deflate))?"$`)

// IfMatch reads an If-Match header. given tells whether there was one; version is the version in it. If it is required
// but missing, the error is errs.ErrNoMatch (428). If no ETag of ours could match it, the error is errs.ErrStale
// (412); also for a list or *, which would overwrite what the client has not seen.
func IfMatch(header string, required bool) (version int, given bool, err error) {
	header = strings.TrimSpace(header)
	if header == "" {
		if required {
			return 0, false, errs.ErrNoMatch
		}
		return 0, false, nil
	}
	tag := versionTag.FindStringSubmatch(header)
	if tag == nil {
		return 0, true, errs.ErrStale
	}
	number, err := strconv.ParseInt(tag[1], 10, 32) // a version is a PostgreSQL integer
	if err != nil {
		return 0, true, errs.ErrStale
	}
	return int(number), true, nil
}
