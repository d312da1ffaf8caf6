// Package walltime reads and writes wall times such as 09:30.
package walltime

import (
	"errors"
	"fmt"
)

// Parse reads a wall time "HH:MM" as minutes since midnight, 24:00 included.
func Parse(s string) (int, error) {
	if len(s) != 5 || s[2] != ':' {
		return 0, errors.New("a time must look like 09:30")
	}
	var n [4]int
	for i, at := range []int{0, 1, 3, 4} {
		if s[at] < '0' || s[at] > '9' {
			return 0, errors.New("a time must look like 09:30")
		}
		n[i] = int(s[at] - '0')
	}
	h, m := n[0]*10+n[1], n[2]*10+n[3]
	if m > 59 || h*60+m > 24*60 {
		return 0, errors.New("a time must lie between 00:00 and 24:00")
	}
	return h*60 + m, nil
}

// Format writes minutes since midnight as "HH:MM".
func Format(minutes int) string { return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60) }
