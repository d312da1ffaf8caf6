package mail

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// Folder writes messages as .eml files instead of sending them: for development, and where no server is configured.
// The names begin with the time, so that they sort; sending a message again does not replace its file.
type Folder struct {
	dir  string
	from mail.Address
}

var _ Sender = (*Folder)(nil)

// NewFolder makes a sender that writes into dir. The first message creates it, for its owner alone.
func NewFolder(dir string, from mail.Address) *Folder { return &Folder{dir: dir, from: from} }

// eml matches the names of the files: time, then eight characters.
var eml = regexp.MustCompile(`^\d{8}T\d{6}\.\d{6}Z-[A-Z2-7]{8}\.eml$`)

// Send implements Sender. A reader of the folder sees the whole message or none.
func (f *Folder) Send(ctx context.Context, m Message) error {
	if ctx.Err() != nil {
		return &Error{Stage: stageWrite, Timeout: true}
	}
	msg, err := compose(f.from, m)
	if err != nil {
		return err
	}
	write := func() error {
		if err := os.MkdirAll(f.dir, 0o700); err != nil {
			return err
		}
		tmp, err := os.CreateTemp(f.dir, "."+"*.tmp") // 0600
		if err != nil {
			return err
		}
		_, err = msg.WriteTo(tmp)
		if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
			err = os.Rename(tmp.Name(), filepath.Join(f.dir, fileName(m.Date)))
		}
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
		return err
	}
	if err := write(); err != nil {
		return fmt.Errorf("%w: %w", &Error{Stage: stageWrite}, pathless(err))
	}
	return nil
}

func fileName(at time.Time) string {
	return at.UTC().Format("20060102T150405.000000Z") + "-" + rand.Text()[:8] + ".eml"
}

// pathless returns the system's error without the path.
func pathless(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		return l.Err
	}
	return errors.New("the folder cannot be written")
}

// Domain returns the domain of an address, which Message-IDs use.
func Domain(a mail.Address) string {
	for i := len(a.Address) - 1; i >= 0; i-- {
		if a.Address[i] == '@' {
			return a.Address[i+1:]
		}
	}
	return "localhost"
}
