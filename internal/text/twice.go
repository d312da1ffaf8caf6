package text

import (
	"bytes"
	"encoding/json"
	"iter"
	"slices"
	"strings"
	"unicode"
)

// Twice looks for a key that comes twice in one object of a JSON document (RFC 8259, 4): programs disagree about which
// of the two counts. key is as it was sent. What is not JSON is not looked at any further.
func Twice(document []byte) (key string, found bool) {
	for key := range repeated(document, false) {
		return key, true
	}
	return "", false
}

// TwiceInAnyCase returns all keys that Twice would find. Those of the outermost object are the same if they differ only
// in case, as they are for Go where it decodes the object into a struct.
func TwiceInAnyCase(document []byte) (keys []string) { return slices.Collect(repeated(document, true)) }

// level is an object or an array that has begun.
type level struct {
	keys    map[string]bool // nil: an array
	isValue bool            // what comes next in an object
}

// repeated yields each key that comes again in its object.
func repeated(document []byte, anyCase bool) iter.Seq[string] {
	return func(yield func(key string) bool) {
		var levels []level
		d := json.NewDecoder(bytes.NewReader(document))
		d.UseNumber()
		for {
			token, err := d.Token()
			if err != nil {
				return // the end, too
			}
			top := len(levels) - 1
			switch delim, _ := token.(json.Delim); {
			case delim == '}' || delim == ']':
				levels = levels[:top]
				continue
			case top >= 0 && levels[top].keys != nil && !levels[top].isValue:
				name, _ := token.(string)
				if levels[top].again(name, anyCase && top == 0) && !yield(name) {
					return
				}
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
}

// again notes a key, and tells whether its object has had it before.
func (l *level) again(key string, anyCase bool) bool {
	if anyCase {
		key = strings.Map(anyCaseOf, key)
	}
	known := l.keys[key]
	l.keys[key], l.isValue = true, true
	return known
}

// anyCaseOf returns the least of the runes that strings.EqualFold takes for r.
func anyCaseOf(r rune) rune {
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		least = min(least, other)
	}
	return least
}
