package deploytest

import (
	"bytes"
	"context"
	"debug/elf"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/stretchr/testify/require"
)

// version is the build argument that the tests build with.
const version = "1.2.3-deploytest"

// fromBase are the files that the build copies from its base image: Debian, with the package ca-certificates.
var fromBase = map[string]bool{"/etc/ssl/certs/ca-certificates.crt": true}

// image is the image that the Dockerfile makes, with the build stage's file system in a folder.
type image struct {
	root       string            // the build stage's /
	files      map[string]string // the final stage's files: path in the image -> path here
	user       string
	entrypoint []string
	command    []string
	health     []string
}

// program returns the path of the entrypoint on this machine, and its arguments.
func (i *image) program(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	require.NotEmpty(t, i.entrypoint)
	here := i.files[i.entrypoint[0]]
	require.NotEmpty(t, here, "%s is in the image", i.entrypoint[0])
	return exec.CommandContext(t.Context(), here, append(i.entrypoint[1:], args...)...)
}

// dockerfile parses deploy/Dockerfile into its stages.
func dockerfile(t testing.TB) []instructions.Stage {
	t.Helper()
	parsed, err := parser.Parse(strings.NewReader(read(t, "deploy", "Dockerfile")))
	require.NoError(t, err)
	require.Empty(t, parsed.Warnings)
	stages, _, err := instructions.Parse(parsed.AST, nil)
	require.NoError(t, err)
	return stages
}

// buildImage carries out the Dockerfile: COPY copies what .dockerignore leaves of the repository, RUN runs commands.
func buildImage(t testing.TB) *image {
	t.Helper()
	stages := dockerfile(t)
	require.Len(t, stages, 2)
	img := &image{root: t.TempDir(), files: map[string]string{}}
	files := buildContext(t)
	workdir, env := "/", []string{"CGO_ENABLED=1"} // as in the base image: the Dockerfile has to turn it off
	for _, c := range stages[0].Commands {
		switch c := c.(type) {
		case *instructions.WorkdirCommand:
			workdir = c.Path
			require.NoError(t, os.MkdirAll(img.here(workdir), 0o755))
		case *instructions.ArgCommand:
			require.Equal(t, "VERSION", c.Args[0].Key)
			env = append(env, "VERSION="+version)
		case *instructions.CopyCommand:
			require.Empty(t, c.From)
			for _, source := range c.SourcePaths {
				img.copyIn(t, files, source, path.Join(workdir, c.DestPath))
			}
		case *instructions.RunCommand:
			img.run(t, c, workdir, env)
		default:
			t.Fatalf("this test cannot carry out %s", c.Name())
		}
	}
	img.finish(t, stages[0].Name, stages[1])
	return img
}

// finish reads the final stage, in which nothing runs.
func (i *image) finish(t testing.TB, from string, stage instructions.Stage) {
	t.Helper()
	for _, c := range stage.Commands {
		switch c := c.(type) {
		case *instructions.CopyCommand:
			require.Equal(t, from, c.From)
			for _, source := range c.SourcePaths {
				dest := c.DestPath
				if strings.HasSuffix(dest, "/") {
					dest = path.Join(dest, path.Base(source))
				}
				if info, err := os.Stat(i.here(source)); err == nil && info.IsDir() {
					continue // an empty folder, for a volume
				}
				if !fromBase[source] {
					require.FileExists(t, i.here(source))
				}
				i.files[dest] = i.here(source)
			}
		case *instructions.UserCommand:
			i.user = c.User
		case *instructions.EntrypointCommand:
			require.False(t, c.PrependShell, "there is no shell")
			i.entrypoint = c.CmdLine
		case *instructions.CmdCommand:
			require.False(t, c.PrependShell, "there is no shell")
			i.command = c.CmdLine
		case *instructions.HealthCheckCommand:
			i.health = c.Health.Test
		case *instructions.ExposeCommand, *instructions.StopSignalCommand:
		default:
			t.Fatalf("this test does not know %s", c.Name())
		}
	}
}

// here returns where a path of the build stage is on this machine.
func (i *image) here(p string) string { return filepath.Join(i.root, filepath.FromSlash(p)) }

// run runs a command of the build stage on this machine, with its paths moved below root.
func (i *image) run(t testing.TB, c *instructions.RunCommand, workdir string, env []string) {
	t.Helper()
	require.True(t, c.PrependShell)
	line := strings.ReplaceAll(strings.Join(c.CmdLine, " "), " /out/", " "+i.here("/out")+"/")
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Dir = i.here(workdir)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", line, out)
}

