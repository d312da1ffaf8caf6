package text

import (
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// hostName is a host as browsers send it.
var hostName = regexp.MustCompile(`^[a-z0-9_][a-z0-9._-]*$`)

var defaultPorts = map[string]uint64{"http": 80, "https": 443}

// opaque are the schemes whose pages have an origin of their own each, or share one with strangers.
var opaque = map[string]bool{"about": true, "blob": true, "data": true, "file": true, "javascript": true}

// Origin returns an origin as browsers send it (RFC 6454, 6.2 and 7.1): scheme and host in lower case, a host in other
// scripts as its A-label, no default port. The scheme may also be an app's own, as in capacitor://localhost. ok is
// false for anything else, such as null or an address with a path.
func Origin(s string) (origin string, ok bool) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.User != nil ||
		strings.Contains(s, "#") || opaque[u.Scheme] {
		return "", false
	}
	host, ok := hostOf(u.Hostname())
	if !ok {
		return "", false
	}
	if text := u.Port(); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return "", false
		}
		if n != defaultPorts[u.Scheme] {
			host += ":" + strconv.FormatUint(n, 10)
		}
	}
	return u.Scheme + "://" + host, true // url.Parse writes the scheme in lower case
}

// hostOf returns a host as browsers write it.
func hostOf(s string) (host string, ok bool) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		if a.Is6() {
			return "[" + a.String() + "]", true
		}
		return a.String(), true
	}
	if host = strings.ToLower(s); hostName.MatchString(host) {
		return host, true
	}
	host, err := idna.Lookup.ToASCII(s)
	return host, err == nil && hostName.MatchString(host)
}
