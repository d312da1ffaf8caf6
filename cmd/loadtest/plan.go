package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"housecall/internal/config"
)

// plan holds the values of the flags.
type plan struct {
	servers  []string
	admin    string
	password string

	conversations, doctors, patients, parallel int

	duration, warmup, drain time.Duration
	size                    int

	outstanding int
	rate        int

	connections int
	hold        time.Duration
	pids        []int
	rounds      int
	atRest      func(context.Context) // called once all idle connections are open and measured; may be nil

	jsonFile string
	quiet    bool
	progress io.Writer
}

func defaultPlan() *plan { return &plan{progress: os.Stderr} }

func (p *plan) siteFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&p.servers, "servers", []string{"http://localhost:6001", "http://localhost:6002"},
		"addresses of the instances: patients use the first, doctors the last")
	f.StringVar(&p.admin, "admin", "admin@demo.test",
		"email address of an administrator; the password comes from HOUSECALL_PASSWORD")
	p.conversationFlags(cmd)
}

func (p *plan) conversationFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&p.conversations, "conversations", 200, "number of conversations")
	f.IntVar(&p.conversations, "rooms", 200, "")
	_ = f.MarkHidden("rooms") // the former name
	f.IntVar(&p.doctors, "doctors", 20, "doctors to create; conversations are shared out among them")
	f.IntVar(&p.patients, "patients", 20, "patients to create, at least as many as doctors")
	f.IntVar(&p.parallel, "parallel", 8, "concurrent requests during set-up")
	f.StringVar(&p.jsonFile, "json", "", "also write the results to this file as JSON")
	f.BoolVar(&p.quiet, "quiet", false, "do not show progress")
}

func (p *plan) driveFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.DurationVar(&p.duration, "duration", 20*time.Second, "how long to measure")
	f.DurationVar(&p.warmup, "warmup", 3*time.Second, "how long to run before measuring")
	f.DurationVar(&p.drain, "drain", 30*time.Second, "how long to wait at the end for messages under way")
	f.IntVar(&p.size, "size", 80, "length of a message in bytes, 40 to 4000")
}

func (p *plan) closedFlags(cmd *cobra.Command) {
	cmd.Flags().IntVar(&p.outstanding, "outstanding", 16,
		"closed loop: messages under way in each conversation, both directions together")
}

func (p *plan) openFlags(cmd *cobra.Command) {
	cmd.Flags().IntVar(&p.rate, "rate", 1000, "open loop: messages per second over all conversations")
}

func (p *plan) idleFlags(cmd *cobra.Command) {
	cmd.Flags().IntVar(&p.connections, "connections", 10_000,
		"idle: sockets to open, spread over conversations and servers")
	p.holdFlag(cmd)
}

func (p *plan) holdFlag(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&p.hold, "hold", 45*time.Second,
		"idle and hostile: how long to wait before reading memory; an idle server returns memory after 30 s")
}

func (p *plan) hostileFlags(cmd *cobra.Command) {
	cmd.Flags().IntVar(&p.rounds, "rounds", 3,
		"hostile: how many times to measure without and with bad clients, in turns")
}

func (p *plan) pidsFlag(cmd *cobra.Command) {
	cmd.Flags().IntSliceVar(&p.pids, "pids", nil,
		"process ids of the servers, in the order of --servers, to read their memory")
}

// check refuses values that cannot work. Flags that the mode does not have are zero.
func (p *plan) check() error {
	p.password = config.Password()
	if p.quiet {
		p.progress = io.Discard
	}
	switch {
	case p.admin != "" && len(p.servers) == 0:
		return errors.New("--servers is empty")
	case p.conversations < 1 || p.doctors < 1 || p.parallel < 1:
		return errors.New("--conversations, --doctors and --parallel must be at least 1")
	case p.patients < p.doctors:
		return errors.New("--patients must be at least --doctors: appointments at the same time need different patients")
	case p.duration > 0 && (p.size < 40 || p.size > 4000):
		return errors.New("--size must be from 40 to 4000")
	case p.admin != "" && p.password == "":
		return fmt.Errorf("the administrator's password is missing: set %sPASSWORD", config.Prefix)
	}
	return nil
}

// raiseFileLimit allows as many open files as the system permits; a run that needs more fails when it opens them.
func raiseFileLimit() {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) == nil && l.Cur < l.Max {
		l.Cur = l.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
	}
}
