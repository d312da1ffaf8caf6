package app

import (
	"housecall/internal/config"
	"housecall/internal/idempotency"
)

func idempotencyOptions(c config.Config) idempotency.Options {
	return idempotency.Options{RequestTimeout: c.RequestTimeout}
}
