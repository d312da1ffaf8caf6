package app

import (
	"housecall/internal/config"
	"housecall/internal/mail"
	"housecall/internal/notify"
)

func notifyOptions(c config.Config) notify.Options {
	return notify.Options{Domain: mail.Domain(c.Sender()), Zone: c.Zone()}
}
