package devservices

import (
	"os"
	"syscall"
)

// How much memory must be free to keep a database there.
const (
	sharedMemory     = "/dev/shm"
	enoughForTesting = 4 << 30 // bytes
)

// volatileRoot returns where to put data that need not last: memory if there is plenty (measured: cloning a database
// takes 12 ms there, 200 ms on a disk), otherwise the usual folder. Containers often have only 64 MB of it.
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
