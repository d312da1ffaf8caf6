package pms

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTitled(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Drake Moore":       "Dr.Drake Moore",
		"Drew":              "Dr.Drew",
		"Dragan Petrov":     "Dr.Dragan Petrov",
		"DRAGAN PETROV":     "Dr.DRAGAN PETROV",
		"Dr-Moore Ann":      "Dr.Dr-Moore Ann",
		"Doctorow Cory":     "Dr.Doctorow Cory",
		"Profeta Ada":       "Dr.Profeta Ada",
		"Ann Dr. Moore":     "Dr.Ann Dr. Moore",
		"Dan Lama":          "Dr.Dan Lama",
		"Dr Ann":            "Dr Ann",
		"Dr. Ann":           "Dr. Ann",
		"Dr.Ann":            "Dr.Ann",
		"dr ann":            "dr ann",
		"DR. ANN":           "DR. ANN",
		"Dr.\u00a0med. Ann": "Dr.\u00a0med. Ann",
		"Doctor Who":        "Doctor Who",
		"Prof. Dr. Ann":     "Prof. Dr. Ann",
	} {
		require.Equal(t, want, titled(name))
	}
}
