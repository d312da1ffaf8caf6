package config

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/stretchr/testify/require"
)

func TestVariables(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, v := range Variables() {
		require.Regexp(t, `^HOUSECALL_[A-Z][A-Z0-9]*(_[A-Z]+)*$`, v.Name)
		require.False(t, seen[v.Name], "%s stands once", v.Name)
		seen[v.Name] = true
		require.NotEmpty(t, v.Help, v.Name)
		require.NotContains(t, v.Help, "\n", v.Name)
		require.False(t, v.Required && v.Default != "", "%s is required or has a default", v.Name)
	}
	require.Len(t, seen, reflect.TypeFor[Config]().NumField(), "every field has a variable")
	var required []string
	for _, v := range Variables() {
		if v.Required {
			required = append(required, v.Name)
		}
	}
	require.Equal(t, []string{"HOUSECALL_DATABASE_URL", "HOUSECALL_REDIS_URL", "HOUSECALL_TOKEN_SECRETS"}, required)
}

func TestHelp(t *testing.T) {
	t.Parallel()
	help := Help()
	for _, v := range Variables() {
		want := "  " + v.Name + "\n      " + v.Help
		if v.Default != "" {
			want += " (default " + v.Default + ")"
		}
		require.Contains(t, help, want+"\n")
	}
}

// example is the committed file.
func example(t *testing.T) (path, content string) {
	t.Helper()
	path = filepath.Join("..", "..", ".env.example")
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return path, string(b)
}

func TestExample_File(t *testing.T) {
	t.Parallel()
	_, content := example(t)
	require.Equal(t, Example(), content, "write what Example returns into .env.example")
	for _, v := range Variables() {
		require.Contains(t, content, "\n# "+v.Help+"\n"+v.Name+"=")
	}
	// People would rely on a variable that is in the file but has no effect.
	known := []string{"POSTGRES_PASSWORD", "PUBLIC_URL"}
	for _, v := range Variables() {
		known = append(known, v.Name)
	}
	for _, m := range regexp.MustCompile(`(?m)^([A-Z_]+)=`).FindAllStringSubmatch(content, -1) {
		require.True(t, slices.Contains(known, m[1]), m[1])
	}
}

// wantExample is what every program must read from the file: the defaults, as they are in the code.
func wantExample() map[string]string {
	want := map[string]string{"POSTGRES_PASSWORD": "", "PUBLIC_URL": "http://localhost:8080"}
	for _, v := range Variables() {
		want[v.Name] = v.Default
	}
	return want
}

func TestExample_Compose(t *testing.T) {
	t.Parallel()
	path, _ := example(t)
	got, err := dotenv.Read(path)
	require.NoError(t, err)
	require.Equal(t, wantExample(), got)
}

func TestExample_Shell(t *testing.T) {
	t.Parallel()
	path, _ := example(t)
	cmd := exec.Command("sh", "-euc", `set -a; . "$0"; env -0`, "./"+path)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.Output()
	require.NoError(t, err)
	got := map[string]string{}
	for pair := range strings.SplitSeq(string(out), "\x00") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			got[name] = value
		}
	}
	for name, value := range wantExample() {
		require.Equal(t, value, got[name], name)
	}
}

// An operator who appends only what is required, as deploy/README.md says, gets a configuration that works.
func TestExample_Filled(t *testing.T) {
	t.Parallel()
	_, content := example(t)
	read := func(content string) map[string]string {
		e, err := dotenv.Parse(strings.NewReader(content))
		require.NoError(t, err)
		return e
	}
	_, err := From(read(content))
	require.ErrorContains(t, err, "HOUSECALL_TOKEN_SECRETS is required", "the example alone does not start")
	for name, value := range good() {
		content += name + "='" + value + "'\n"
	}
	_, err = From(read(content))
	require.NoError(t, err)
}
