//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// peaceful returns a story in which every promise is kept: customer 1 was written
// by statement 1, by statement 2 whose fate is unknown, and by statement 3. What
// was sent for statement 1 took effect once more behind the gateway's back, and was
// repaired.
func peaceful() *chronicle {
	begin := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	at := func(second int) time.Time { return begin.Add(time.Duration(second) * time.Second) }
	all := func(status string) map[string]string {
		return map[string]string{"a": status, poisonRoute: status}
	}
	s := newChronicle([]string{"a", poisonRoute})
	s.statements = []*statement{
		{number: 1, customer: 1, routes: s.routes, sent: at(10), ended: at(12), fate: accepted, version: at(11).UnixMicro(), operation: "op1", results: all("succeeded")},
		{number: 2, customer: 1, routes: s.routes, sent: at(20), ended: at(22), fate: unknown},
		{number: 3, customer: 1, routes: s.routes, sent: at(30), ended: at(32), fate: accepted, version: at(31).UnixMicro(), operation: "op3", results: all("pending")},
	}
	s.operations["op1"], s.operations["op3"] = all("skipped"), all("succeeded")
	for _, route := range s.routes {
		where := spot{route, 1}
		s.landings[where] = []landing{
			{number: 1, arrived: at(11), at: at(12)},
			{number: 3, arrived: at(31), at: at(32)},
			{number: 1, arrived: at(11), at: at(33), late: true},
			{number: 3, arrived: at(40), at: at(40)},
		}
		s.states[where] = ending{state: "synced", desired: at(31).UnixMicro()}
		s.held[where] = []string{"V1N3"}
	}
	return s
}

// The judge finds every kind of breach, and none where there is none.
func TestTortureJudge(t *testing.T) {
	t.Parallel()
	a, b := spot{"a", 1}, spot{poisonRoute, 1}
	for _, tt := range []struct {
		name   string
		change func(s *chronicle)
		want   string // in a breach; empty for none
	}{
		{"nothing", func(*chronicle) {}, ""},
		{"an unknown fate lands", func(s *chronicle) {
			s.landings[a] = slices.Insert(s.landings[a], 1, landing{number: 2, arrived: s.statements[1].sent, at: s.statements[1].ended})
		}, ""},
		{"an unknown fate is the newest", func(s *chronicle) {
			s.statements[1].ended = time.Time{}
			for _, where := range []spot{a, b} {
				s.states[where] = ending{state: "synced", desired: s.statements[2].version + 5_000_000}
				s.held[where] = []string{"V1N2"}
			}
		}, ""},
		{"poison is a dead letter", func(s *chronicle) {
			s.statements[2].poison = true
			s.states[b] = ending{state: "dead", desired: s.statements[2].version, dead: s.statements[2].version}
			s.held[b], s.landings[b] = []string{"V1N1"}, s.landings[b][:1]
			s.operations["op3"][poisonRoute] = "rejected"
		}, ""},
		{"same version", func(s *chronicle) { s.statements[0].version = s.statements[2].version }, "have the same version"},
		{"versions against time", func(s *chronicle) { s.statements[0].version = s.statements[2].version + 1 }, "has the later version"},
		{"if-match between", func(s *chronicle) { s.statements[2].matched = s.statements[0].version - 1 }, "came between"},
		{"stale sent", func(s *chronicle) { s.landings[a][2].arrived = s.landings[a][2].at }, "was sent V1N1"},
		{"refused lands", func(s *chronicle) { s.statements[1].fate = refused; s.landings[a][2].number = 2 }, "refused"},
		{"old lands", func(s *chronicle) { s.statements[1].old = true; s.landings[a][2].number = 2 }, "older updatedAt"},
		{"wrong route", func(s *chronicle) { s.statements[0].routes = []string{poisonRoute} }, "not for it"},
		{"nobody's state", func(s *chronicle) { s.landings[a][2].number = 9 }, "nobody sent"},
		{"lost acceptance", func(s *chronicle) { s.states[a] = ending{state: "synced", desired: s.statements[0].version} }, "is desired, though"},
		{"forgotten customer", func(s *chronicle) { delete(s.states, a) }, "does not know the customer"},
		{"invented version", func(s *chronicle) {
			s.states[a] = ending{state: "synced", desired: s.statements[2].version + 5_000_000}
		}, "nobody can have sent"},
		{"stale in the end", func(s *chronicle) { s.held[a] = []string{"V1N1"} }, "holds V1N1 in the end"},
		{"missing in the end", func(s *chronicle) { delete(s.held, a) }, "holds nothing in the end"},
		{"two records", func(s *chronicle) { s.held[a] = []string{"V1N3", "V1N1"} }, "holds 2 records"},
		{"unsettled", func(s *chronicle) { s.states[a] = ending{state: "pending", desired: s.statements[2].version} }, `says "pending" in the end`},
		{"sound dead letter", func(s *chronicle) {
			s.states[a] = ending{state: "dead", desired: s.statements[2].version, dead: s.statements[2].version}
		}, "a sound state is a dead letter"},
		{"dead letter not listed", func(s *chronicle) {
			s.statements[2].poison = true
			s.states[b] = ending{state: "dead", desired: s.statements[2].version}
		}, "the list of dead letters has 0"},
		{"listed and synced", func(s *chronicle) {
			s.states[a] = ending{state: "synced", desired: s.statements[2].version, dead: s.statements[2].version}
		}, "yet in the list of dead letters"},
		{"success that never landed", func(s *chronicle) { s.landings[a] = s.landings[a][1:2] }, "where it never landed"},
		{"skipped for nothing newer", func(s *chronicle) { s.operations["op3"]["a"] = "skipped" }, "nothing newer was sent"},
		{"sound state rejected", func(s *chronicle) { s.statements[0].results["a"] = "rejected" }, "rejects a sound state"},
		{"operation pending for ever", func(s *chronicle) { s.operations["op3"]["a"] = "pending" }, "says pending"},
		{"operation lost", func(s *chronicle) { delete(s.operations, "op3") }, "says nothing"},
		{"operation failed", func(s *chronicle) { s.operations["op3"]["a"] = "failed" }, "says failed"},
		{"seen at once", func(s *chronicle) { s.blame(1, "seen") }, "seen"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := peaceful()
			tt.change(s)
			breaches := s.judge()
			if tt.want == "" && len(breaches) > 0 || tt.want != "" && !slices.ContainsFunc(breaches, func(b breach) bool { return strings.Contains(b.text, tt.want) }) {
				t.Errorf("breaches %+v, want %q\n%s", breaches, tt.want, s.tell(1))
			}
		})
	}
}

// The order of what an emulator saw is told by when requests came, not by when
// they took effect.
func TestTortureJudgeKnowsLateLandings(t *testing.T) {
	t.Parallel()
	s := peaceful()
	for where, all := range s.landings {
		s.landings[where] = all[:3] // nothing was sent again
		s.held[where] = []string{"V1N1"}
	}
	for _, b := range s.judge() {
		if !strings.Contains(b.text, "in the end") {
			t.Errorf("%s; the late landing itself is no breach", b.text)
		}
	}
	if len(s.breaches) != len(s.routes) {
		t.Errorf("breaches %+v, want one for each route: nothing was repaired", s.breaches)
	}
}
