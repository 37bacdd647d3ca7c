package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"customer-gateway/canonical"
	"customer-gateway/gateway"
	"customer-gateway/gateway/ledger"
	"customer-gateway/gateway/transport"
)

// coach is an adapter that takes many customers in one call. A customer's name
// says what becomes of him: "alone" must not be in one call with others, "bad" is
// refused, "lossy" loses something, "poison" makes it panic.
type coach struct {
	echo
	deaf bool // it panics at every reply about many
}

func (*coach) BatchLimit() int { return 50 }

func nameOf(u canonical.Upsert) string { return u.Customer.Name.Value().GivenName.Value() }

func (a *coach) Translate(u canonical.Upsert) (*canonical.Request, []canonical.Notice, error) {
	switch nameOf(u) {
	case "bad":
		return nil, nil, &canonical.Error{Code: canonical.MappingRequiredMissing}
	case "poison":
		panic("poison")
	}
	r, _, err := a.echo.Translate(u)
	r.Header.Set("X-Remote-Id", u.RemoteID)
	return r, lossy(u), err
}

func (a *coach) Interpret(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply) (canonical.Outcome, error) {
	if got.Status == http.StatusNotFound {
		return canonical.Outcome{}, &canonical.Error{Code: canonical.UpstreamNotFound}
	}
	return a.echo.Interpret(u, sent, got)
}

func lossy(u canonical.Upsert) []canonical.Notice {
	if nameOf(u) != "lossy" {
		return nil
	}
	return []canonical.Notice{{Code: canonical.NoticeDropped, Pointer: "/note", Message: "no place"}}
}

func (a *coach) TranslateBatch(us []canonical.Upsert) (*canonical.Request, []canonical.Row) {
	var in []string
	rows := make([]canonical.Row, len(us))
	for i, u := range us {
		request, notices, err := a.Translate(u)
		switch {
		case err != nil:
			rows[i].Err = err
		case nameOf(u) == "alone":
			rows[i].Outcome.Next = request
		default:
			rows[i].Outcome.Notices = notices
			in = append(in, u.ID+":"+nameOf(u))
		}
	}
	if in == nil {
		return nil, rows
	}
	return &canonical.Request{Op: "batch", Method: http.MethodPost, Path: "/1", Header: http.Header{"X-Customer": {"batch"}, "X-Name": {strings.Join(in, ",")}}, Repeatable: true}, rows
}

func (a *coach) InterpretBatch(us []canonical.Upsert, sent *canonical.Request, got *canonical.Reply) []canonical.Row {
	if a.deaf {
		panic("deaf")
	}
	_, rows := a.TranslateBatch(us)
	said := strings.Split(string(got.Body), ",")
	for i, u := range us {
		if rows[i].Err != nil || rows[i].Outcome.Next != nil {
			continue
		}
		rows[i] = canonical.Row{}
		if got.Status != http.StatusOK {
			rows[i].Err = canonical.Refusal(a.name, sent, got, canonical.CodeForStatus(got.Status), "")
			continue
		}
		switch word := said[0]; word {
		case "ok":
			rows[i].Outcome = canonical.Outcome{Action: canonical.ActionUpdated, RemoteID: "r-" + u.ID}
		case "again":
			rows[i].Outcome.Next, _, _ = a.Translate(u)
		default:
			rows[i].Err = &canonical.Error{Code: canonical.Code(word)}
		}
		said = said[1:]
	}
	return rows
}

// rows answers a batch, by each customer's id; "ok" for all others.
func rows(by map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Customer") != "batch" {
			_, _ = io.WriteString(w, "r-"+r.Header.Get("X-Customer"))
			return
		}
		var said []string
		for row := range strings.SplitSeq(r.Header.Get("X-Name"), ",") {
			id, _, _ := strings.Cut(row, ":")
			word := by[id]
			if word == "" {
				word = "ok"
			}
			said = append(said, word)
		}
		_, _ = io.WriteString(w, strings.Join(said, ","))
	}
}

