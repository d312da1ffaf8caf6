//go:build !linux

package deploytest

import "os/exec"

// endsWithUs does nothing: it needs Linux. Elsewhere, a process outlives tests that are killed.
func endsWithUs(*exec.Cmd) {}

// serving returns nothing: it needs Linux. Elsewhere, tests do not wait for a reload.
func serving(int) []int { return nil }
