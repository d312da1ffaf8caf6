package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"housecall/internal/config"
)

// openRedis makes the client for REDIS_URL: of one node or, depending on REDIS_MODE, of a Sentinel setup or a Cluster;
// nil for an instance that is alone.
func openRedis(cfg config.Config) (redis.UniversalClient, error) {
	malformed := fmt.Errorf("%sREDIS_URL is malformed", config.Prefix) // the cause would repeat the password
	switch cfg.RedisMode {
	case config.RedisNone:
		return nil, nil //nolint:nilnil // there is none
	case "sentinel":
		o, err := redis.ParseFailoverURL(cfg.RedisURL.Reveal())
		if err != nil {
			return nil, malformed
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout = redisTimeout, redisTimeout, redisTimeout
		return redis.NewFailoverClient(o), nil
	case "cluster":
		o, err := redis.ParseClusterURL(cfg.RedisURL.Reveal())
		if err != nil {
			return nil, malformed
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout = redisTimeout, redisTimeout, redisTimeout
		return redis.NewClusterClient(o), nil
	default:
		o, err := redis.ParseURL(cfg.RedisURL.Reveal())
		if err != nil {
			return nil, malformed
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout = redisTimeout, redisTimeout, redisTimeout
		return redis.NewClient(o), nil
	}
}

// redisTimeout is short because the service can do without Redis.
const redisTimeout = time.Second

// quietRedis keeps the client library from writing to stderr: the bus and the limiter log once when Redis goes away
// and once when it comes back.
var quietRedis = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

// Printf drops the line.
func (silence) Printf(context.Context, string, ...any) {}
