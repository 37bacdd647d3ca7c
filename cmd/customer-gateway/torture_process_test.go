//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// nursery starts processes that die with the test, even if it is killed. The
// kernel ends them when the thread that started them ends, so there is one thread
// for that alone.
type nursery struct{ work chan func() }

func newNursery() *nursery {
	n := &nursery{work: make(chan func())}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for f := range n.work {
			f()
		}
	}()
	return n
}

// close ends what is still running.
func (n *nursery) close() { close(n.work) }

// start runs the program with the test's own binary.
func (n *nursery) start(args ...string) (*process, error) {
	p := &process{ended: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0], args...)
	p.cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=halt_on_error=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.log.news = make(chan struct{}, 1)
	p.out.news = make(chan struct{}, 1)
	started := make(chan error)
	n.work <- func() { started <- p.cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %v: %w", args, err)
	}
	p.started = time.Now()
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // ProcessState tells
	}()
	return p, nil
}

// process is the program, running.
type process struct {
	cmd      *exec.Cmd
	out, log printed
	started  time.Time
	ended    chan struct{}
}

// signal sends a signal. A process that has ended takes none.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// kill ends the process at once and waits until it has ended.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// running reports whether the process has not ended.
func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// how tells how the process ended: "exit status 0", "signal: killed".
func (p *process) how() string {
	<-p.ended
	return p.cmd.ProcessState.String()
}

// address waits until the gateway says where it serves. It returns "" if the
// process ends before.
func (p *process) address(ctx context.Context) string {
	return search(ctx, p, &p.log, func(text []byte) (string, bool) {
		for line := range bytes.Lines(text) {
			var entry struct{ Msg, Addr string }
			if json.Unmarshal(line, &entry) == nil && entry.Msg == "serving" {
				return entry.Addr, true
			}
		}
		return "", false
	})
}

// routes waits until the emulators say how they are reached. It returns nil if the
// process ends before.
func (p *process) routes(ctx context.Context) map[string]map[string]any {
	return search(ctx, p, &p.out, func(text []byte) (map[string]map[string]any, bool) {
		_, text, _ = bytes.Cut(text, []byte("\n"))
		var printed struct {
			Routes map[string]map[string]any `json:"routes"`
		}
		return printed.Routes, json.Unmarshal(text, &printed) == nil && printed.Routes != nil
	})
}

// search looks at an output until it finds something in it.
func search[T any](ctx context.Context, p *process, o *printed, find func([]byte) (T, bool)) (found T) {
	for {
		if found, ok := find(o.bytes()); ok {
			return found
		}
		select {
		case <-o.news:
		case <-p.ended:
			return found
		case <-ctx.Done():
			return found
		}
	}
}

// printed is what a process has written: the beginning and the end.
type printed struct {
	mu   sync.Mutex
	text []byte
	news chan struct{} // receives after a write
}

// maxOutput bounds an output; lines from its middle are dropped.
const maxOutput = 1 << 20

func (o *printed) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, b...)
	if len(o.text) > maxOutput {
		o.text = slices.Concat(o.text[:maxOutput/4], []byte("\n[…]\n"), o.text[len(o.text)-maxOutput/4:])
	}
	select {
	case o.news <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (o *printed) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.text)
}

// tail returns the last n lines.
func (o *printed) tail(n int) string {
	lines := strings.SplitAfter(string(o.bytes()), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}
