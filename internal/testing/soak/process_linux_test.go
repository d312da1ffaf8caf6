package soak

import (
	"os/exec"
	"syscall"
)

// endsWithUs has the kernel end a process if the tests are killed before they can.
func endsWithUs(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
