package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// rest calls a route under /api/v1 and reads its answer into out, which may be nil. If the service refuses, the error
// is a *refusal; after any other error, the outcome is unknown.
func rest(ctx context.Context, addr, token, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, calm)
	defer cancel()
	var body io.Reader = http.NoBody
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+"/api/v1"+path, body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := probes.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return &refusal{resp.StatusCode, codeOf(raw)}
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(raw, out)
}

type object map[string]any

// wireEvent is an event as it is sent.
type wireEvent struct {
	Seq         int64     `json:"seq"`
	Kind        string    `json:"kind"`
	ClientID    string    `json:"clientId"`
	Sender      string    `json:"sender"`
	Text        string    `json:"text"`
	Target      int64     `json:"target"`
	Retracted   bool      `json:"retracted"`
	CorrectedBy int64     `json:"correctedBy"`
	At          time.Time `json:"at"`
}

func (e wireEvent) event(r *Recorder) *Event {
	return &Event{
		Seq: e.Seq, Kind: e.Kind, ClientID: e.ClientID, Sender: e.Sender, Text: e.Text, Target: e.Target,
		Retracted: e.Retracted, CorrectedBy: e.CorrectedBy, Committed: r.Clock(e.At),
	}
}
