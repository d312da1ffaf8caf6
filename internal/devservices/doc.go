// Package devservices runs a private PostgreSQL, Redis and S3 store, for `housecall dev` and for tests.
//
// The servers listen only on 127.0.0.1, on free ports, with random passwords, and do not touch other servers on the
// machine. They end with the process that started them: Stop ends them, and if the process is killed, the kernel sends
// them a signal (only on Linux).
//
// PostgreSQL refuses to run as root, so a process of root runs its servers as an unprivileged user; see place.
package devservices
