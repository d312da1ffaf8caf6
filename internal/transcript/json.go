package transcript

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// inJSON writes one event per line, in canonical form with the reader's local time appended.
type inJSON struct {
	out   *bytes.Buffer
	facts Facts
	some  bool // whether an entry has been written
}

func newJSON(out *bytes.Buffer) *inJSON { return &inJSON{out: out} }

func (j *inJSON) begin(f Facts) error {
	j.facts = f
	a := f.Appointment
	a.StartsAt, a.EndsAt = inZone(a.StartsAt, f.Zone), inZone(a.EndsAt, f.Zone)
	head, err := json.Marshal(struct {
		Version      int           `json:"version"`
		Appointment  Appointment   `json:"appointment"`
		Participants []Participant `json:"participants"`
		TimeZone     string        `json:"timeZone"`
		GeneratedAt  time.Time     `json:"generatedAt"`
		HeadSeq      int64         `json:"headSeq"`
	}{1, a, f.Participants, f.Zone.String(), f.GeneratedAt.In(f.Zone), f.HeadSeq})
	if err != nil {
		return fmt.Errorf("encode the facts: %w", err)
	}
	j.out.Write(head[:len(head)-1])
	j.out.WriteString(",\"events\":[\n")
	return nil
}

func (j *inJSON) entry(e Entry, canonical []byte) error {
	if j.some {
		j.out.WriteString(",\n")
	}
	j.some = true
	j.out.Write(canonical[:len(canonical)-1])
	j.out.WriteString(`,"local":"` + e.At.In(j.facts.Zone).Format(time.RFC3339Nano) + `"}`)
	return nil
}

func (j *inJSON) end(sum string) error {
	j.out.WriteString("\n],\"sha256\":\"" + sum + "\"}\n")
	return nil
}

func inZone(t *time.Time, zone *time.Location) *time.Time {
	if t == nil {
		return nil
	}
	local := t.In(zone)
	return &local
}
