package ratelimit

import "time"

// Patient makes a limiter wait for Redis however long a busy machine keeps the two apart.
func Patient(l Limiter) Limiter {
	if shared, ok := l.(*sharedLimiter); ok {
		shared.patience = time.Hour
	}
	return l
}
