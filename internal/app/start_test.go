package app

import (
	"context"
	"net"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// An instance that is told to stop while it is starting ends, however far it has got, even between binding the port
// and serving.
func TestApp_StoppedWhileItStarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	for range 12 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		cfg := w.cfg
		cfg.Addr = ln.Addr().String()
		require.NoError(t, ln.Close())
		a, err := New(cfg, zerolog.New(w.log))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(w.context())
		go func() {
			for ctx.Err() == nil {
				if c, err := net.Dial("tcp", cfg.Addr); err == nil {
					_ = c.Close()
					cancel()
				}
			}
		}()
		ended := make(chan error, 1)
		go func() {
			if err := a.Start(ctx); err != nil {
				ended <- nil
				return
			}
			ended <- a.Stop()
		}()
		select {
		case err := <-ended:
			require.NoError(t, err)
		case <-w.context().Done():
			require.FailNow(t, "it neither starts nor stops")
		}
		cancel()
	}
}
