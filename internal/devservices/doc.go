// Package devservices runs a private PostgreSQL and a private Redis for
// `housecall dev` and for tests.
//
// The servers listen on 127.0.0.1 only, on ports of their own choosing, with
// random passwords, and touch no other server of the machine. They die with
// the process that started them: by an ordered Stop, or on Linux, when that
// process is killed, by the signal the kernel sends on a parent's death.
//
// PostgreSQL refuses to run as root, so root gives its servers to an
// unprivileged user; see place.
package devservices
