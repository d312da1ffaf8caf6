package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"

	"housecall/internal/config"
)

// chatScreen shows a conversation. On a terminal, it shows it above the line that is being typed, with ticks that
// change in place; otherwise as plain lines.
type chatScreen struct {
	in, out  *os.File
	terminal *term.Terminal // nil: plain lines
	restore  func()
	colour   bool

	mu      sync.Mutex // guards what follows
	closed  bool
	prompt  string
	entries int      // lines entered and not yet handled: nothing may be printed in between
	held    []func() // what waits to be printed after that
	lines   []*shown // the latest, oldest first
	width   int
	height  int
	known   words
}

// shown is a line on the terminal, remembered as long as it may change.
type shown struct {
	clientID string // of the user's own messages
	seq      int64
	text     string // all but the tick
	tick     tick
	own      bool
}

// shownMax is how many lines are remembered, more than fit on a screen.
const shownMax = 300

// openScreen takes over the terminal, if input and output are a terminal, and returns the keyboard that goes with it.
func openScreen(me string, inFile, outFile *os.File) (interface{ ReadLine() (string, error) }, *chatScreen, error) {
	in, out := int(inFile.Fd()), int(outFile.Fd())
	s := &chatScreen{in: inFile, out: outFile, restore: func() {}, known: newWords(me)}
	if !term.IsTerminal(in) || !term.IsTerminal(out) {
		return pipe{bufio.NewReader(inFile)}, s, nil
	}
	before, err := term.MakeRaw(in)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot use the terminal: %w", err)
	}
	s.colour = !config.NoColor()
	s.terminal = term.NewTerminal(keyboard{s}, "")
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	done, gone := make(chan struct{}), make(chan struct{})
	s.restore = func() {
		signal.Stop(resized)
		close(done)
		<-gone
		_ = term.Restore(in, before) // nothing else can be done
	}
	s.resize()
	go func() {
		defer close(gone)
		for {
			select {
			case <-resized:
				s.resize()
			case <-done:
				return
			}
		}
	}()
	return s.terminal, s, nil
}

func (s *chatScreen) interactive() bool { return s.terminal != nil }

// close gives the terminal back. Nothing is printed after that.
func (s *chatScreen) close() {
	s.mu.Lock()
	s.setPrompt("")
	s.closed = true
	s.mu.Unlock()
	s.restore()
}

func (s *chatScreen) resize() {
	width, height, err := term.GetSize(int(s.out.Fd()))
	if err != nil || width < 1 {
		width, height = 80, 24
	}
	s.mu.Lock()
	s.width, s.height = width, height
	s.lines = nil // they may wrap differently now, so none can be found again
	s.mu.Unlock()
	_ = s.terminal.SetSize(width, height)
}

// onKey has f called for every key that adds to a line.
func (s *chatScreen) onKey(f func()) {
	if s.interactive() {
		s.terminal.AutoCompleteCallback = func(string, int, rune) (string, int, bool) { f(); return "", 0, false }
	}
}

// keyboard is the terminal as term.Terminal sees it.
type keyboard struct{ s *chatScreen }

func (k keyboard) Write(p []byte) (int, error) { return k.s.out.Write(p) }

// Read stops all printing from the moment a line is entered until it has been handled.
func (k keyboard) Read(p []byte) (int, error) {
	n, err := k.s.in.Read(p)
	entered := bytes.Count(p[:n], []byte("\r")) + bytes.Count(p[:n], []byte("\n")) - bytes.Count(p[:n], []byte("\r\n"))
	if entered > 0 {
		k.s.mu.Lock()
		k.s.entries += entered
		k.s.mu.Unlock()
	}
	return n, err
}

// entered erases the line just typed and lets printing continue.
func (s *chatScreen) entered(line string) {
	if !s.interactive() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := (runewidth.StringWidth(s.prompt)+len([]rune(line)))/s.width + 1
	_, _ = fmt.Fprintf(s.terminal, "\x1b[%dA\r\x1b[J", rows)
	s.entries = max(0, s.entries-1)
	if s.entries > 0 {
		return
	}
	for _, f := range s.held {
		f()
	}
	s.held = nil
}

// do runs f, which prints, under the lock. While an entered line is being handled, f has to wait.
func (s *chatScreen) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
	case s.entries > 0:
		s.held = append(s.held, f)
	default:
		f()
	}
}

// print shows a line. The caller holds the lock.
func (s *chatScreen) print(l *shown) {
	if !s.interactive() {
		_, _ = fmt.Fprintln(s.out, s.render(l)) // if standard output is closed, nobody is reading
		return
	}
	_, _ = fmt.Fprintln(s.terminal, s.render(l))
	s.lines = append(s.lines, l)
	if len(s.lines) > shownMax {
		s.lines = append(s.lines[:0:0], s.lines[len(s.lines)-shownMax/2:]...)
	}
}

func (s *chatScreen) render(l *shown) string {
	if !l.own {
		return l.text
	}
	if !s.interactive() {
		return l.text + " " + strings.TrimSpace(l.tick.show(false))
	}
	return l.text + " " + l.tick.show(s.colour)
}

// reprint shows a line again in its place, if it is still on the screen. The caller holds the lock.
func (s *chatScreen) reprint(l *shown) {
	below, found := 0, false
	for i := len(s.lines) - 1; i >= 0; i-- {
		below += s.rows(s.lines[i])
		if s.lines[i] == l {
			found = true
			break
		}
	}
	if found && below < s.height-1 {
		_, _ = fmt.Fprintf(s.terminal, "\x1b7\x1b[%dA\r%s\x1b8", below, s.render(l))
	}
}

// rows returns how many rows of the terminal a line takes.
func (s *chatScreen) rows(l *shown) int {
	n := 0
	text := l.text
	if l.own {
		text += "   " // the tick
	}
	for part := range strings.SplitSeq(text, "\n") {
		n += max(1, (runewidth.StringWidth(part)+s.width-1)/s.width)
	}
	return n
}

// setPrompt changes the prompt. The caller holds the lock, or nothing else prints.
func (s *chatScreen) setPrompt(p string) {
	if !s.interactive() || p == s.prompt {
		return
	}
	s.prompt = p
	s.terminal.SetPrompt(p)
	_, _ = s.terminal.Write(nil) // draws it
}

// note shows a remark by the program itself.
func (s *chatScreen) note(text string) {
	s.do(func() { s.print(&shown{text: s.dim("* " + text)}) })
}

// dim makes remarks look different from messages.
func (s *chatScreen) dim(text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[2m" + text + "\x1b[0m"
}
