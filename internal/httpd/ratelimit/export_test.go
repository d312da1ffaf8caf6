package ratelimit

import "time"

// Patient makes a limiter wait for Redis, however busy the machine is.
func Patient(l Limiter) Limiter {
	if shared, ok := l.(*sharedLimiter); ok {
		shared.patience = time.Hour
	}
	return l
}
