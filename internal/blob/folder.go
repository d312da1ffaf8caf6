package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Folder keeps blobs as files, fanned out over directories by the first characters of their keys. Instances share it
// over any file system on which renaming is atomic.
type Folder struct{ dir string }

var _ Store = (*Folder)(nil)

// NewFolder keeps blobs in dir. The first Put creates it, for its owner alone.
func NewFolder(dir string) *Folder { return &Folder{dir: dir} }

// path is where the blob of a checked key is.
func (f *Folder) path(key string) string { return filepath.Join(f.dir, key[:2], key[2:4], key) }

// Put implements Store. The blob is written to a file beside its place, synced, and renamed.
func (f *Folder) Put(ctx context.Context, key string, r io.Reader) (int64, error) {
	if err := checkKey(key); err != nil {
		return 0, err
	}
	place := f.path(key)
	if err := f.makeParents(place); err != nil {
		return 0, fmt.Errorf("make a blob's folder: %w", pathless(err))
	}
	tmp, err := os.CreateTemp(filepath.Dir(place), remainOf(key)) // 0600
	if err != nil {
		return 0, fmt.Errorf("make a blob: %w", pathless(err))
	}
	size, err := io.Copy(tmp, contextual{ctx, r})
	if err = errors.Join(pathless(err), pathless(tmp.Sync()), pathless(tmp.Close())); err == nil {
		err = pathless(os.Rename(tmp.Name(), place))
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // if that fails, Delete finds it
		return 0, fmt.Errorf("write a blob: %w", err)
	}
	if err := syncDir(filepath.Dir(place)); err != nil {
		return 0, fmt.Errorf("write a blob: %w", pathless(err))
	}
	return size, nil
}

// remainOf is the pattern of names of blobs that are being written.
func remainOf(key string) string { return "." + key + ".*.tmp" }

// makeParents creates the folders of a blob and syncs them: a file is lost if the entry of its folder is.
func (f *Folder) makeParents(place string) error {
	second := filepath.Dir(place)
	if _, err := os.Stat(second); err == nil {
		return nil
	}
	if err := os.MkdirAll(second, 0o700); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(second)), syncDir(f.dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Open implements Store.
func (f *Folder) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	file, err := os.Open(f.path(key))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("open a blob: %w", pathless(err))
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(fmt.Errorf("open a blob: %w", pathless(err)), pathless(file.Close()))
	}
	var r io.Reader = contextual{ctx, file}
	if length >= 0 {
		r = io.LimitReader(r, length)
	}
	return struct {
		io.Reader
		io.Closer
	}{r, file}, nil
}

// Check implements Store: it makes a file and removes it.
func (f *Folder) Check(context.Context) error {
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return fmt.Errorf("make the folder: %w", pathless(err))
	}
	tmp, err := os.CreateTemp(f.dir, ".check.*.tmp")
	if err != nil {
		return fmt.Errorf("make a file: %w", pathless(err))
	}
	return errors.Join(pathless(tmp.Close()), pathless(os.Remove(tmp.Name())))
}

// Delete implements Store.
func (f *Folder) Delete(ctx context.Context, key string) error {
	if err := errors.Join(checkKey(key), ctx.Err()); err != nil {
		return err
	}
	place := f.path(key)
	gone := []string{place}
	remains, err := filepath.Glob(filepath.Join(escaped(filepath.Dir(place)), remainOf(key)))
	if err != nil {
		return fmt.Errorf("look for a blob's remains: %w", err)
	}
	for _, name := range append(gone, remains...) {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove a blob: %w", pathless(err))
		}
	}
	return nil
}

// escaped returns a pattern for filepath.Glob that matches only path.
func escaped(path string) string {
	out := make([]rune, 0, len(path))
	for _, r := range path {
		if r == '*' || r == '?' || r == '[' {
			out = append(out, '[', r, ']')
			continue
		}
		out = append(out, r)
	}
	return string(out)
}

// pathless returns the system's error without the path, as ErrRefused if time does not mend it.
func pathless(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		err = l.Err
	}
	if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}
