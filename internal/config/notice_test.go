package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConfig_Notice(t *testing.T) {
	t.Parallel()
	c := Default()
	require.Equal(t, "Messages are answered during office hours. In an emergency call your local emergency number.",
		c.Notice())
	e := with("CLINIC_RESPONSE_TIME", "within one working day")
	e["HOUSECALL_CLINIC_EMERGENCY_NUMBER"], e["HOUSECALL_CLINIC_NOTICE"] = "112", "The clinic is closed on Sundays."
	c, err := From(e)
	require.NoError(t, err)
	require.Equal(t,
		"Messages are answered within one working day. In an emergency call 112. The clinic is closed on Sundays.",
		c.Notice())
}
