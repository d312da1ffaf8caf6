package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"housecall/internal/client"
)

const chatHelp = `commands:
  /undo         retract your last message
  /edit TEXT    correct your last message
  /file PATH    send a file (image, PDF or text)
  /save N PATH  save file number N
  /quit         leave
  //TEXT        send a message that begins with /
  Anything else is a message.`

// command carries out a line that begins with a slash.
func (s *chatSession) command(ctx context.Context, line string) {
	name, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	var err error
	switch name {
	case "/help":
		s.screen.note(chatHelp)
	case "/undo":
		err = s.undo(ctx)
	case "/edit":
		err = s.edit(ctx, rest)
	case "/file":
		err = s.file(ctx, rest)
	case "/save":
		err = s.save(ctx, rest)
	default:
		s.screen.note("unknown command; /help lists all commands")
	}
	if err != nil && ctx.Err() == nil {
		s.refuse(err)
	}
}

// settledLast waits for what is under way and returns the seq of the user's last message.
func (s *chatSession) settledLast(ctx context.Context) (int64, error) {
	if err := s.conv.Drain(ctx); err != nil {
		return 0, err
	}
	seq := s.screen.lastOwn()
	if seq == 0 {
		return 0, errors.New("you have not sent a message here")
	}
	return seq, nil
}

func (s *chatSession) undo(ctx context.Context) error {
	seq, err := s.settledLast(ctx)
	if err != nil {
		return err
	}
	s.queue(ctx, func() error { return s.conv.Retract(client.NewClientID(), seq) })
	return nil
}

func (s *chatSession) edit(ctx context.Context, text string) error {
	if text == "" {
		return errors.New("usage: /edit TEXT")
	}
	seq, err := s.settledLast(ctx)
	if err != nil {
		return err
	}
	s.queue(ctx, func() error { return s.conv.Correct(client.NewClientID(), seq, text) })
	return nil
}

func (s *chatSession) file(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return reasonOf(err)
	}
	defer func() { _ = f.Close() }() // only read
	s.screen.note("uploading " + clean(filepath.Base(path)) + " …")
	uploaded, err := s.api.Upload(ctx, s.id, filepath.Base(path), f)
	if p, refused := client.AsProblem(err); refused {
		return errors.New(p.Detail)
	}
	if err != nil {
		return err
	}
	id := client.NewClientID()
	s.screen.sending(id)
	s.queue(ctx, func() error { return s.conv.SendFile(id, uploaded.ID) })
	return nil
}

func (s *chatSession) save(ctx context.Context, arguments string) error {
	number, path, _ := strings.Cut(arguments, " ")
	seq, err := strconv.ParseInt(number, 10, 64)
	path = strings.TrimSpace(path)
	if err != nil || path == "" {
		return errors.New("usage: /save N PATH")
	}
	a, ok := s.screen.fileAt(seq)
	if !ok {
		return fmt.Errorf("there is no file number %d", seq)
	}
	// Never overwrite a file: the name came from somebody else, or from a typo.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return reasonOf(err)
	}
	err = errors.Join(s.api.Download(ctx, s.id, a.ID, io.Writer(f)), f.Close())
	if err != nil {
		return errors.Join(fmt.Errorf("file number %d could not be saved", seq), os.Remove(path))
	}
	s.screen.note("saved as " + path)
	return nil
}

// reasonOf returns the cause of a file error, without the operation and the path.
func reasonOf(err error) error {
	var of *os.PathError
	if errors.As(err, &of) {
		return fmt.Errorf("%s: %w", of.Path, of.Err)
	}
	return err
}
