package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"housecall/internal/client"
)

// Result is one run as --json writes it. Latencies are in milliseconds.
type Result struct {
	Mode          string `json:"mode"`
	Conversations int    `json:"rooms,omitempty"`

	Seconds     float64 `json:"seconds,omitempty"` // measured
	Outstanding int     `json:"outstanding,omitempty"`
	Rate        int     `json:"rate,omitempty"`

	Sent       int64            `json:"sent,omitempty"` // including warm-up and drain
	Acked      int64            `json:"acked,omitempty"`
	PerSecond  float64          `json:"perSecond,omitempty"` // committed and delivered to the other side
	Delivery   *Latency         `json:"delivery,omitempty"`  // from the intended send to the other side's socket
	Ack        *Latency         `json:"ack,omitempty"`
	Refusals   map[string]int64 `json:"refusals,omitempty"`
	Reconnects int64            `json:"reconnects,omitempty"`

	Idle    *IdleResult    `json:"idle,omitempty"`
	Hostile *HostileResult `json:"hostile,omitempty"`
	CPU     []CPUShare     `json:"cpu,omitempty"`

	Violations map[string]int64 `json:"violations"`
}

// Latency is a distribution of latencies.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// CPUShare is how many cores a process kept busy on average.
type CPUShare struct {
	Process string  `json:"process"`
	Cores   float64 `json:"cores"`
}

func latencyOf(samples ...[]int64) *Latency {
	h := hdrhistogram.New(1, int64(10*time.Minute/time.Microsecond), 3)
	for _, list := range samples {
		for _, ns := range list {
			_ = h.RecordValue(max(1, ns/1000)) // fails above ten minutes, where the figure no longer matters
		}
	}
	if h.TotalCount() == 0 {
		return nil
	}
	ms := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
	return &Latency{P50: ms(50), P90: ms(90), P99: ms(99), P999: ms(99.9), Max: float64(h.Max()) / 1000}
}

// result checks every guarantee over the whole run. The conversations must be closed.
func (d *drive) result() Result {
	r := Result{
		Mode: d.mode, Conversations: len(d.sides) / 2, Seconds: d.plan.duration.Seconds(),
		Sent: d.sent.Load(), Acked: d.acked.Load(), Refusals: map[string]int64{}, Violations: map[string]int64{},
	}
	if d.mode == "closed" {
		r.Outstanding = d.plan.outstanding
	} else {
		r.Rate = d.plan.rate
	}
	var latency, acks [][]int64
	var delivered int64
	for _, s := range d.sides {
		stats := s.conv.Stats()
		s.check(stats, r.Violations)
		for code, n := range s.faults.refusals {
			r.Refusals[code] += n
		}
		r.Reconnects += stats.Connections - 1
		delivered += s.delivered
		latency, acks = append(latency, s.latency), append(acks, s.ackTimes)
	}
	r.PerSecond = float64(delivered) / r.Seconds
	r.Delivery, r.Ack = latencyOf(latency...), latencyOf(acks...)
	maps.DeleteFunc(r.Violations, func(_ string, n int64) bool { return n == 0 })
	return r
}

// check adds this side's violations, in what it received and in the outcome of what it sent.
func (s *side) check(stats client.Stats, v map[string]int64) {
	v["holes"] += s.faults.holes + stats.Holes
	v["duplicates"] += s.faults.duplicates
	v["foreign messages"] += s.faults.foreign
	if stats.Connections == 1 {
		v["events sent twice"] += stats.Duplicates
	}
	if len(s.faults.refusals) == 0 && len(s.peer.faults.refusals) == 0 {
		v["reordered"] += s.faults.reordered // a deferred message may be overtaken
	}
	for n := range s.meant {
		var acked, echoed int64
		if n < len(s.ackedSeq) {
			acked = s.ackedSeq[n]
		}
		if n < len(s.echoSeq) {
			echoed = s.echoSeq[n]
		}
		switch {
		case acked == 0:
			v["never acknowledged"]++
		case acked < 0 && s.peer.seen[1].has(n):
			v["refused, yet delivered"]++
		case acked < 0:
		case !s.peer.seen[1].has(n):
			v["acknowledged, never delivered"]++
		case echoed == 0:
			v["acknowledged, never seen by its sender"]++
		case acked != echoed:
			v["acknowledged under another seq"]++
		}
	}
	if s.lastSeq == s.peer.lastSeq && s.chain != s.peer.chain {
		v["the two sides saw different logs"]++
	}
}

// report prints the table, writes the JSON, and returns an error if a guarantee was broken.
func report(p *plan, results []Result) error {
	printTable(os.Stdout, results)
	if p.jsonFile != "" {
		raw, err := json.MarshalIndent(results, "", "  ")
		if err == nil {
			err = os.WriteFile(p.jsonFile, append(raw, '\n'), 0o600)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", p.jsonFile, err)
		}
	}
	for _, r := range results {
		if len(r.Violations) > 0 {
			return errViolated
		}
	}
	return nil
}

func printTable(w io.Writer, results []Result) {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, r := range results {
		fmt.Fprintf(t, "\n%s\t\n", strings.ToUpper(r.Mode))
		switch {
		case r.Idle != nil:
			r.Idle.print(t)
		case r.Hostile != nil:
			r.Hostile.print(t)
		default:
			r.printLoad(t)
		}
		for _, c := range r.CPU {
			fmt.Fprintf(t, "  CPU of %s\t%.2f cores\n", c.Process, c.Cores)
		}
		for _, name := range slices.Sorted(maps.Keys(r.Violations)) {
			fmt.Fprintf(t, "  VIOLATION: %s\t%d\n", name, r.Violations[name])
		}
		if len(r.Violations) == 0 {
			fmt.Fprintf(t, "  violations\tnone\n")
		}
	}
	_ = t.Flush() // to standard output: there is nowhere to report an error
}

func (r *Result) printLoad(t io.Writer) {
	load := fmt.Sprintf("%d conversations, %d messages under way in each", r.Conversations, r.Outstanding)
	if r.Mode == "open" {
		load = fmt.Sprintf("%d conversations, %d messages/s", r.Conversations, r.Rate)
	}
	fmt.Fprintf(t, "  load\t%s\n", load)
	fmt.Fprintf(t, "  committed and delivered\t%.0f messages/s over %.0f s\n", r.PerSecond, r.Seconds)
	fmt.Fprintf(t, "  sent, acknowledged\t%d, %d\n", r.Sent, r.Acked)
	for _, l := range []struct {
		name string
		d    *Latency
	}{{"send to delivery, ms", r.Delivery}, {"send to ack, ms", r.Ack}} {
		if l.d != nil {
			fmt.Fprintf(t, "  %s\tp50 %.1f   p90 %.1f   p99 %.1f   p99.9 %.1f   max %.1f\n",
				l.name, l.d.P50, l.d.P90, l.d.P99, l.d.P999, l.d.Max)
		}
	}
	for _, code := range slices.SortedFunc(maps.Keys(r.Refusals), cmp.Compare[string]) {
		fmt.Fprintf(t, "  refused, %s\t%d\n", code, r.Refusals[code])
	}
	if r.Reconnects > 0 {
		fmt.Fprintf(t, "  reconnects\t%d\n", r.Reconnects)
	}
}
