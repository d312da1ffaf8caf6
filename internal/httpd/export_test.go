package httpd

import "time"

// Patient has a limiter wait for Redis however long a busy machine keeps the two apart.
func Patient(l Limiter) Limiter {
	if shared, ok := l.(*sharedLimiter); ok {
		shared.patience = time.Hour
	}
	return l
}

// ParseKey is what reads an Idempotency-Key.
var ParseKey = parseKey
