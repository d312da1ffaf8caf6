package app

import (
	"strings"

	"housecall/internal/config"
	"housecall/internal/httpd"
)

func httpdOptions(c config.Config) httpd.Options {
	return httpd.Options{
		BodyLimit:      c.BodyLimit,
		RequestTimeout: c.RequestTimeout,
		Origins:        c.Origins(),
		TrustedProxies: c.TrustedProxies,
		CursorSecrets:  c.Secrets(),
		HTTPS:          strings.HasPrefix(c.PublicURL, "https://"),
		Version:        Version,
	}
}
