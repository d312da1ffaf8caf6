package dev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"housecall/internal/mail"
)

// mailbox serves the emails that dev's instances write.
type mailbox struct {
	ln     net.Listener
	server *http.Server
	ended  chan error
}

// openMailbox serves the folder's emails, on this machine only.
func openMailbox(ctx context.Context, dir string) (*mailbox, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open the mailbox: %s", reason(err))
	}
	b := &mailbox{ln: ln, ended: make(chan error, 1), server: &http.Server{
		Handler: mail.Mailbox(dir), ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
	}}
	go func() { b.ended <- b.server.Serve(ln) }()
	return b, nil
}

func (b *mailbox) url() string { return "http://" + b.ln.Addr().String() }

// close ends the mailbox at once, without waiting for open requests.
func (b *mailbox) close() error {
	err := b.server.Close()
	if end := <-b.ended; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	if err != nil {
		return fmt.Errorf("close the mailbox: %w", err)
	}
	return nil
}
