package devservices

import (
	"os"
	"syscall"
)

// How much memory must be free for a database to be kept in it.
const (
	sharedMemory     = "/dev/shm"
	enoughForTesting = 4 << 30 // bytes
)

// volatileRoot is where data that need not last goes: memory if there is
// plenty (measured: cloning a database takes 12 ms there, 200 ms on a disk),
// else the usual folder. Containers often have 64 MB of it, which is not.
func volatileRoot() string {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(sharedMemory, &stat); err != nil {
		return os.TempDir()
	}
	if stat.Bavail*uint64(stat.Bsize) < enoughForTesting {
		return os.TempDir()
	}
	if info, err := os.Stat(sharedMemory); err != nil || info.Mode().Perm()&0o002 == 0 {
		return os.TempDir()
	}
	return sharedMemory
}
