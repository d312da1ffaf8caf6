package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

func TestSecret_NeverPrints(t *testing.T) {
	t.Parallel()
	const hidden = "hunter2-hunter2"
	c := Default()
	c.DatabaseURL, c.MigrateURL, c.RedisURL = "postgres://app:"+hidden+"@db/h", hidden, "redis://:"+hidden+"@r"
	c.TokenSecrets = []Secret{hidden}
	out := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%t", "%U", "%08v", "%.3s"} {
		out["config "+verb] = fmt.Sprintf(verb, c)
		out["pointer "+verb] = fmt.Sprintf(verb, &c)
		out["secret "+verb] = fmt.Sprintf(verb, c.DatabaseURL)
		out["list "+verb] = fmt.Sprintf(verb, c.TokenSecrets)
		out["error "+verb] = fmt.Sprintf(verb, fmt.Errorf("with %v", c.RedisURL))
	}
	encoded, err := json.Marshal(c)
	require.NoError(t, err)
	out["json"] = string(encoded)
	var log bytes.Buffer
	z := zerolog.New(&log)
	z.Info().
		Interface("config", c).
		Interface("one", c.DatabaseURL).
		Stringer("two", c.RedisURL).
		Any("list", c.TokenSecrets).
		Err(errors.New(c.DatabaseURL.String())).
		Msgf("%v %s", c, c.MigrateURL)
	slog.New(slog.NewTextHandler(&log, nil)).Info("text", "config", c, "one", c.RedisURL)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "config", c, "one", c.RedisURL)
	out["log"] = log.String()
	out["panic"] = func() (s string) {
		defer func() { s = fmt.Sprint(recover()) }()
		panic(fmt.Sprint(c.TokenSecrets, c))
	}()
	for how, text := range out {
		require.NotContains(t, text, "hunter2", how)
		require.NotContains(t, text, fmt.Sprintf("%x", "hunter2"), how)
		require.NotContains(t, text, fmt.Sprintf("%X", "hunter2"), how)
		require.NotEmpty(t, text, how)
	}
	require.Contains(t, out["config %+v"], "DatabaseURL:********", "it shows that one is set")
	require.Equal(t, hidden, c.MigrateURL.Reveal())
	require.Empty(t, Secret("").String(), "it shows that there is none")
}
