// Command loadtest drives patients and doctors against running instances of Housecall and verifies, as it goes, that
// nothing is lost, duplicated or reordered. See its --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := rootCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "loadtest:", err)
		os.Exit(1)
	}
}

// errViolated means that the service broke a guarantee during the run; the table says which.
var errViolated = errors.New("the service broke a guarantee: see the table")

const longHelp = `loadtest holds conversations between patients on one instance and doctors on another.

It creates its own users (an administrator invites the doctors, patients register), books and confirms one
appointment for each conversation through the API, and then runs one of the modes:

  closed   keeps --outstanding messages under way in every conversation; measures throughput
  open     sends messages at a fixed --rate; latencies count from the moment a message was meant to be sent, so that
           a service that stalls cannot hide it
  idle     opens --connections sockets that stay silent; measures the memory of the server processes --pids
  hostile  runs the open loop, --rounds times in turns without and with bad clients of every kind on each server:
           they send 10,000 mutated frames, break the framing, never finish a message, flood, never read, come and
           go. They come from 127.0.0.66, so the servers must be on this machine, with the default limits
  bench    starts a durable PostgreSQL, a Redis and two instances of its own (--spawn), and runs all modes

Both participants send. Every receiver must see a log without gaps and every acknowledged message exactly once, and
both participants must see the same log. After any violation the exit status is 1.

The default limits of the service are meant for people. For a load test, raise HOUSECALL_REGISTERS_PER_ADDRESS,
HOUSECALL_LOGINS_PER_ADDRESS, HOUSECALL_SOCKETS_PER_USER, HOUSECALL_SOCKETS_PER_ADDRESS,
HOUSECALL_MESSAGES_PER_SECOND, _USER_MESSAGES_PER_SECOND and _ROOM_MESSAGES_PER_SECOND (bench does this itself).`

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use: "loadtest", Short: "Measure Housecall under load, and verify its guarantees", Long: longHelp,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.AddCommand(closedCommand(), openCommand(), idleCommand(), hostileCommand(), crowdCommand(), benchCommand())
	return root
}

func closedCommand() *cobra.Command {
	p := defaultPlan()
	cmd := &cobra.Command{
		Use: "closed", Short: "Closed loop: a fixed number of messages under way in each conversation", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return onSite(cmd.Context(), p, func(ctx context.Context, s *site) (Result, error) { return runClosed(ctx, p, s) })
		},
	}
	p.siteFlags(cmd)
	p.driveFlags(cmd)
	p.closedFlags(cmd)
	return cmd
}

func openCommand() *cobra.Command {
	p := defaultPlan()
	cmd := &cobra.Command{
		Use: "open", Short: "Open loop: a fixed rate of messages over all conversations", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return onSite(cmd.Context(), p, func(ctx context.Context, s *site) (Result, error) { return runOpen(ctx, p, s) })
		},
	}
	p.siteFlags(cmd)
	p.driveFlags(cmd)
	p.openFlags(cmd)
	return cmd
}

func idleCommand() *cobra.Command {
	p := defaultPlan()
	cmd := &cobra.Command{
		Use: "idle", Short: "Idle connections: how much memory each takes", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return onSite(cmd.Context(), p, func(ctx context.Context, s *site) (Result, error) { return runIdle(ctx, p, s) })
		},
	}
	p.siteFlags(cmd)
	p.idleFlags(cmd)
	p.pidsFlag(cmd)
	return cmd
}

func hostileCommand() *cobra.Command {
	p := defaultPlan()
	cmd := &cobra.Command{
		Use: "hostile", Short: "Bad clients: how they affect well-behaved ones", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return onSite(cmd.Context(), p, func(ctx context.Context, s *site) (Result, error) { return runHostile(ctx, p, s) })
		},
	}
	p.siteFlags(cmd)
	p.driveFlags(cmd)
	p.openFlags(cmd)
	p.hostileFlags(cmd)
	p.holdFlag(cmd)
	p.pidsFlag(cmd)
	return cmd
}

func benchCommand() *cobra.Command {
	p := defaultPlan()
	var b bench
	cmd := &cobra.Command{
		Use: "bench", Short: "Start everything, run all modes, stop everything", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return b.run(cmd.Context(), p) },
	}
	p.conversationFlags(cmd)
	p.driveFlags(cmd)
	p.closedFlags(cmd)
	p.openFlags(cmd)
	p.idleFlags(cmd)
	p.hostileFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&b.binary, "spawn", ".housecall/bin/housecall", "the housecall binary to run")
	f.StringVar(&b.profiles, "profiles", "", "folder for profiles of each server: CPU in closed and open, heap in idle")
	f.StringSliceVar(&b.modes, "modes", []string{"open", "hostile", "idle", "closed"},
		"modes to run, in this order; closed leaves work behind (checkpoints, indexing) that distorts later modes")
	f.StringSliceVar(&b.env, "env", nil, "more settings for the servers, such as HOUSECALL_COMMIT_LANES=8")
	f.StringVar(&b.logs, "logs", "", "file for the servers' logs (default: discard them)")
	return cmd
}

// onSite prepares the conversations, runs one mode and reports.
func onSite(ctx context.Context, p *plan, mode func(context.Context, *site) (Result, error)) error {
	if err := p.check(); err != nil {
		return err
	}
	raiseFileLimit()
	s, err := prepare(ctx, p)
	if err != nil {
		return err
	}
	defer s.close()
	r, err := mode(ctx, s)
	if err != nil {
		return err
	}
	return report(p, []Result{r})
}
