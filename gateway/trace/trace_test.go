package trace

import (
	"context"
	"strings"
	"testing"
)

const (
	parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	id     = "4bf92f3577b34da6a3ce929d0e0e4736"
)

func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, parent, state string
		kept                bool   // the trace id is the caller's
		wantParent          string // if kept
		wantState           string
	}{
		{"valid", parent, "", true, parent, ""},
		{"not sampled", parent[:53] + "00", "", true, parent[:53] + "00", ""},
		{"unknown flags are not passed on", parent[:53] + "ff", "", true, parent, ""},
		{"empty", "", "", false, "", ""},
		{"short", parent[:54], "", false, "", ""},
		{"upper case", strings.ToUpper(parent), "", false, "", ""},
		{"no hex", strings.Replace(parent, "4b", "xy", 1), "", false, "", ""},
		{"wrong dash", strings.Replace(parent, "36-00", "36_00", 1), "", false, "", ""},
		{"zero trace id", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "", false, "", ""},
		{"zero span id", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", "", false, "", ""},
		{"version ff", "ff" + parent[2:], "", false, "", ""},
		{"version 00 with more", parent + "-x", "", false, "", ""},
		{"later version", "cc" + parent[2:], "", true, parent, ""},
		{"later version with more", "cc" + parent[2:] + "-what-comes", "", true, parent, ""},
		{"later version with garbage", "cc" + parent[2:] + "x", "", false, "", ""},
		{"state", parent, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", true, parent, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"},
		{"state with tenant and gaps", parent, "fw529a3039@dt=FfAB/C, ,a=b", true, parent, "fw529a3039@dt=FfAB/C, ,a=b"},
		{"state without value", parent, "rojo", true, parent, ""},
		{"state with a key twice", parent, "a=1,a=2", true, parent, ""},
		{"state with an upper-case key", parent, "A=1", true, parent, ""},
		{"state with a control character", parent, "a=1\n", true, parent, ""},
		{"state too long", parent, "a=" + strings.Repeat("x", 257), true, parent, ""},
		{"state with 33 members", parent, members(33), true, parent, ""},
		{"state with 32 members", parent, members(32), true, parent, members(32)},
		{"state without a parent", "", "a=1", false, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := Parse(tt.parent, tt.state)
			if !got.Valid() {
				t.Fatalf("Parse(%q) is not valid", tt.parent)
			}
			if kept := got.ID() == id; kept != tt.kept {
				t.Fatalf("Parse(%q).ID() = %s, want kept %v", tt.parent, got.ID(), tt.kept)
			}
			if tt.kept && got.Parent() != tt.wantParent {
				t.Errorf("Parent() = %s, want %s", got.Parent(), tt.wantParent)
			}
			if got.State != tt.wantState {
				t.Errorf("State = %q, want %q", got.State, tt.wantState)
			}
		})
	}
}

func members(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("k")
		b.WriteByte(byte('a' + i/26))
		b.WriteByte(byte('a' + i%26))
		b.WriteString("=1")
	}
	return b.String()
}

func TestChild(t *testing.T) {
	t.Parallel()
	tr := Parse(parent, "a=1")
	child := tr.Child()
	if child.TraceID != tr.TraceID || child.Flags != tr.Flags || child.State != tr.State {
		t.Errorf("Child() = %+v, want the trace of %+v", child, tr)
	}
	if child.SpanID == tr.SpanID || !child.Valid() {
		t.Errorf("Child().SpanID = %x, want a new one", child.SpanID)
	}
	if a, b := New(), New(); a.TraceID == b.TraceID {
		t.Error("New() returned the same id twice")
	}
}

func TestContext(t *testing.T) {
	t.Parallel()
	if _, ok := FromContext(context.Background()); ok {
		t.Error("FromContext found a trace in an empty context")
	}
	tr := New()
	if got, ok := FromContext(NewContext(context.Background(), tr)); !ok || got != tr {
		t.Errorf("FromContext = %v, %v, want %v", got, ok, tr)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(parent, "a=1")
	f.Add("cc"+parent[2:]+"-x", "")
	f.Fuzz(func(t *testing.T, traceparent, tracestate string) {
		got := Parse(traceparent, tracestate)
		again := Parse(got.Parent(), got.State)
		if !got.Valid() || again != got {
			t.Errorf("Parse(%q, %q) = %+v, which reads back as %+v", traceparent, tracestate, got, again)
		}
	})
}
