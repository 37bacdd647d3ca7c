package gateway_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"customer-gateway/canonical"
	"customer-gateway/gateway"
	"customer-gateway/gateway/transport"
)

// byName is an adapter whose provider finds customers by their names.
type byName struct {
	echo
	half bool // every record is saved in part
}

func (a *byName) Identity(u canonical.Upsert) canonical.Identity {
	return canonical.Identity{Customer: u.ID, Keys: []canonical.IdentityKey{{Text: "name " + nameOf(u), Pointer: "/name/givenName", Field: "name"}}}
}

func (a *byName) Translate(u canonical.Upsert) (*canonical.Request, []canonical.Notice, error) {
	r, notices, err := a.echo.Translate(u)
	if u.Follow {
		r.Header.Set("X-Customer", u.ID+" follows "+u.RemoteID)
	}
	return r, notices, err
}

func (a *byName) Interpret(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply) (canonical.Outcome, error) {
	outcome, err := a.echo.Interpret(u, sent, got)
	if a.half && err == nil {
		err = &canonical.Error{Code: canonical.UpstreamPartiallyApplied}
	}
	return outcome, err
}

func TestIdentityChange(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		change gateway.IdentityChange
		half   bool
		want   string // status and notice of the change, and what was sent
	}{
		{gateway.IdentityRefuse, false, "rejected upstream.identity_conflict | c:old c:old"},
		{gateway.IdentityRefuse, true, "rejected upstream.identity_conflict | c:old c:old"},
		{gateway.IdentityWarn, false, "succeeded identity_changed | c:old c:new c:old"},
		{"", false, "succeeded identity_changed | c:old c:new c:old"},
		{gateway.IdentityFollow, false, "succeeded | c:old c follows r-c:new c follows r-c:old"},
	} {
		t.Run(string(tt.change), func(t *testing.T) {
			t.Parallel()
			a := &byName{echo: echo{name: "a"}, half: tt.half}
			k := keep(t, func(r *gateway.Route, _ *transport.Config, _ *gateway.Options) {
				r.Adapter, r.Identity = a, tt.change
			})
			k.desk.behave(answer(http.StatusOK, "r-c"))
			k.put(t, command(t, "c", "old"))
			_, r := k.put(t, command(t, "c", "new"))
			got := string(r.Status)
			if r.Err != nil {
				got += " " + string(r.Err.Code)
			}
			for _, n := range r.Warnings {
				got += " " + string(n.Code)
			}
			// After a refusal the old key is still the one that is known.
			_, back := k.put(t, command(t, "c", "old"))
			if refused := back.Err != nil && back.Err.Code == canonical.UpstreamIdentityConflict; refused {
				t.Errorf("back to the old key: %+v", back)
			}
			if got += " | " + strings.Join(k.desk.calls(), " "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// A change is told of once: afterwards the new key is the known one.
func TestIdentityIsLearned(t *testing.T) {
	t.Parallel()
	k := keep(t, func(r *gateway.Route, _ *transport.Config, _ *gateway.Options) {
		r.Adapter = &byName{echo: echo{name: "a"}}
	})
	told := func(name string) bool {
		t.Helper()
		_, r := k.put(t, command(t, "c", name))
		return slices.ContainsFunc(r.Warnings, func(n canonical.Notice) bool { return n.Code == canonical.NoticeIdentity })
	}
	if told("old") || !told("new") || told("new") {
		t.Error("want the notice with the change, and only then")
	}
	// What was not confirmed is not known.
	k.desk.behave(answer(422, "no"))
	told("third")
	k.desk.behave(nil)
	if told("new") {
		t.Error("a key that was never confirmed is taken for the known one")
	}
}
