//go:build linux

package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"customer-gateway/adapters/emulator"
)

// fate is what is known of a request.
type fate string

const (
	unknown  fate = "unknown" // its sender was cut off: it may have been accepted until then
	accepted fate = "accepted"
	refused  fate = "refused" // nothing of it may ever be seen
)

// statement is one PUT of a whole customer, or a PATCH to the same effect. Its mark, which every provider stores,
// tells it from all others.
type statement struct {
	number   int
	customer int
	routes   []string // that it goes to
	key      string   // Idempotency-Key
	matched  int64    // If-Match
	old      bool     // its updatedAt is before that of what stands
	poison   bool     // poisonRoute refuses it for good
	patch    bool     // it changes what is stored, to the same effect
	sent     time.Time
	ended    time.Time // when the answer came, or when it can no longer be accepted

	fate      fate
	version   int64
	operation string
	results   map[string]string // status by route, as answered
	note      string            // what its sender saw
}

// poisonRoute is the route that refuses requests with poison.
const poisonRoute = "rebilly" + routeSuffix

// skew is how far the clocks of the gateway and of the test may be apart.
const skew = 100 * time.Millisecond

// span is between which versions the request's own lies: a version is at least
// the time of the acceptance in microseconds, and hardly more.
func (r *statement) span() (low, high int64) {
	if r.fate == accepted {
		return r.version, r.version
	}
	if r.ended.IsZero() {
		return r.sent.Add(-skew).UnixMicro(), math.MaxInt64
	}
	return r.sent.Add(-skew).UnixMicro(), r.ended.Add(skew).UnixMicro()
}

// before reports whether r is certainly older than other.
func (r *statement) before(other *statement) bool {
	_, high := r.span()
	low, _ := other.span()
	return high < low
}

// may reports whether version can be the request's.
func (r *statement) may(version int64) bool {
	low, high := r.span()
	return r.fate != refused && low <= version && version <= high
}

func (r *statement) mark() string { return fmt.Sprintf("V%dN%d", r.customer, r.number) }

func (r *statement) String() string {
	kind := "PUT"
	switch {
	case r.patch:
		kind = "PATCH"
	case r.old:
		kind = "PUT of old"
	}
	if r.poison {
		kind += " of poison"
	}
	return fmt.Sprintf("%s %s to %s: %s %d %s %v %s to %v, key %q, if-match %d: %s", r.mark(), clock(r.sent), clock(r.ended),
		r.fate, r.version, r.operation, r.results, kind, r.routes, r.key, r.matched, r.note)
}

func clock(t time.Time) string { return t.Format("05.000000") }

// markPattern finds marks in what providers hold.
var markPattern = regexp.MustCompile(`V(\d+)N(\d+)`)

// landing is a change that an emulator saw.
type landing struct {
	number  int // of the request
	arrived time.Time
	at      time.Time
	late    bool
}

// spot names a customer at a route.
type spot struct {
	route    string
	customer int
}

// ending is what the gateway says of a spot in the end.
type ending struct {
	state   string
	desired int64
	code    string // of the error
	dead    int64  // the version in the list of dead letters
}

// chronicle is everything that happened in one epoch.
type chronicle struct {
	mu         sync.Mutex
	routes     []string // sorted
	statements []*statement
	landings   map[spot][]landing
	breaches   []breach                     // what was seen at once
	states     map[spot]ending              // in the end
	held       map[spot][]string            // marks of all records in the end
	operations map[string]map[string]string // status by route, in the end
}

// breach is a promise that was not kept.
type breach struct {
	customer int // -1 for none
	text     string
}

func newChronicle(routes []string) *chronicle {
	return &chronicle{
		routes: slices.Sorted(slices.Values(routes)), landings: map[spot][]landing{}, states: map[spot]ending{},
		held: map[spot][]string{}, operations: map[string]map[string]string{},
	}
}

// blame notes a breach.
func (s *chronicle) blame(customer int, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.breaches = append(s.breaches, breach{customer, fmt.Sprintf(format, args...)})
}

// observe notes a change at a provider.
func (s *chronicle) observe(route string, c emulator.Change) {
	marks := marksOf(string(c.Record.Document))
	if len(marks) != 1 {
		s.blame(-1, "%s: record %s holds %d states at once: %v", route, c.Record.ID, len(marks), marks)
		return
	}
	customer, number := parseMark(marks[0])
	s.mu.Lock()
	defer s.mu.Unlock()
	at := spot{route, customer}
	s.landings[at] = append(s.landings[at], landing{number, c.Arrived, c.At, c.Late})
}

func marksOf(document string) []string {
	return slices.Compact(slices.Sorted(slices.Values(markPattern.FindAllString(document, -1))))
}