// copyIn copies a file, or the content of a folder, from the build context to a path of the build stage.
func (i *image) copyIn(t testing.TB, files map[string]string, source, dest string) {
	t.Helper()
	found := false
	for name, here := range files {
		below, err := filepath.Rel(source, name)
		if err != nil || strings.HasPrefix(below, "..") {
			continue
		}
		found = true
		to := filepath.Join(i.here(dest), below)
		if below == "." {
			to = filepath.Join(i.here(dest), filepath.Base(name))
		}
		raw, err := os.ReadFile(here)
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
		require.NoError(t, os.WriteFile(to, raw, 0o644))
	}
	require.True(t, found, "COPY %s: it is not there, or .dockerignore leaves it out", source)
}

// buildContext lists the files of the repository that .dockerignore leaves: name -> path.
func buildContext(t testing.TB) map[string]string {
	t.Helper()
	patterns, err := ignorefile.ReadAll(strings.NewReader(read(t, ".dockerignore")))
	require.NoError(t, err)
	ignored, err := patternmatcher.New(patterns)
	require.NoError(t, err)
	root, out := repository(t), map[string]string{}
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, p)
		if err != nil || name == "." {
			return err
		}
		if d.IsDir() {
			if name == ".git" || name == ".housecall" {
				return filepath.SkipDir // huge; the check of what is left covers it
			}
			return nil
		}
		skip, err := ignored.MatchesOrParentMatches(name)
		if err == nil && !skip {
			out[name] = p
		}
		return err
	})
	require.NoError(t, err)
	return out
}

func TestDockerignore(t *testing.T) {
	t.Parallel()
	files := buildContext(t)
	require.Contains(t, files, "go.mod")
	require.Contains(t, files, "go.sum")
	for name := range files {
		top, _, _ := strings.Cut(name, "/")
		require.Contains(t, []string{"go.mod", "go.sum", "cmd", "internal", "migrations"}, top)
		require.False(t, strings.HasSuffix(name, "_test.go"), name)
	}
}

func TestDockerfile_Stages(t *testing.T) {
	t.Parallel()
	stages := dockerfile(t)
	mod := strings.Fields(read(t, "go.mod"))
	for i, word := range mod {
		if word == "go" {
			minor := mod[i+1][:strings.LastIndex(mod[i+1], ".")]
			require.Equal(t, "golang:"+minor+"-bookworm", stages[0].BaseName, "the Go of go.mod")
			break
		}
	}
	require.Equal(t, "scratch", stages[len(stages)-1].BaseName)
	project := compose(t)
	require.Equal(t, repository(t), project.Services["migrate"].Build.Context)
	require.FileExists(t, repository(t, project.Services["migrate"].Build.Dockerfile))
}

// TestImage builds the image's program once and tries it.
func TestImage(t *testing.T) {
	t.Parallel()
	img := buildImage(t)
	t.Run("Unprivileged", func(t *testing.T) {
		t.Parallel()
		require.Regexp(t, `^[1-9]\d*:[1-9]\d*$`, img.user, "numeric, since there is no /etc/passwd for names")
	})
	t.Run("Static", func(t *testing.T) {
		t.Parallel()
		testStatic(t, img)
	})
	t.Run("Commands", func(t *testing.T) {
		t.Parallel()
		testCommands(t, img)
	})
	t.Run("TrustedProxies", func(t *testing.T) {
		t.Parallel()
		testTrustedProxies(t, img)
	})
	t.Run("Drain", func(t *testing.T) {
		t.Parallel()
		testDrain(t, img)
	})
}

// testStatic: with CGO, the program would need a C library, which scratch does not have.
func testStatic(t *testing.T, img *image) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux programs are ELF files")
	}
	f, err := elf.Open(img.files[img.entrypoint[0]])
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	libraries, err := f.ImportedLibraries()
	require.NoError(t, err)
	require.Empty(t, libraries)
	for _, p := range f.Progs {
		require.NotEqual(t, elf.PT_INTERP, p.Type)
	}
}

// testCommands tries every command line of the Dockerfile and the compose file with --help.
func testCommands(t *testing.T, img *image) {
	t.Helper()
	out, err := img.program(t, "version").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), version)

	require.Equal(t, "CMD", img.health[0])
	require.Equal(t, img.entrypoint[0], img.health[1])
	lines := map[string][]string{"CMD": img.command, "HEALTHCHECK": img.health[2:]}
	project := compose(t)
	lines["migrate"] = project.Services["migrate"].Command
	for name, s := range instances(project) {
		require.Equal(t, img.health, []string(s.HealthCheck.Test), name)
	}
	for name, args := range lines {
		out, err := img.program(t, append(args, "--help")...).CombinedOutput()
		require.NoError(t, err, "%s %v: %s", name, args, out)
		require.True(t, bytes.Contains(out, []byte(args[0])), "%s: the help of %v: %s", name, args, out)
	}
	// Nobody listens on this port.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	here := img.program(t, "healthcheck", "--url", "http://127.0.0.1:1/readyz")
	out, err = exec.CommandContext(ctx, here.Path, here.Args[1:]...).CombinedOutput()
	require.Error(t, err, "%s", out)
}
