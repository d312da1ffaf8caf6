package config

import "housecall/internal/text"

// maxLine is the maximum length, in bytes, of what becomes part of a sentence.
const maxLine = 200

const wantLine = "must be one line of at most 200 bytes"

// isLine reports whether s can be part of a sentence: short, and without line breaks or other control characters.
func isLine(s string) bool {
	return len(s) <= maxLine && text.Storable(s) && text.IsLine(s)
}

// Notice returns the clinic notice: when messages are answered, whom to call in an emergency, and whatever else the
// clinic has to say.
func (c Config) Notice() string {
	s := "Messages are answered " + c.ClinicResponseTime + ". In an emergency call " + c.ClinicEmergency + "."
	if c.ClinicNotice != "" {
		s += " " + c.ClinicNotice
	}
	return s
}
