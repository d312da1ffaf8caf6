//go:build unix && !linux

package devservices

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// signalOnParentDeath does nothing: this system has no such signal. A server outlives a parent that is killed with
// SIGKILL, and the next start says so.
func signalOnParentDeath(*syscall.SysProcAttr, syscall.Signal) {}

// childrenOf lists the direct children of a process.
func childrenOf(parent int) []int {
	out, err := exec.CommandContext(context.Background(), "ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return nil
	}
	var children []int
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) != 2 || fields[1] != strconv.Itoa(parent) {
			continue
		}
		if pid, err := strconv.Atoi(fields[0]); err == nil {
			children = append(children, pid)
		}
	}
	return children
}

// commandOf returns the name of a running process's program, or "".
func commandOf(pid int) string {
	out, err := exec.CommandContext(context.Background(), "ps", "-o", "comm=", "-p", strconv.Itoa(pid)).
		Output()
		//nolint:gosec // a number
	if err != nil {
		return ""
	}
	return filepath.Base(strings.TrimSpace(string(out)))
}

// volatileRoot returns where to put data that need not last.
func volatileRoot() string { return os.TempDir() }
