package adaptertest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"customer-gateway/canonical"
)

// identity holds the promises of a Keyer, if the adapter is one: keys follow from
// the customer alone, and point at it.
func (c *Case) identity(t *testing.T) {
	us := c.all(t)
	r := rand.New(rand.NewPCG(1, 9))
	for i := range 300 {
		us = append(us, c.upsert(Decode(t, fmt.Sprint("c-", i), Random(t, r)), ""))
	}
	for _, s := range c.Adapters {
		k, ok := s.Adapter.(canonical.Keyer)
		if !ok {
			continue
		}
		found := 0
		for _, u := range us {
			id := k.Identity(u)
			moved := u
			moved.RemoteID, moved.Follow = "42", true
			if !reflect.DeepEqual(k.Identity(moved), id) {
				t.Errorf("%s: %s has other keys with a remote id: %+v, without %+v", s.Name, u.ID, k.Identity(moved), id)
			}
			if id.Customer != u.ID {
				t.Errorf("%s: the identity of %s says %q", s.Name, u.ID, id.Customer)
			}
			for _, key := range id.Keys {
				found++
				if key.Text == "" || key.Field == "" || key.Pointer == "" || key.Pointer[0] != '/' {
					t.Errorf("%s: %s has the key %+v, want a text, a field and a pointer", s.Name, u.ID, key)
				}
			}
			_, _, err := k.Translate(u)
			if err == nil && len(id.Keys) == 0 {
				t.Errorf("%s: %s is sent without a key", s.Name, u.ID)
			}
			checkNotice(t, k, u, err)
		}
		if found == 0 {
			t.Errorf("%s: no customer has a key", s.Name)
		}
	}
}

// checkNotice holds that an adapter that cannot move a record, for want of a remote
// id at the latest, says so.
func checkNotice(t *testing.T, k canonical.Keyer, u canonical.Upsert, err error) {
	t.Helper()
	u.Follow = true
	_, notices, errFollow := k.Translate(u)
	if (err == nil) != (errFollow == nil) {
		t.Errorf("%s: Translate = %v, with Follow %v", u.ID, err, errFollow)
	}
	told := slices.ContainsFunc(notices, func(n canonical.Notice) bool { return n.Code == canonical.NoticeIdentity && n.Pointer != "" })
	if err == nil && !told {
		t.Errorf("%s: nothing tells that the record is not moved: %v", u.ID, notices)
	}
}

// padding is white space behind a reply's JSON, and copies how many such replies
// are read.
const (
	padding = 256 << 10
	copies  = 8
)

// remoteIDs holds that a remote id does not keep the reply that it was in.
func (c *Case) remoteIDs(t *testing.T) {
	for _, f := range readFixtures(t) {
		p := c.play(t, f)
		if p.out.RemoteID == "" {
			continue
		}
		reply := *f.replies[len(f.replies)-1]
		reply.Body = slices.Concat(reply.Body, bytes.Repeat([]byte(" "), padding))
		a := c.adapter(t, f.adapter)
		ids := make([]string, copies)
		before := heap()
		for i := range ids {
			out, _ := a.Interpret(p.u, p.sent[len(p.sent)-1], &reply)
			ids[i] = out.RemoteID
		}
		if kept := int64(heap()) - int64(before); kept > copies*padding/2 {
			t.Errorf("%s: %d remote ids keep %d bytes", f.name, copies, kept)
		}
		runtime.KeepAlive(ids)
	}
}

// heap is how much memory is in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
