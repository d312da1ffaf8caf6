package devservices

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// parentVariable makes the test binary act as a process that starts servers and is then killed.
const parentVariable = "DEVSERVICES_TEST_PARENT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentVariable); dir != "" {
		beParent(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// beParent starts both servers, prints their process ids, and waits to be killed.
func beParent(dir string) {
	pg, err := StartPostgres(context.Background(), PostgresOptions{Dir: dir + "/pg"})
	if err != nil {
		fmt.Println(err)
		return
	}
	redis, err := StartRedis(context.Background(), RedisOptions{Dir: dir + "/redis"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(pg.proc.cmd.Process.Pid, redis.proc.cmd.Process.Pid)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}
