package text

import (
	"bytes"
	"encoding/json"
)

// Twice looks for a key that comes twice in one object of a JSON document (RFC 8259, 4): programs disagree about which
// of the two counts. key is as it was sent. What is not JSON is not looked at any further.
func Twice(document []byte) (key string, found bool) {
	type level struct {
		keys    map[string]bool // nil: an array
		isValue bool            // what comes next in an object
	}
	var levels []level
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err != nil {
			return "", false // the end, too
		}
		top := len(levels) - 1
		switch delim, _ := token.(json.Delim); {
		case delim == '}' || delim == ']':
			levels = levels[:top]
			continue
		case top >= 0 && levels[top].keys != nil && !levels[top].isValue:
			name, _ := token.(string)
			if levels[top].keys[name] {
				return name, true
			}
			levels[top].keys[name], levels[top].isValue = true, true
			continue
		case top >= 0:
			levels[top].isValue = false
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{keys: map[string]bool{}})
		case json.Delim('['):
			levels = append(levels, level{})
		}
	}
}