// together opens a gateway whose route takes many customers at once, and lets it
// begin with all of them.
func together(t *testing.T, a *coach, how http.HandlerFunc, commands ...gateway.Command) *kept {
	t.Helper()
	k := keep(t, func(r *gateway.Route, _ *transport.Config, o *gateway.Options) { r.Adapter, o.Latest = a, true })
	k.desk.behave(how)
	if err := k.Pause(t.Context(), "a", ""); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range commands {
		cmd.Async = true
		k.put(t, cmd)
	}
	if err := k.Resume(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	return k
}

func newCoach() *coach { return &coach{echo: echo{name: "a"}} }

// What is due together goes out together, and every row ends by itself.
func TestBatch(t *testing.T) {
	t.Parallel()
	strict := command(t, "c4", "lossy")
	strict.Strict = true
	k := together(t, newCoach(), rows(map[string]string{"c5": "upstream.invalid", "c6": "again", "c7": "upstream.busy"}),
		command(t, "c0", "v1"), command(t, "c1", "lossy"), command(t, "c2", "alone"), command(t, "c3", "bad"), strict,
		command(t, "c5", "v1"), command(t, "c6", "v1"), command(t, "c7", "v1"))
	want := map[string]string{
		"c0": "synced r-c0 ", "c1": "synced r-c1 ", "c2": "synced r-c2 ", "c3": "dead  mapping.required_missing", "c4": "dead  mapping.lossy",
		"c5": "dead  upstream.invalid", "c6": "synced r-c6 ", "c7": "pending  upstream.busy",
	}
	for id, state := range want {
		var got string
		eventually(t, id+" is "+state, func() bool {
			c, err := k.Customer(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			s := c.Routes[0]
			got = fmt.Sprintf("%s %s ", s.State, s.RemoteID)
			if s.Err != nil {
				got += string(s.Err.Code)
			}
			return got == state
		})
	}
	calls := k.desk.calls()
	if first := "batch:c0:v1,c1:lossy,c5:v1,c6:v1,c7:v1"; !slices.Contains(calls, first) {
		t.Errorf("calls = %v, want %s", calls, first)
	}
	for _, alone := range []string{"c2:alone", "c6:v1"} {
		if !slices.Contains(calls, alone) {
			t.Errorf("calls = %v, want %s by itself", calls, alone)
		}
	}
	letters, err := k.DeadLetters(t.Context(), ledger.Filter{Limit: 10})
	if err != nil || len(letters) != 3 {
		t.Fatalf("dead letters = %+v, %v, want three", letters, err)
	}
	for _, l := range letters {
		if len(l.History) != 1 {
			t.Errorf("the history of %s is %+v, want one entry", l.CustomerID, l.History)
		}
	}
}

// A call that fails as a whole is tried again, for each of its customers.
func TestBatchFails(t *testing.T) {
	t.Parallel()
	k := together(t, newCoach(), answer(503, "down"), command(t, "c0", "v1"), command(t, "c1", "v1"))
	for _, id := range []string{"c0", "c1"} {
		eventually(t, "it was tried", func() bool {
			c, err := k.Customer(t.Context(), id)
			return err == nil && c.Routes[0].Err != nil && c.Routes[0].Err.Code == canonical.UpstreamUnavailable
		})
	}
	k.desk.behave(rows(nil))
	k.synced(t, "c0")
	k.synced(t, "c1")
}

// A customer over whom the adapter panics costs the others of his batch nothing.
func TestBatchWithPoison(t *testing.T) {
	t.Parallel()
	for _, deaf := range []bool{false, true} {
		t.Run(fmt.Sprintf("deaf=%v", deaf), func(t *testing.T) {
			t.Parallel()
			a := newCoach()
			a.deaf = deaf
			k := together(t, a, rows(nil), command(t, "c0", "v1"), command(t, "c1", "poison"), command(t, "c2", "v1"))
			for _, id := range []string{"c0", "c2"} {
				if s := k.synced(t, id); s.RemoteID != "r-"+id || s.Attempts != 0 {
					t.Errorf("%s: %+v", id, s)
				}
			}
			eventually(t, "the other was tried", func() bool {
				c, err := k.Customer(t.Context(), "c1")
				return err == nil && c.Routes[0].Err != nil && c.Routes[0].Err.Code == canonical.GatewayInternal
			})
		})
	}
}

// A reply that cannot be read is not taken for a success of anybody.
func TestBatchNobodyCanRead(t *testing.T) {
	t.Parallel()
	a := newCoach()
	a.deaf = true
	k := together(t, a, rows(nil), command(t, "c0", "v1"), command(t, "c1", "v1"))
	for _, id := range []string{"c0", "c1"} {
		k.synced(t, id)
		if !slices.Contains(k.desk.calls(), id+":v1") {
			t.Errorf("calls = %v, want %s by itself", k.desk.calls(), id)
		}
	}
}

// A remote id that leads nowhere is forgotten for the one row.
func TestBatchForgets(t *testing.T) {
	t.Parallel()
	k := together(t, newCoach(), rows(nil), command(t, "c0", "v1"), command(t, "c1", "v1"))
	k.synced(t, "c0")
	k.synced(t, "c1")
	if err := k.Pause(t.Context(), "a", ""); err != nil {
		t.Fatal(err)
	}
	k.async(t, "c0", "v2")
	k.async(t, "c1", "v2")
	gone := rows(map[string]string{"c1": "upstream.not_found"})
	k.desk.behave(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Customer") == "c1" {
			if r.Header.Get("X-Remote-Id") != "" {
				w.WriteHeader(404)
				return
			}
			_, _ = io.WriteString(w, "r-new")
			return
		}
		gone(w, r)
	})
	if err := k.Resume(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if s := k.synced(t, "c1"); s.RemoteID != "r-new" {
		t.Errorf("c1 has %q, want r-new", s.RemoteID)
	}
	if s := k.synced(t, "c0"); s.RemoteID != "r-c0" {
		t.Errorf("c0 has %q, want r-c0", s.RemoteID)
	}
}

// gathering is a store that takes no finish before a number of them is there.
type gathering struct {
	ledger.Store
	need int

	mu   sync.Mutex
	kept []func()
}

func (s *gathering) Finish(f []ledger.Finish, done func([]ledger.Finished, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = append(s.kept, func() { s.Store.Finish(f, done) })
	if len(s.kept) < s.need {
		return
	}
	s.need = 0
	for _, f := range s.kept {
		f()
	}
	s.kept = nil
}

// The rows of a batch are written together, not one after the other.
func TestBatchIsWrittenTogether(t *testing.T) {
	t.Parallel()
	const n = 5
	k := keep(t, func(r *gateway.Route, _ *transport.Config, o *gateway.Options) {
		r.Adapter, o.Store = newCoach(), &gathering{Store: o.Store, need: n}
	})
	k.desk.behave(rows(nil))
	if err := k.Pause(t.Context(), "a", ""); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		k.async(t, fmt.Sprintf("c%d", i), "v1")
	}
	if err := k.Resume(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		eventually(t, "its result is written", func() bool { return k.slot(t, fmt.Sprintf("c%d", i)).State == ledger.Idle })
	}
}
