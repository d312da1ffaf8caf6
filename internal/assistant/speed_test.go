package assistant

import (
	"strings"
	"testing"
)

func BenchmarkEmergency(b *testing.B) {
	for name, s := range map[string]string{
		"question": "What helps against a cough when it lasts for two weeks?",
		"longest":  strings.Repeat("my head is not well and the pain of heavy rain ", scanned/40),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				emergency(s)
			}
		})
	}
}
