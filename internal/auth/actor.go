// Package auth knows who is asking: the actor, the access token that names them, how passwords are kept, and the
// secrets of links. It touches no database; account decides whether a session still counts.
package auth

import "context"

// Role is what a user may do. It is stored and sent as is.
type Role string

// The roles.
const (
	Patient Role = "PATIENT"
	Doctor  Role = "DOCTOR"
	Admin   Role = "ADMIN"
)

// Valid reports whether r is one of the three.
func (r Role) Valid() bool { return r == Patient || r == Doctor || r == Admin }

// Actor is the signed-in user on whose behalf something happens.
type Actor struct {
	ID      int64  // users.id, never shown outside (the PMS routes aside)
	UserID  string // public id: PAT…, DOC…, ADM…
	Name    string
	Role    Role
	Session int64 // sessions.id; 0 for the system
	// MustChangePassword leaves only those routes open that the user needs to change it.
	MustChangePassword bool
}

// System acts where no user does: timers, jobs, the command line.
var System = Actor{UserID: "system", Name: "Housecall"}

// IsSystem reports whether the actor is the system and not a signed-in user.
func (a Actor) IsSystem() bool { return a.ID == 0 }

type actorKey struct{}

// WithActor puts the actor into a request's context. Only httpd and the older APIs do so, after authentication.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorFrom returns the actor of a request; ok is false on a public route without a token.
func ActorFrom(ctx context.Context) (a Actor, ok bool) {
	a, ok = ctx.Value(actorKey{}).(Actor)
	return a, ok
}
