package devservices

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// signalOnParentDeath has the kernel send sig to the child when its parent ends, even by SIGKILL (prctl(2),
// PR_SET_PDEATHSIG).
func signalOnParentDeath(attr *syscall.SysProcAttr, sig syscall.Signal) {
	attr.Pdeathsig = sig
}

// childrenOf lists the direct children of a process.
func childrenOf(parent int) []int {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var children []int
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if stat := statOf(pid); stat.parent == parent {
			children = append(children, pid)
		}
	}
	return children
}

// commandOf returns the name of a running process's program, or "". A zombie does not count as running.
func commandOf(pid int) string {
	stat := statOf(pid)
	if stat.state == "Z" || stat.state == "X" {
		return ""
	}
	return stat.command
}

// processStat is the beginning of /proc/PID/stat, see proc(5).
type processStat struct {
	command, state string
	parent         int
}

// statOf reads /proc/PID/stat; for a process that has ended, it returns the zero value.
func statOf(pid int) processStat {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return processStat{}
	}
	// pid (command) state ppid …; the command itself may contain parentheses.
	begin, end := bytes.IndexByte(raw, '('), bytes.LastIndexByte(raw, ')')
	if begin < 0 || end < begin {
		return processStat{}
	}
	fields := bytes.Fields(raw[end+1:])
	if len(fields) < 2 {
		return processStat{}
	}
	parent, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		return processStat{}
	}
	return processStat{command: string(raw[begin+1 : end]), state: string(fields[0]), parent: parent}
}
