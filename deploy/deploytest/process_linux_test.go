package deploytest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// endsWithUs has the kernel end a process if the tests are killed before they can.
func endsWithUs(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
}

// serving lists the workers of an nginx that accept connections, and are not about to end.
func serving(master int) []int {
	var out []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, name := range stats {
		raw, err := os.ReadFile(name)
		if err != nil {
			continue // it has just ended
		}
		// "pid (name) state ppid ..."; see proc(5).
		after := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil || string(after[1]) != strconv.Itoa(master) {
			continue
		}
		title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && len(title) > 0 && !bytes.Contains(title, []byte("shutting down")) {
			out = append(out, pid)
		}
	}
	return out
}
