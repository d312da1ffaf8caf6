package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"housecall/internal/testing/hostile"
)

// badAddress is where bad clients come from, so that limits by address affect only them.
var badAddress = net.IPv4(127, 0, 0, 66)

// crowdOrder is what a crowd reads from its standard input.
type crowdOrder struct {
	Targets []hostile.Target `json:"targets"` // each kind visits all of them
	Frames  int              `json:"frames"`  // mutated frames, over all targets
	Over    time.Duration    `json:"over"`    // how long the frames last, at least
	Seed    uint64           `json:"seed"`
}

// crowdReport is what a crowd writes to its standard output when it leaves.
type crowdReport struct {
	Frames  int `json:"frames"`  // mutated frames that were answered or cost the socket
	Visits  int `json:"visits"`  // visits of other kinds
	Sockets int `json:"sockets"` // sockets that these visits got
}

func crowdCommand() *cobra.Command {
	return &cobra.Command{
		Use: "crowd", Short: "The bad clients of hostile: reads its order as JSON and runs until the input ends",
		Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runCrowd(cmd.Context(), os.Stdin, os.Stdout) },
	}
}

// nice is the lowest priority: a flood costs its sender more than its target, and here they share the processors.
const nice = 19

func runCrowd(ctx context.Context, in io.Reader, out io.Writer) error {
	raiseFileLimit()
	_ = syscall.Setpriority(syscall.PRIO_PGRP, 0, nice) // if it fails, the numbers are only worse
	var order crowdOrder
	input := bufio.NewReader(in)
	line, err := input.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &order)
	}
	if err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	var mutants errgroup.Group
	tallies := make([]*hostile.Tally, len(order.Targets))
	crowds := make([]*hostile.Crowd, len(order.Targets))
	for i, target := range order.Targets {
		target.From = badAddress
		crowds[i] = hostile.Gather(target, 1, order.Seed)
		mutants.Go(func() (err error) {
			n := order.Frames / len(order.Targets)
			tallies[i], err = hostile.Mutated(ctx, target, hostile.Mutations{
				Frames: hostile.Frames, Count: n, Visitors: 1, Over: order.Over, Seed: order.Seed,
			})
			return err
		})
	}
	_, _ = io.Copy(io.Discard, input) // until it ends, in whatever way
	var did crowdReport
	err = mutants.Wait()
	for i, crowd := range crowds {
		for _, tally := range crowd.Leave() {
			did.Visits += tally.Count("visits")
			did.Sockets += tally.Count("sockets")
		}
		did.Frames += tallies[i].Count("frames")
	}
	return errors.Join(err, json.NewEncoder(out).Encode(did))
}

// runningCrowd is a crowd in a process of its own.
type runningCrowd struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out io.Reader
}

func startCrowd(ctx context.Context, order crowdOrder) (*runningCrowd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &runningCrowd{cmd: exec.CommandContext(ctx, self, "crowd")} //nolint:gosec // it is this program
	c.cmd.Stderr = os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C must reach only us
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if c.out, err = c.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the bad clients: %w", err)
	}
	return c, json.NewEncoder(c.in).Encode(order)
}

// leave ends the crowd and returns its report.
func (c *runningCrowd) leave() (crowdReport, error) {
	var did crowdReport
	err := c.in.Close()
	err = errors.Join(err, json.NewDecoder(c.out).Decode(&did), c.cmd.Wait())
	if err != nil {
		return did, fmt.Errorf("the bad clients: %w", err)
	}
	return did, nil
}
