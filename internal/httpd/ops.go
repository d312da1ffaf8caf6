package httpd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Ops is the server for operators, with /metrics and /debug/pprof/, on a port of its own that must never be public.
type Ops struct{ server *http.Server }

// NewOps makes the server; it does not listen yet.
func NewOps(addr string, registry *prometheus.Registry) *Ops {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return &Ops{server: &http.Server{Addr: addr, Handler: mux, ReadHeaderTimeout: 5 * time.Second}}
}

// Listen binds the address, so that the start fails early if the port is in use.
func (o *Ops) Listen() (net.Listener, error) {
	ln, err := net.Listen("tcp", o.server.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics: %w", err)
	}
	return ln, nil
}

// Serve answers requests on ln until Shutdown, and closes ln.
func (o *Ops) Serve(ln net.Listener) error {
	if err := o.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

// Shutdown stops the server; if a profile is still running when ctx ends, it is cut off.
func (o *Ops) Shutdown(ctx context.Context) error {
	if err := o.server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("stop metrics: %w", err), o.server.Close())
	}
	return nil
}
