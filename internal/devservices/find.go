package devservices

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// The oldest major versions that can be used.
const (
	minPostgres = 15
	minRedis    = 7
)

// versionWithin is how long a binary may take to print its version.
const versionWithin = 10 * time.Second

// Where packages put the server binaries, apart from PATH: Debian, the PGDG packages for Red Hat, a build from source,
// Homebrew on arm64 and on amd64.
var (
	postgresDirs = []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/usr/local/pgsql/bin",
		"/usr/bin",
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
	}
	redisDirs = []string{"/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"}
)

// findPostgres returns the folder with initdb and postgres of a major version (0: the newest), on PATH or where
// packages put them. If there is none of version 15 or later, the error says what to do.
func findPostgres(major int) (binDir string, err error) {
	var best string
	var bestMajor int
	for _, dir := range candidateDirs("postgres", postgresDirs) {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
			continue
		}
		got := versionOf(filepath.Join(dir, "postgres"))
		if got < minPostgres || got <= bestMajor || major != 0 && got != major {
			continue
		}
		best, bestMajor = dir, got
	}
	switch {
	case best != "":
		return best, nil
	case major != 0:
		return "", fmt.Errorf("the server binaries of PostgreSQL %d, which made the data folder, are not on this machine: "+
			"install them, or move the folder away to start over", major)
	default:
		return "", fmt.Errorf("no PostgreSQL %d or later found on this machine: run deploy/setup.sh", minPostgres)
	}
}

// FindRedis returns the path of redis-server, or of valkey-server, which speaks the same protocol. If there is none of
// version 7 or later, the error says what to do.
func FindRedis() (path string, err error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		for _, dir := range candidateDirs(name, redisDirs) {
			path := filepath.Join(dir, name)
			if versionOf(path) >= minRedis {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("no Redis %d or later found on this machine: run deploy/setup.sh", minRedis)
}

// candidateDirs lists the folders that may hold binary, PATH first.
func candidateDirs(binary string, globs []string) []string {
	var dirs []string
	if path, err := exec.LookPath(binary); err == nil || errors.Is(err, exec.ErrDot) {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	for _, glob := range globs {
		found, err := filepath.Glob(filepath.Join(glob, binary))
		if err != nil {
			continue // only for a malformed pattern, and ours are constants
		}
		for _, path := range found {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	return dirs
}

// versionPattern matches "postgres (PostgreSQL) 15.9" and "Redis server v=7.0.15".
var versionPattern = regexp.MustCompile(`(?:\(PostgreSQL\) |v=)(\d+)`)

// versionOf returns the major version that a server binary reports, or 0.
func versionOf(path string) int {
	ctx, cancel := context.WithTimeout(context.Background(), versionWithin)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return 0
	}
	match := versionPattern.FindSubmatch(out)
	if match == nil {
		return 0
	}
	major, err := strconv.Atoi(string(match[1]))
	if err != nil {
		return 0
	}
	return major
}
