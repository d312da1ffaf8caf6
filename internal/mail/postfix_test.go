package mail

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// postfixServices are the services of the test's Postfix, each with a policy of its own.
var postfixServices = map[string]string{
	"welcoming":       "",
	"client rejected": "-o smtpd_client_restrictions=reject",
	"sender rejected": "-o smtpd_sender_restrictions=check_sender_access,inline:{no-reply@clinic.test=REJECT}",
	"sender unknown": "-o smtpd_reject_unlisted_sender=yes " +
		"-o local_recipient_maps=inline:{ann=ann}",
	"relay denied":        "-o smtpd_relay_restrictions=reject_unauth_destination",
	"TLS required":        "-o smtpd_tls_security_level=encrypt",
	"nobody of that name": "-o local_recipient_maps=inline:{ann=ann}",
	"mailbox full":        "-o { smtpd_recipient_restrictions = check_recipient_access static:{552 5.2.2 Mailbox full} }",
	"deferred":            "-o smtpd_recipient_restrictions=defer",
	"message too large":   "",
}

const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = loopback-only
inet_protocols = ipv4
myhostname = mail.test
mydestination = local.test, clinic.test
mynetworks = 127.0.0.0/8
local_recipient_maps =
alias_maps =
alias_database =
local_transport = discard
default_transport = discard
smtpd_peername_lookup = no
message_size_limit = 5000
smtpd_tls_security_level = may
smtpd_tls_cert_file = %[1]s/conf/cert.pem
smtpd_tls_key_file = %[1]s/conf/key.pem
`

const postfixMaster = `cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
`

// postfix runs a Postfix of its own until the test ends, and returns the port of each of its services.
func postfix(t *testing.T, cert tls.Certificate) map[string]int {
	t.Helper()
	program, err := exec.LookPath("/usr/sbin/postfix")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("needs Postfix (deploy/setup.sh test installs it where there is no other mail server), and root to run it")
	}
	dir, err := os.MkdirTemp("/var/tmp", "housecall-postfix-") // its users must be able to reach it
	require.NoError(t, err)
	t.Cleanup(func() {
		if log, err := os.ReadFile(filepath.Join(dir, "log")); err == nil && t.Failed() {
			t.Logf("Postfix says:\n%s", log)
		}
		_ = os.RemoveAll(dir)
	})
	require.NoError(t, os.Chmod(dir, 0o755))
	for _, sub := range []string{"conf", "queue", "data"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, sub), 0o755))
	}
	owner, err := user.Lookup("postfix")
	require.NoError(t, err)
	uid, err := strconv.Atoi(owner.Uid)
	require.NoError(t, err)
	require.NoError(t, os.Chown(filepath.Join(dir, "data"), uid, -1))
	write := func(name, content string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "conf", name), []byte(content), 0o600))
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	require.NoError(t, err)
	write("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})))
	write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	write("main.cf", fmt.Sprintf(postfixMain, dir))
	master, ports := postfixMaster, map[string]int{}
	for name, policy := range postfixServices {
		ports[name] = freePort(t)
		master += fmt.Sprintf("127.0.0.1:%d inet n - n - - smtpd %s\n", ports[name], policy)
	}
	write("master.cf", master)
	conf := filepath.Join(dir, "conf")
	cmd := exec.Command(program, "-c", conf, "start-fg") // logs to the file
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = exec.Command(program, "-c", conf, "stop").Run()
		_ = cmd.Wait()
	})
	for name, port := range ports {
		require.Eventually(t, func() bool { return greets(port) }, patience, 20*time.Millisecond, name)
	}
	return ports
}

func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

func greets(port int) bool {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	defer c.Close()
	b := make([]byte, 3)
	_, err = c.Read(b)
	return err == nil && string(b) == "220"
}

// What Postfix says of us, it says at the recipient. Only what it says of the recipient or the message is final.
func TestSMTP_Send_postfix(t *testing.T) {
	t.Parallel()
	cert, trust := certificate(t)
	ports := postfix(t, cert)
	for name, want := range map[string]*Error{
		"welcoming":           nil,
		"client rejected":     {Stage: stageRecipient, Code: 554, Enhanced: "5.7.1", Cause: NotWelcome},
		"sender rejected":     {Stage: stageRecipient, Code: 554, Enhanced: "5.7.1", Cause: NotWelcome},
		"sender unknown":      {Stage: stageRecipient, Code: 550, Enhanced: "5.1.0", Cause: NotWelcome},
		"relay denied":        {Stage: stageRecipient, Code: 554, Enhanced: "5.7.1", Cause: NotWelcome},
		"TLS required":        {Stage: stageSender, Code: 530, Enhanced: "5.7.0", Cause: NotWelcome},
		"nobody of that name": {Stage: stageRecipient, Code: 550, Enhanced: "5.1.1", Permanent: true},
		"mailbox full":        {Stage: stageRecipient, Code: 552, Enhanced: "5.2.2", Permanent: true},
		"deferred":            {Stage: stageRecipient, Code: 450, Enhanced: "4.3.2"},
		"message too large":   {Stage: stageData, Code: 552, Enhanced: "5.3.4", Permanent: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := message()
			m.To.Email = "ann@local.test"
			switch name {
			case "nobody of that name":
				m.To.Email = "nobody@local.test"
			case "relay denied":
				m.To.Email = "ann@elsewhere.test"
			case "message too large":
				m.Text = strings.Repeat("Hello Änn\n", 1000)
			}
			requireSame(t, want, sender(t, Server{Host: "127.0.0.1", Port: ports[name], Plain: true}).Send(t.Context(), m))
		})
	}
	t.Run("with TLS", func(t *testing.T) {
		t.Parallel()
		m := message()
		m.To.Email = "ann@local.test"
		at := Server{Host: "localhost", Port: ports["TLS required"]}
		s, err := NewSMTP(at, clinic, trust)
		require.NoError(t, err)
		require.NoError(t, s.Send(t.Context(), m))
		requireSame(t, &Error{Stage: stageConnect, Cause: Untrusted}, sender(t, at).Send(t.Context(), m))
		at.User, at.Password = "clinic", "secret"
		s, err = NewSMTP(at, clinic, trust)
		require.NoError(t, err)
		requireSame(t, &Error{Stage: stageConnect, Cause: NoAUTH}, s.Send(t.Context(), m))
	})
}
