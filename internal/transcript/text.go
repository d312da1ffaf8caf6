package transcript

import (
	"bytes"
	"fmt"
)

// inText writes lines for people. Messages are indented, so that they cannot be made to look like entries.
type inText struct {
	out    *bytes.Buffer
	writer *writer
}

func newText(out *bytes.Buffer) *inText { return &inText{out: out} }

const indent = "    "

func (t *inText) begin(f Facts) error {
	t.writer = newWriter(f, asItIs)
	t.out.WriteString("Transcript\n\n")
	for _, l := range f.facts(asItIs) {
		for i, line := range lines(l.value) {
			if i > 0 {
				l.name = ""
			}
			fmt.Fprintf(t.out, "%-14s%s\n", l.name, line)
		}
	}
	return nil
}

func (t *inText) entry(e Entry, _ []byte) error {
	if day, first := t.writer.newDay(e); first {
		t.out.WriteString("\n" + day + "\n")
	}
	p := t.writer.tell(e)
	t.out.WriteString("\n" + p.head + "\n")
	if p.text != "" {
		t.indented(p.text)
	}
	for _, n := range p.notes {
		t.indented(n)
	}
	return nil
}

func (t *inText) indented(s string) {
	for _, line := range lines(s) {
		t.out.WriteString(indent + line + "\n")
	}
}

func (t *inText) end(sum string) error {
	t.out.WriteString("\n")
	for _, line := range closing(t.writer.facts, sum) {
		t.out.WriteString(line + "\n")
	}
	return nil
}