func parseMark(mark string) (customer, number int) {
	m := markPattern.FindStringSubmatch(mark)
	customer, _ = strconv.Atoi(m[1])
	number, _ = strconv.Atoi(m[2])
	return customer, number
}

// judge returns every breach.
func (s *chronicle) judge() []breach {
	s.judgeOrder()
	for _, at := range slices.SortedFunc(maps.Keys(s.slots()), func(a, b spot) int {
		return cmp.Or(cmp.Compare(a.customer, b.customer), cmp.Compare(a.route, b.route))
	}) {
		s.judgeLandings(at)
		s.judgeEnd(at)
	}
	s.judgeAnswers()
	return s.breaches
}

// slots returns all slots that anybody spoke of.
func (s *chronicle) slots() map[spot]bool {
	all := map[spot]bool{}
	for at := range s.landings {
		all[at] = true
	}
	for at := range s.states {
		all[at] = true
	}
	for at := range s.held {
		all[at] = true
	}
	for _, r := range s.statements {
		if r.fate == accepted {
			for _, route := range r.routes {
				all[spot{route, r.customer}] = true
			}
		}
	}
	return all
}

// request returns the request with the number, which begins at 1, or nil.
func (s *chronicle) statement(number int) *statement {
	if number < 1 || number > len(s.statements) {
		return nil
	}
	return s.statements[number-1]
}

// judgeOrder: versions are distinct, and grow with time.
func (s *chronicle) judgeOrder() {
	byVersion := map[int64]*statement{}
	var known []*statement
	for _, r := range s.statements {
		if r.fate != accepted {
			continue
		}
		known = append(known, r)
		if first := byVersion[r.version]; first != nil {
			s.blame(r.customer, "%s and %s have the same version", first, r)
		}
		byVersion[r.version] = r
	}
	slices.SortFunc(known, func(a, b *statement) int { return cmp.Compare(a.version, b.version) })
	var latest *statement // sent last among the versions so far
	for _, r := range known {
		if latest != nil && r.ended.Before(latest.sent) {
			s.blame(r.customer, "%s was answered before %s was sent, and has the later version", r, latest)
		}
		if latest == nil || r.sent.After(latest.sent) {
			latest = r
		}
	}
	for _, r := range known {
		if r.matched == 0 {
			continue
		}
		for _, other := range known {
			if other.customer == r.customer && other.version > r.matched && other.version < r.version {
				s.blame(r.customer, "%s was accepted although %s came between", r, other)
			}
		}
	}
}

// judgeLandings: only what was accepted for the route lands there, and nothing is
// sent once something newer has landed.
func (s *chronicle) judgeLandings(at spot) {
	type mark struct {
		*statement
		at time.Time
	}
	var seen []mark // the first landing of each
	last := 0
	for _, l := range s.landings[at] {
		r := s.statement(l.number)
		switch {
		case r == nil || r.customer != at.customer:
			s.blame(at.customer, "%s holds the state of a request that nobody sent: V%dN%d", at.route, at.customer, l.number)
			continue
		case r.fate == refused:
			s.blame(at.customer, "%s was sent a state that was refused: %s", at.route, r)
		case r.old:
			s.blame(at.customer, "%s was sent a state with an older updatedAt: %s", at.route, r)
		case !slices.Contains(r.routes, at.route):
			s.blame(at.customer, "%s was sent a state that was not for it: %s", at.route, r)
		}
		if l.number == last {
			continue
		}
		last = l.number
		for _, newer := range seen {
			if r.before(newer.statement) && newer.at.Before(l.arrived) {
				s.blame(at.customer, "%s was sent %s at %s, although %s had landed at %s", at.route, r.mark(), clock(l.arrived), newer.mark(), clock(newer.at))
				break
			}
		}
		if !slices.ContainsFunc(seen, func(m mark) bool { return m.statement == r }) {
			seen = append(seen, mark{r, l.at})
		}
	}
}

