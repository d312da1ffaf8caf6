package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"housecall/internal/client"
	"housecall/internal/config"
)

const chatLong = `Chat in an appointment, as its patient or its doctor.

The password comes from HOUSECALL_PASSWORD or a prompt. Every line is a message. The ticks after your own messages
show how far they have got: · waiting for the server, ✓ stored, ✓✓ delivered, ✓✓ in colour read. When the
connection breaks, messages wait, and each is sent once when it is back.

Input may be piped: the lines are sent one by one, and at the end the command waits until all of them are stored.
/undo retracts your last message, /edit corrects it, /file sends a file and /save saves one; /help lists all
commands, and /quit or Ctrl-C leaves.`

// chatCommand is `housecall chat`.
func chatCommand() *cobra.Command {
	o := chatOptions{in: os.Stdin, out: os.Stdout}
	cmd := &cobra.Command{
		Use: "chat --as EMAIL [--server URL] APPOINTMENT", Short: "Chat in an appointment from the terminal", Long: chatLong,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.appointment = strings.ToUpper(strings.TrimSpace(args[0]))
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return runChat(ctx, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.as, "as", "", "email address or user ID to sign in with (required)")
	f.StringVar(&o.server, "server", "http://localhost:6001", "address of the service")
	f.BoolVar(&o.follow, "follow", false, "stay connected after the end of piped input")
	_ = cmd.MarkFlagRequired("as") // the flag exists
	return cmd
}

type chatOptions struct {
	as, server, appointment string
	follow                  bool
	in, out                 *os.File
}

const (
	logoutTimeout = 3 * time.Second // to sign out
	partTimeout   = 3 * time.Second // to send the last messages of a user who leaves
)

// runChat signs in, chats, and signs out. Its errors are sentences for the user.
func runChat(ctx context.Context, o chatOptions) error {
	password, err := o.password()
	if err != nil {
		return err
	}
	api, err := client.New(o.server, client.WithUserAgent("housecall-chat"))
	if err != nil {
		return err
	}
	if _, err := api.Login(ctx, o.as, password); err != nil {
		return o.explain(err)
	}
	defer func() {
		// Sign out after Ctrl-C, too. If that fails, the session expires by itself.
		goodbye, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoutTimeout)
		defer cancel()
		_ = api.Logout(goodbye)
		api.CloseIdle()
	}()
	if _, err := api.Appointment(ctx, o.appointment); err != nil {
		return o.explain(err)
	}
	return o.explain(chat(ctx, api, o))
}

// password takes the password from the environment, or prompts for it without showing it.
func (o chatOptions) password() (string, error) {
	if p := config.Password(); p != "" {
		return p, nil
	}
	in := int(o.in.Fd())
	if !term.IsTerminal(in) {
		return "", fmt.Errorf("there is no terminal to ask for the password: set %sPASSWORD", config.Prefix)
	}
	fmt.Fprintf(os.Stderr, "Password for %s: ", o.as)
	raw, err := term.ReadPassword(in)
	fmt.Fprintln(os.Stderr)
	if err != nil {
		return "", errors.New("no password was entered")
	}
	return string(raw), nil
}

// explain words an error for the user.
func (o chatOptions) explain(err error) error {
	p, refused := client.AsProblem(err)
	var closed *client.CloseError
	var network net.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return nil
	case errors.Is(err, client.ErrSignedOut):
		return errors.New("your session has ended: sign in again")
	case errors.As(err, &closed) && (closed.Code == 4403 || closed.Code == 4404):
		return fmt.Errorf("%s is no longer a participant in conversation %s", o.as, o.appointment)
	case errors.As(err, &network):
		return fmt.Errorf("cannot reach the server %s: is it running?", o.server)
	case !refused:
		return err
	case p.Code == "":
		return fmt.Errorf("something in front of the server answered %d %s: try again in a moment", p.Status, p.Title)
	case p.Status == 401:
		return errors.New("wrong email address or password")
	case p.Status == 403:
		return fmt.Errorf("%s is not allowed to do that: %s", o.as, p.Detail)
	case p.Status == 404:
		return fmt.Errorf("%s is not an appointment of %s", o.appointment, o.as)
	case p.Status == 429:
		return fmt.Errorf("too many attempts: wait %s and try again", max(p.RetryAfter, time.Second))
	default:
		return fmt.Errorf("the server refused the request: %s", p.Detail)
	}
}

// chatSession is one run of the command: one conversation on one screen.
type chatSession struct {
	api     *client.API
	id      string // of the appointment
	conv    *client.Conversation
	opened  chan struct{} // closed when conv is set
	screen  *chatScreen
	refused atomic.Int64
}

