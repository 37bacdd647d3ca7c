package adaptertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"customer-gateway/canonical"
)

// Live is a route to an emulator of its own, whose clock stands still.
type Live struct {
	Adapter canonical.Adapter
	// Send sends a request with the credential that the emulator wants.
	Send func(*canonical.Request) *canonical.Reply
	// Records returns the emulator's records, a list of what JSON shows with the
	// members id, key and document.
	Records func() any
	// Delete removes a record behind the gateway's back.
	Delete func(id string) bool
}

// record is a customer as the emulator holds it.
type record struct {
	ID       string          `json:"id"`
	Key      string          `json:"key"`
	Document json.RawMessage `json:"document"`
}

// records reads what the emulator holds.
func (l Live) records(t *testing.T) (list []record) {
	t.Helper()
	data, err := json.Marshal(l.Records())
	if err == nil {
		err = json.Unmarshal(data, &list)
	}
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// RunLive plays an adapter against its emulator. open returns a new one each time.
func RunLive(t *testing.T, open func(t *testing.T) Live) {
	t.Run("gone", func(t *testing.T) { open(t).gone(t) })
	l := open(t)
	if k, ok := l.Adapter.(canonical.Keyer); ok {
		t.Run("identity", func(t *testing.T) { l.identity(t, k) })
	}
	if b, ok := l.Adapter.(canonical.Batcher); ok {
		t.Run("batch", func(t *testing.T) { batches(t, b, open) })
	}
}

// upsert makes an upsert for the emulator's route.
func (l Live) upsert(c *canonical.Customer, remoteID string) canonical.Upsert {
	return Upsert(c, l.Adapter.Name(), l.Adapter.Name(), remoteID)
}

// do takes an upsert to its end.
func (l Live) do(t *testing.T, u canonical.Upsert) (canonical.Outcome, error) {
	t.Helper()
	req, _, err := l.Adapter.Translate(u)
	return l.follow(t, u, canonical.Row{Outcome: canonical.Outcome{Next: req}, Err: err})
}

// follow takes what has begun to its end. The remote id and the notices are those
// of all steps.
func (l Live) follow(t *testing.T, u canonical.Upsert, row canonical.Row) (canonical.Outcome, error) {
	t.Helper()
	out, err := row.Outcome, row.Err
	for steps := 0; err == nil && out.Next != nil; steps++ {
		if steps == maxSteps {
			t.Fatalf("%s: the chain does not end: %s", u.ID, out.Next.Op)
		}
		before, sent := out, out.Next
		out, err = l.Adapter.Interpret(u, sent, l.Send(sent))
		out.Notices = append(before.Notices, out.Notices...)
		if out.RemoteID == "" {
			out.RemoteID = before.RemoteID
		}
	}
	return out, err
}

// gone holds that a customer whose record was deleted gets a new one: at once, or
// after the upsert says that the remembered record is not there.
func (l Live) gone(t *testing.T) {
	played := 0
	for _, name := range []string{"person", "organization", "everything"} {
		u := l.upsert(Customer(t, name), "")
		first, err := l.do(t, u)
		if e := canonical.AsError(err); e != nil && strings.HasPrefix(string(e.Code), "mapping.") {
			continue
		}
		if err != nil || first.RemoteID == "" {
			t.Fatalf("%s: %+v, %v", name, first, err)
		}
		played++
		if !l.Delete(first.RemoteID) {
			t.Fatalf("%s: the emulator has no record %s", name, first.RemoteID)
		}
		u.RemoteID = first.RemoteID
		again, err := l.do(t, u)
		if e := canonical.AsError(err); e != nil && e.Code == canonical.UpstreamNotFound {
			u.RemoteID = ""
			again, err = l.do(t, u)
		}
		if err != nil {
			e := canonical.AsError(err)
			t.Errorf("%s: after its record was deleted: %v: %s", name, err, e.Message)
			continue
		}
		records := l.records(t)
		if len(records) != 1 || records[0].ID != again.RemoteID {
			t.Errorf("%s: the remote id is %q, the emulator holds %+v", name, again.RemoteID, records)
		}
		l.Delete(again.RemoteID)
	}
	if played == 0 {
		t.Error("the provider takes none of the customers")
	}
}

// identity holds that customers that the provider takes for one have a key in
// common.
func (l Live) identity(t *testing.T, k canonical.Keyer) {
	r := rand.New(rand.NewPCG(3, 4))
	keys := map[string]map[string]bool{} // by record
	met := 0
	for i := range 200 {
		u := l.upsert(Decode(t, fmt.Sprint("c-", i), Random(t, r)), "")
		out, err := l.do(t, u)
		if err != nil {
			continue
		}
		id := k.Identity(u)
		known := keys[out.RemoteID]
		if known == nil {
			known = map[string]bool{}
			keys[out.RemoteID] = known
		} else {
			met++
		}
		common := len(known) == 0
		for _, key := range id.Keys {
			common = common || known[key.Text]
			known[key.Text] = true
		}
		if !common {
			t.Errorf("%s became the record %s, with none of whose keys it has one in common: %+v", u.ID, out.RemoteID, id.Keys)
		}
	}
	if met == 0 {
		t.Error("no two customers met in one record")
	}
}

// batches holds that customers in one call end as they do one by one.
func batches(t *testing.T, b canonical.Batcher, open func(t *testing.T) Live) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 6))
		together, apart := open(t), open(t)
		us := make([]canonical.Upsert, 2+r.IntN(max(1, b.BatchLimit()-1)))
		for i := range us {
			us[i] = together.upsert(Decode(t, fmt.Sprint("c-", i), Random(t, r)), "")
		}
		for range 2 { // creations, then updates
			req, rows := b.TranslateBatch(us)
			if req == nil {
				break
			}
			translated := rows
			reply := together.Send(req)
			checkCut(t, b, us, req, translated, reply)
			rows = b.InterpretBatch(us, req, reply)
			for _, inCall := range []bool{true, false} {
				for i, u := range us {
					if (translated[i].Outcome.Next == nil) != inCall || translated[i].Err != nil {
						continue
					}
					got, gotErr := together.follow(t, u, rows[i])
					want, wantErr := apart.do(t, u)
					if got.RemoteID != want.RemoteID || !reflect.DeepEqual(got.Notices, want.Notices) || code(gotErr) != code(wantErr) {
						t.Errorf("seed %d: %s is %+v, %v in a batch; %+v, %v alone", seed, u.ID, got, gotErr, want, wantErr)
					}
				}
			}
			if got, want := together.records(t), apart.records(t); !reflect.DeepEqual(got, want) {
				t.Errorf("seed %d: the records are\n%s\nwant\n%s", seed, show(got), show(want))
			}
		}
	}
}

// checkCut holds that no row succeeds by an answer that is cut off anywhere.
func checkCut(t *testing.T, b canonical.Batcher, us []canonical.Upsert, req *canonical.Request, translated []canonical.Row, reply *canonical.Reply) {
	t.Helper()
	whole := bytes.TrimSpace(reply.Body)
	for n := 0; n < len(whole); n += 1 + len(whole)/40 {
		cut := &canonical.Reply{Status: reply.Status, Header: reply.Header, Body: whole[:n]}
		for i, row := range b.InterpretBatch(us, req, cut) {
			if translated[i].Err == nil && row.Err == nil && row.Outcome.Next == nil {
				t.Errorf("%s succeeds by the first %d of %d bytes", us[i].ID, n, len(whole))
			}
		}
	}
}

func code(err error) canonical.Code {
	if e := canonical.AsError(err); e != nil {
		return e.Code
	}
	return ""
}

func show(records []record) string {
	var b strings.Builder
	for _, r := range records {
		fmt.Fprintf(&b, "%s %s %s\n", r.ID, r.Key, r.Document)
	}
	return b.String()
}