// judgeEnd: in the end a provider holds the newest state that was accepted, or
// the ledger shows a dead letter for it.
func (s *chronicle) judgeEnd(at spot) {
	var newest *statement
	for _, r := range s.statements {
		if r.customer == at.customer && r.fate == accepted && slices.Contains(r.routes, at.route) && (newest == nil || r.version > newest.version) {
			newest = r
		}
	}
	if n := len(s.held[at]); n > 1 {
		s.blame(at.customer, "%s holds %d records: %v", at.route, n, s.held[at])
		return
	}
	end, known := s.states[at]
	if !known {
		if newest != nil {
			s.blame(at.customer, "%s: the gateway does not know the customer, though %s was accepted", at.route, newest)
		}
		return
	}
	if newest != nil && end.desired < newest.version {
		s.blame(at.customer, "%s: version %d is desired, though %s was accepted", at.route, end.desired, newest)
	}
	// Those that may be what is desired: one if its version is known.
	var candidates []*statement
	for _, r := range s.statements {
		if r.customer == at.customer && !r.old && slices.Contains(r.routes, at.route) && r.may(end.desired) {
			if r.fate == accepted {
				candidates = []*statement{r}
				break
			}
			candidates = append(candidates, r)
		}
	}
	if candidates == nil {
		s.blame(at.customer, "%s: version %d is desired, which nobody was told and nobody can have sent", at.route, end.desired)
		return
	}
	holds := "nothing"
	if len(s.held[at]) == 1 {
		holds = s.held[at][0]
	}
	switch end.state {
	case "synced":
		if !slices.ContainsFunc(candidates, func(r *statement) bool { return r.mark() == holds }) {
			s.blame(at.customer, "%s holds %s in the end, and the newest accepted state, version %d, is %v", at.route, holds, end.desired, candidates)
		}
		if end.dead != 0 {
			s.blame(at.customer, "%s: the customer is synced and yet in the list of dead letters", at.route)
		}
	case "dead":
		if end.dead != end.desired {
			s.blame(at.customer, "%s: version %d is dead, and the list of dead letters has %d", at.route, end.desired, end.dead)
		}
		if at.route != poisonRoute || !slices.ContainsFunc(candidates, func(r *statement) bool { return r.poison }) {
			s.blame(at.customer, "%s: a sound state is a dead letter (%s): %s", at.route, end.code, candidates[0])
		}
	default:
		s.blame(at.customer, "%s: the gateway says %q in the end", at.route, end.state)
	}
}

// judgeAnswers: what was answered was true, and every operation has come to an end.
func (s *chronicle) judgeAnswers() {
	landed := map[int]map[string]bool{}
	for at, all := range s.landings {
		for _, l := range all {
			if landed[l.number] == nil {
				landed[l.number] = map[string]bool{}
			}
			landed[l.number][at.route] = true
		}
	}
	for _, r := range s.statements {
		if r.fate != accepted {
			continue
		}
		check := func(when, route, status string, final bool) {
			switch status {
			case "succeeded", "unchanged":
				if !landed[r.number][route] {
					s.blame(r.customer, "%s %s says %s, where it never landed: %s", route, when, status, r)
				}
			case "skipped": // something newer took over
				if !slices.ContainsFunc(s.statements, func(other *statement) bool {
					return other.customer == r.customer && other != r && other.fate != refused && !other.before(r) && slices.Contains(other.routes, route)
				}) {
					s.blame(r.customer, "%s %s says skipped, though nothing newer was sent: %s", route, when, r)
				}
			case "rejected":
				if !r.poison || route != poisonRoute {
					s.blame(r.customer, "%s %s rejects a sound state: %s", route, when, r)
				}
			case "pending":
				if final {
					s.blame(r.customer, "%s %s says pending: %s", route, when, r)
				}
			default:
				s.blame(r.customer, "%s %s says %s: %s", route, when, cmp.Or(status, "nothing"), r)
			}
		}
		for _, route := range r.routes {
			check("answered and", route, r.results[route], false)
			if s.operations != nil {
				check("in the end", route, s.operations[r.operation][route], true)
			}
		}
	}
}

// tell writes down what is known of one customer.
func (s *chronicle) tell(customer int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "customer %d, requests by version:\n", customer)
	var all []*statement
	for _, r := range s.statements {
		if r.customer == customer {
			all = append(all, r)
		}
	}
	slices.SortStableFunc(all, func(a, b *statement) int {
		x, _ := a.span()
		y, _ := b.span()
		return cmp.Compare(x, y)
	})
	const most = 60
	if len(all) > most {
		fmt.Fprintf(&b, "  … %d before\n", len(all)-most)
		all = all[len(all)-most:]
	}
	for _, r := range all {
		fmt.Fprintf(&b, "  %s\n", r)
	}
	for _, route := range s.routes {
		at := spot{route, customer}
		fmt.Fprintf(&b, "%s: %+v, holds %v, saw:\n", route, s.states[at], s.held[at])
		landings := s.landings[at]
		for _, l := range landings[max(0, len(landings)-most):] {
			late := ""
			if l.late {
				late = " late"
			}
			fmt.Fprintf(&b, "  V%dN%d arrived %s, landed %s%s\n", customer, l.number, clock(l.arrived), clock(l.at), late)
		}
	}
	return b.String()
}
