package pgtest

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// quietRedis keeps the client library from writing to stderr, as serve does: tests take Redis away on purpose.
func quietRedis() { redis.SetLogger(silence{}) }

type silence struct{}

// Printf drops the line.
func (silence) Printf(context.Context, string, ...any) {}
