package devservices

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// place is a server's folder. It belongs to the user that the server runs as, and is locked against other processes
// until it is released.
type place struct {
	dir       string
	cred      *syscall.Credential // nil: run as ourselves
	temporary bool
	lock      *os.File
}

// fallbackRoot is where root puts the folder if the server's user cannot reach the wanted one. Unlike /tmp, it
// survives a reboot.
const fallbackRoot = "/var/tmp"

// takePlace prepares and locks dir, or a new temporary folder below temporaryRoot if dir is empty. kind names
// temporary folders.
//
// If we are root, the server runs as the folder's owner, or as postgres or nobody if the folder is new. If that user
// cannot reach the folder (below /root, for example), it uses /var/tmp/housecall-HASH, always the same for the same
// dir, so that data still survives a restart.
func takePlace(dir, kind, temporaryRoot string) (*place, error) {
	p := &place{temporary: dir == ""}
	var err error
	if p.temporary {
		p.dir, err = newTemporary(kind, temporaryRoot)
	} else {
		p.dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("prepare the folder of %s: %w", kind, err)
	}
	if err = p.prepare(); err != nil {
		return nil, fmt.Errorf("the data folder %s cannot be used: %w", p.dir, err)
	}
	if err = p.claim(); err != nil {
		return nil, err
	}
	return p, nil
}

// prepare makes the folder and gives it to the user that the server will run as.
func (p *place) prepare() error {
	//nolint:gosec // the server's user passes through the parent
	if err := os.MkdirAll(filepath.Dir(p.dir), 0o755); err != nil {
		return pathCause(err)
	}
	if os.Geteuid() != 0 {
		return pathCause(mkdir(p.dir))
	}
	var err error
	if p.cred, err = unprivileged(p.dir); err != nil {
		return err
	}
	if !traversable(filepath.Dir(p.dir), p.cred) {
		sum := sha256.Sum256([]byte(p.dir))
		p.dir = filepath.Join(fallbackRoot, "housecall-"+hex.EncodeToString(sum[:6]))
	}
	if err := mkdir(p.dir); err != nil {
		return pathCause(err)
	}
	if uid, _ := ownerOf(p.dir); uid != 0 && uid != p.cred.Uid {
		return errors.New("it belongs to another user")
	}
	return pathCause(os.Chown(p.dir, int(p.cred.Uid), int(p.cred.Gid)))
}

// claim locks the folder, so that no two processes start servers in it. The lock ends with this process, however it
// ends.
func (p *place) claim() error {
	lock, err := os.OpenFile(filepath.Join(p.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("the data folder %s is not writable: %w", p.dir, pathCause(err))
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(fmt.Errorf("another housecall is already using the data folder %s: stop it first", p.dir),
			lock.Close())
	}
	p.lock = lock
	return nil
}

// release unlocks the folder and, if it is temporary, removes it.
func (p *place) release() error {
	if p.lock == nil {
		return nil
	}
	var err error
	if p.temporary {
		err = os.RemoveAll(p.dir)
	}
	// Closing is not enough: a process that is just being started has a copy until it runs its own program.
	err = errors.Join(err, syscall.Flock(int(p.lock.Fd()), syscall.LOCK_UN), p.lock.Close())
	p.lock = nil
	return err
}

// writeFile writes a file that only the server's user (and root) can read.
func (p *place) writeFile(name, content string) error {
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return err
	}
	if p.cred == nil {
		return nil
	}
	return os.Chown(path, int(p.cred.Uid), int(p.cred.Gid))
}

// newTemporary makes a temporary folder. It first removes those that killed processes left behind.
func newTemporary(kind, root string) (string, error) {
	prefix := "housecall-" + kind + "-"
	left, err := filepath.Glob(filepath.Join(root, prefix+"*"))
	if err != nil {
		return "", err
	}
	for _, dir := range left {
		removeIfLeft(dir)
	}
	return os.MkdirTemp(root, prefix)
}

// removeIfLeft removes a temporary folder whose lock nobody holds, unless it is so new that another process may be
// about to lock it. A failure does not matter: the folder may belong to another user.
func removeIfLeft(dir string) {
	info, err := os.Stat(dir)
	if err != nil || time.Since(info.ModTime()) < time.Minute {
		return
	}
	lock, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		return
	}
	defer func() { _ = lock.Close() }()
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		_ = os.RemoveAll(dir)
	}
}

// mkdir makes a private folder. An existing folder is fine, unless everyone may write to it; a symbolic link or a file
// is not.
func mkdir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return errors.New("it is not a folder")
	case info.Mode().Perm()&0o002 != 0:
		return errors.New("everyone may write to it")
	}
	return nil
}

// ownerOf returns a folder's owner and group, root's if there is no folder.
func ownerOf(dir string) (uid, gid uint32) {
	info, err := os.Lstat(dir)
	if err != nil {
		return 0, 0
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0
	}
	return stat.Uid, stat.Gid
}

// unprivileged chooses the user that root runs a server as.
func unprivileged(dir string) (*syscall.Credential, error) {
	if uid, gid := ownerOf(dir); uid != 0 {
		return &syscall.Credential{Uid: uid, Gid: gid}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(account.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(account.Gid, 10, 32)
		if uidErr == nil && gidErr == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL does not run as root and there is no user postgres or nobody to run it as")
}

// traversable reports whether cred may pass through dir and all its parents.
func traversable(dir string, cred *syscall.Credential) bool {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	for {
		info, err := os.Stat(dir)
		if err != nil {
			return false
		}
		bit := fs.FileMode(0o001)
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			switch {
			case stat.Uid == cred.Uid:
				bit = 0o100
			case stat.Gid == cred.Gid:
				bit = 0o010
			}
		}
		if info.Mode()&bit == 0 {
			return false
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return true
		}
		dir = parent
	}
}

// randomPassword returns 128 random bits in hexadecimal, which needs no
// quoting in a URL or a configuration file.
func randomPassword() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand crashes the program instead
	return hex.EncodeToString(raw[:])
}

// pathCause removes the operation and the path, which our own message names.
func pathCause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// quoteConf quotes a value for redis.conf.
func quoteConf(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}
