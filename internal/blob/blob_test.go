package blob_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/blob"
	"housecall/internal/devservices"
	"housecall/internal/testing/logtest"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// kept is a store and a way to see everything that it has stored, including remains.
type kept struct {
	blob.Store
	again func() blob.Store // another instance on the same place
	names func() []string
}

// onEach runs a test on both stores.
func onEach(t *testing.T, test func(t *testing.T, s kept)) {
	t.Helper()
	t.Run("folder", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "made [when] needed")
		test(
			t,
			kept{
				blob.NewFolder(dir), func() blob.Store { return blob.NewFolder(dir) }, func() []string { return files(t, dir) },
			},
		)
	})
	t.Run("S3", func(t *testing.T) {
		t.Parallel()
		server := pgtest.S3(t)
		again := func() blob.Store { return onS3(t, server) }
		test(t, kept{again(), again, func() []string { return objects(t, server) }})
	})
}

func onS3(t *testing.T, server *devservices.S3) *blob.S3 {
	t.Helper()
	s, err := blob.NewS3(optionsOf(server))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func optionsOf(server *devservices.S3) blob.S3Options {
	return blob.S3Options{
		Host: server.Addr(), Bucket: server.Bucket, Region: "us-east-1", AccessKey: server.AccessKey,
		SecretKey: server.SecretKey, PathStyle: true,
	}
}

func objects(t *testing.T, server *devservices.S3) []string {
	t.Helper()
	keys, err := server.Objects()
	require.NoError(t, err)
	return keys
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, filepath.Base(path))
		}
		return err
	})
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(t, err)
	}
	return names
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

func read(t *testing.T, s blob.Store, key string, offset, length int64) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), key, offset, length)
	require.NoError(t, err)
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	return b
}

func TestStore(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s kept) {
		for _, size := range []int{0, 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, 12 << 20} {
			key, content := fmt.Sprintf("ab12-%d", size), random(size)
			n, err := s.Put(t.Context(), key, iotest.HalfReader(bytes.NewReader(content)))
			require.NoError(t, err)
			require.EqualValues(t, size, n)
			require.Equal(t, content, read(t, s.again(), key, 0, -1), "another instance reads it")
			if size > 2 {
				require.Equal(t, content[2:], read(t, s, key, 2, -1))
				require.Equal(t, content[size/2:], read(t, s, key, int64(size/2), int64(size)), "a range may end after the end of the blob")
				require.Equal(t, content[1:3], read(t, s, key, 1, 2))
				require.Empty(t, read(t, s, key, 1, 0))
				require.Empty(t, read(t, s, key, int64(size), -1))
			}
			require.NoError(t, s.Delete(t.Context(), key))
			require.NoError(t, s.Delete(t.Context(), key), "it is no error if there is none")
			_, err = s.Open(t.Context(), key, 0, -1)
			require.ErrorIs(t, err, blob.ErrNotFound)
		}
		require.Empty(t, s.names())
	})
}

func TestStore_Put_replaces(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s kept) {
		for _, content := range []string{"the first", "another"} {
			_, err := s.Put(t.Context(), "same-key", strings.NewReader(content))
			require.NoError(t, err)
			require.Equal(t, content, string(read(t, s, "same-key", 0, -1)))
		}
		require.Len(t, s.names(), 1)
	})
}

// cut fails after some bytes, as an upload does when its client leaves.
func cut(after int) io.Reader {
	return io.MultiReader(bytes.NewReader(random(after)), iotest.ErrReader(errCut))
}

var errCut = errors.New("the client has gone")

func TestStore_Put_cut(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s kept) {
		for _, after := range []int{0, 100, 1 << 20, 7 << 20} {
			_, err := s.Put(t.Context(), "cutoff-1", cut(after))
			require.ErrorIs(t, err, errCut)
			_, err = s.Open(t.Context(), "cutoff-1", 0, -1)
			require.ErrorIs(t, err, blob.ErrNotFound)
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err := s.Put(ctx, "cutoff-1",
			io.MultiReader(bytes.NewReader(random(6<<20)), cancels(cancel), bytes.NewReader(random(6<<20))))
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, s.Delete(t.Context(), "cutoff-1"))
		require.Empty(t, s.names(), "nothing is left")
	})
}