func chat(ctx context.Context, api *client.API, o chatOptions) error {
	keyboard, screen, err := openScreen(api.User().UserID, o.in, o.out)
	if err != nil {
		return err
	}
	defer screen.close()
	s := &chatSession{api: api, id: o.appointment, opened: make(chan struct{}), screen: screen}
	s.conv = client.Open(api, o.appointment, client.Options{Handler: s.handler()})
	close(s.opened)
	defer s.conv.Close()
	screen.onKey(func() { s.conv.Typing(true) })

	ended := make(chan error, 1)
	go func() { ended <- s.readLines(ctx, keyboard) }() // a read of standard input cannot be interrupted
	err = s.loop(ctx, ended, o.follow && !screen.interactive())
	s.conv.Close()
	if n := s.refused.Load(); err == nil && n > 0 {
		err = fmt.Errorf("messages refused: %d", n)
	}
	return err
}

// errQuit means that the user wants to leave.
var errQuit = errors.New("quit")

// readLines handles lines until there are no more. It handles each before it reads the next, because handling a line
// moves what is being typed on the screen.
func (s *chatSession) readLines(ctx context.Context, keyboard interface{ ReadLine() (string, error) }) error {
	for {
		line, err := keyboard.ReadLine()
		if err != nil {
			return err
		}
		if quit := s.enter(ctx, line); quit {
			return errQuit
		}
	}
}

// loop waits until the input or the conversation ends, or the user interrupts.
func (s *chatSession) loop(ctx context.Context, ended <-chan error, follow bool) error {
	select {
	case err := <-ended:
		if s.screen.interactive() {
			return s.partWith(ctx)
		}
		return s.atEnd(ctx, follow && !errors.Is(err, errQuit))
	case <-s.conv.Done():
		_, why := s.conv.State()
		return why
	case <-ctx.Done():
		return nil
	}
}

// partWith sends what the user has just typed, but does not keep them waiting long.
func (s *chatSession) partWith(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, partTimeout)
	defer cancel()
	_ = s.conv.Drain(ctx) // the next lines count what was not sent
	if n := s.conv.Pending(); n > 0 {
		return fmt.Errorf("messages not sent: %d", n)
	}
	return nil
}

// atEnd waits, at the end of piped input, until all its messages are stored.
func (s *chatSession) atEnd(ctx context.Context, follow bool) error {
	if err := s.conv.WaitLive(ctx); err != nil {
		return err
	}
	if err := s.conv.Drain(ctx); err != nil || !follow {
		return err
	}
	select {
	case <-s.conv.Done():
		_, why := s.conv.State()
		return why
	case <-ctx.Done():
		return nil
	}
}

// enter handles one line of input.
func (s *chatSession) enter(ctx context.Context, line string) (quit bool) {
	s.screen.entered(line)
	text, literal := strings.TrimSpace(line), false
	if strings.HasPrefix(text, "//") {
		text, literal = text[1:], true
	}
	switch {
	case text == "":
	case literal || !strings.HasPrefix(text, "/"):
		s.send(ctx, text)
	case text == "/quit":
		return true
	default:
		s.command(ctx, text)
	}
	return false
}

// send queues a line. If the queue is full, piped input waits for space; at a terminal, the user is told.
func (s *chatSession) send(ctx context.Context, text string) {
	id := client.NewClientID()
	s.screen.sending(id)
	s.screen.queued(id, text) // before it can be acknowledged
	s.conv.Typing(false)
	s.queue(ctx, func() error { return s.conv.SendAs(id, text) })
}

// queue calls add, which adds to the conversation's queue. Piped input waits until there is space.
func (s *chatSession) queue(ctx context.Context, add func() error) {
	err := add()
	for errors.Is(err, client.ErrQueueFull) && !s.screen.interactive() {
		if err = s.conv.WaitSpace(ctx); err == nil {
			err = add()
		}
	}
	if err != nil && ctx.Err() == nil {
		s.refuse(err)
	}
}

// refuse tells the user that something will not be sent; the exit status of the command will say so, too.
func (s *chatSession) refuse(err error) {
	s.refused.Add(1)
	s.screen.note("not sent: " + err.Error())
}

// pipe stands in for the keyboard when input is piped.
type pipe struct{ r *bufio.Reader }

// ReadLine returns the next line without its line break; the last line may have none.
func (p pipe) ReadLine() (string, error) {
	line, err := p.r.ReadString('\n')
	if errors.Is(err, io.EOF) && line != "" {
		err = nil
	}
	return strings.TrimRight(line, "\r\n"), err
}
