//go:build !linux

package deploytest

import "os/exec"

// endsWithUs needs Linux; elsewhere a process outlives tests that are killed.
func endsWithUs(*exec.Cmd) {}

// serving needs Linux; elsewhere nobody waits for a reload.
func serving(int) []int { return nil }