// cancels is an empty reader that ends a context when it is read.
type cancels context.CancelFunc

func (c cancels) Read([]byte) (int, error) {
	c()
	return 0, io.EOF
}

// If two write one key at once, one of the blobs is there, whole.
func TestStore_Put_contention(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s kept) {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				_, err := s.again().Put(t.Context(), "contended", bytes.NewReader(bytes.Repeat([]byte{byte(i)}, 100_000)))
				require.NoError(t, err)
			})
		}
		all.Wait()
		got := read(t, s, "contended", 0, -1)
		require.Len(t, got, 100_000)
		require.Equal(t, bytes.Repeat(got[:1], 100_000), got)
		require.Len(t, s.names(), 1)
	})
}

func TestStore_Keys(t *testing.T) {
	t.Parallel()
	bad := []string{
		"", "abc", "../../etc/passwd", "ab/cd", "ab\\cd", "ABCD", "ab..cd", ".abcd", "abcd.", "abcd-", "ab cd", "abcd\x00",
		"ab.c", "äbcd",
		"abcd*", "abcd\n", strings.Repeat("a", 101),
	}
	onEach(t, func(t *testing.T, s kept) {
		for _, key := range bad {
			_, err := s.Put(t.Context(), key, strings.NewReader("x"))
			require.ErrorIs(t, err, blob.ErrKey, key)
			_, err = s.Open(t.Context(), key, 0, -1)
			require.ErrorIs(t, err, blob.ErrKey, key)
			require.ErrorIs(t, s.Delete(t.Context(), key), blob.ErrKey, key)
		}
		for _, key := range []string{"abcd", "0123-4567.thumbnail", "ab12.a-b.c", strings.Repeat("a", 100)} {
			_, err := s.Put(t.Context(), key, strings.NewReader("x"))
			require.NoError(t, err, key)
			require.NoError(t, s.Delete(t.Context(), key))
		}
		require.Empty(t, s.names())
	})
}

// Delete removes what a killed process has left of a blob.
func TestFolder_Delete_remains(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := blob.NewFolder(dir)
	_, err := s.Put(t.Context(), "abcd-1", strings.NewReader("x"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ab", "cd", ".abcd-1.123.tmp"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ab", "cd", ".abcd-12.123.tmp"), nil, 0o600))
	require.NoError(t, s.Delete(t.Context(), "abcd-1"))
	require.Equal(t, []string{".abcd-12.123.tmp"}, files(t, dir), "and nothing of others")
}

func TestFolder_Errors(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret-place")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	s := blob.NewFolder(file)
	_, err := s.Put(t.Context(), "abcd", strings.NewReader("x"))
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret-place")
	require.NotContains(t, err.Error(), "abcd")
	_, err = s.Open(t.Context(), "abcd", 0, -1)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret-place")
}

// A wrong secret key is an error; so is a store that is away, until it comes back.
func TestS3_Errors(t *testing.T) {
	t.Parallel()
	server := pgtest.S3(t)
	o := optionsOf(server)
	o.SecretKey = "not-the-secret-key"
	stranger, err := blob.NewS3(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stranger.Close()) })
	_, err = stranger.Put(t.Context(), "abcd", strings.NewReader("x"))
	require.ErrorContains(t, err, "403 SignatureDoesNotMatch")
	require.NotContains(t, err.Error(), "not-the-secret-key")
	require.Empty(t, objects(t, server))

	s := onS3(t, server)
	require.NoError(t, server.Kill())
	_, err = s.Put(t.Context(), "abcd", strings.NewReader("x"))
	require.Error(t, err)
	_, err = s.Open(t.Context(), "abcd", 0, -1)
	require.Error(t, err)
	require.NotErrorIs(t, err, blob.ErrNotFound)
	require.NotContains(t, err.Error(), "abcd", "no error names a key")
	require.NoError(t, server.Restart(t.Context()))
	_, err = s.Put(t.Context(), "abcd", strings.NewReader("x"))
	require.NoError(t, err)
	require.Equal(t, "x", string(read(t, s, "abcd", 0, -1)))
}

// Check tells a store that works from one that never will as it is configured, and from one that is away.
func TestStore_Check(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s kept) {
		require.NoError(t, s.Check(t.Context()))
		require.Empty(t, s.names(), "it leaves nothing")
	})
	server := pgtest.S3(t)
	for name, change := range map[string]func(*blob.S3Options){
		"bucket": func(o *blob.S3Options) { o.Bucket = "elsewhere" },
		"secret": func(o *blob.S3Options) { o.SecretKey = "not-the-secret-key" },
		"access": func(o *blob.S3Options) { o.AccessKey = "nobody" },
	} {
		o := optionsOf(server)
		change(&o)
		wrong, err := blob.NewS3(o)
		require.NoError(t, err)
		require.ErrorIs(t, wrong.Check(t.Context()), blob.ErrRefused, name)
		_, err = wrong.Put(t.Context(), "abcd", strings.NewReader("x"))
		require.ErrorIs(t, err, blob.ErrRefused, name)
		require.NotContains(t, err.Error(), "not-the-secret-key")
		require.NoError(t, wrong.Close())
	}
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.ErrorIs(t, blob.NewFolder(file).Check(t.Context()), blob.ErrRefused)
	require.ErrorIs(t, blob.NewFolder(filepath.Join(file, "in")).Check(t.Context()), blob.ErrRefused)

	s := onS3(t, server)
	require.NoError(t, server.Kill())
	err := s.Check(t.Context())
	require.Error(t, err)
	require.NotErrorIs(t, err, blob.ErrRefused, "time may mend it")
}

// A watch tells the log once when the store goes and once when it is back, and whoever asks at any time.
func TestWatch(t *testing.T) {
	t.Parallel()
	server := pgtest.S3(t)
	var log logtest.Buffer
	registry := prometheus.NewRegistry()
	watch := blob.NewWatch(onS3(t, server), zerolog.New(&log), registry)
	up := func() float64 {
		families, err := registry.Gather()
		require.NoError(t, err)
		return families[0].GetMetric()[0].GetGauge().GetValue()
	}
	checked := func(works bool) {
		t.Helper()
		watch.Start()
		defer watch.Stop()
		require.Eventually(t, func() bool { return (watch.Probe(t.Context()) == nil) == works }, time.Minute, time.Millisecond)
	}
	checked(true)
	require.Empty(t, log.String())
	require.InDelta(t, 1, up(), 0)
	require.NoError(t, server.Kill())
	checked(false)
	checked(false)
	require.InDelta(t, 0, up(), 0)
	require.NoError(t, server.Restart(t.Context()))
	checked(true)
	require.Equal(t, 2, strings.Count(log.String(), "\n"), log.String())
	require.Contains(t, log.String(), "does not answer")
	require.Contains(t, log.String(), "is back")

	o := optionsOf(server)
	o.Bucket = "elsewhere"
	wrong, err := blob.NewS3(o)
	require.NoError(t, err)
	watch = blob.NewWatch(wrong, zerolog.New(&log), prometheus.NewRegistry())
	checked(false)
	require.Contains(t, log.String(), "configuration has to be changed")
	require.NoError(t, wrong.Close())
}

func FuzzKey(f *testing.F) {
	for _, seed := range []string{"abcd", "../..", "ab.cd", "a..b", "0123.thumbnail"} {
		f.Add(seed)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, key string) {
		s := blob.NewFolder(filepath.Join(dir, "store"))
		if _, err := s.Put(t.Context(), key, strings.NewReader("x")); err != nil {
			require.ErrorIs(t, err, blob.ErrKey)
			return
		}
		require.Equal(t, []string{key}, files(t, dir), "it is in its place, under its name")
		require.NoError(t, s.Delete(t.Context(), key))
		require.Empty(t, files(t, dir))
	})
}
