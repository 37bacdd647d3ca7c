package capillary

import (
	"slices"
	"strings"
	"testing"

	"customer-gateway/adapters/adaptertest"
	"customer-gateway/adapters/capillary/sandbox"
	"customer-gateway/canonical"
)

func TestIdentity(t *testing.T) {
	t.Parallel()
	const jane = `"emails":[{"value":"jane@example.com"}],"phoneNumbers":[{"value":"+4917012345"}]`
	shared := []string{"mobile", "email"}
	tests := []struct {
		name        string
		identifiers []string // of the settings
		was, is     string
		changed     bool
		pointers    string // of the new keys
	}{
		{"the application's id stays", ownKeys, jane, `"emails":[{"value":"doe@example.com"}]`, false, "/id /emails/0/value"},
		{"one of two", shared, jane, `"emails":[{"value":"doe@example.com"}],"phoneNumbers":[{"value":"+4917012345"}]`, false, "/phoneNumbers/0/value /emails/0/value"},
		{"both", shared, jane, `"emails":[{"value":"doe@example.com"}],"phoneNumbers":[{"value":"+4917099999"}]`, true, "/phoneNumbers/0/value /emails/0/value"},
		{"one left", shared, jane, `"emails":[{"value":"jane@example.com"}]`, false, "/emails/0/value"},
		{"stated in another form", shared, jane, `"identifiers":[{"type":"MOBILE","value":"0049 (170) 12345"}]`, false, "/identifiers/0/value"},
		{"a card", shared, jane, `"loyalty":{"cardNumber":"C1"}`, true, "/loyalty/cardNumber"},
		{"an external id that is stated", ownKeys, jane, `"identifiers":[{"type":"externalId","value":"x"}]`, true, "/identifiers/0/value"},
		{"by providerData", ownKeys, jane, jane + `,"providerData":{"capillary":{"profiles":[{"identifiers":[{"type":"email","value":"doe@example.com"}]}]}}`, true,
			"/providerData/capillary/profiles/0/identifiers/0/value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := webEngage()
			c.Identifiers = tt.identifiers
			a := New(c)
			was, is := a.Identity(upsert(t, "c1", "{"+tt.was+"}")), a.Identity(upsert(t, "c1", "{"+tt.is+"}"))
			if got := is.Changed(was.Digest()); got != tt.changed {
				t.Errorf("Changed = %v, want %v: %+v, then %+v", got, tt.changed, was.Keys, is.Keys)
			}
			var pointers []string
			for _, k := range is.Keys {
				pointers = append(pointers, k.Pointer)
			}
			if !slices.Equal(pointers, strings.Fields(tt.pointers)) || is.Fixed {
				t.Errorf("pointers %v, fixed %v; want %s", pointers, is.Fixed, tt.pointers)
			}
		})
	}
	if !New(settled()).Identity(upsert(t, "c1", "{"+jane+"}")).Fixed {
		t.Error("skip_change_identifier: identifiers of records are not fixed")
	}
}

// TestFollow holds that a record is found again after all of its identifiers have
// changed, unless that is switched off.
func TestFollow(t *testing.T) {
	t.Parallel()
	const was, is = `{"emails":[{"value":"jane@example.com"}],"phoneNumbers":[{"value":"+4917012345678"}]}`, `{"emails":[{"value":"doe@example.com"}],"phoneNumbers":[{"value":"+4917099999999"}]}`
	for _, tt := range []struct {
		name     string
		settings map[string]any
		forgot   bool // the remote id
		records  int
	}{
		{"moved", nil, false, 1},
		{"without a remote id", nil, true, 2},
		{"identifiers are fixed", map[string]any{"skip_change_identifier": true}, false, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			settings := map[string]any{"identifiers": []any{"mobile", "email"}}
			for key, value := range tt.settings {
				settings[key] = value
			}
			o := organise(t, sandbox.Options{}, settings)
			o.authenticate(t)
			first, err := o.upsert(t, upsert(t, "c1", was))
			if err != nil {
				t.Fatal(err)
			}
			u := upsert(t, "c1", is)
			u.Follow = true
			if !tt.forgot {
				u.RemoteID = first.RemoteID
			}
			_, notices, err := o.Adapter.Translate(u)
			told := slices.ContainsFunc(notices, func(n canonical.Notice) bool { return n.Code == canonical.NoticeIdentity })
			if err != nil || told != (tt.records > 1) {
				t.Errorf("notices %+v, %v; want to be told of a second record: %v", notices, err, tt.records > 1)
			}
			for range 2 { // a repetition meets the same record
				out, err := o.upsert(t, u)
				if err != nil || (out.RemoteID == first.RemoteID) != (tt.records == 1) {
					t.Errorf("%+v, %v; want the record %s: %v", out, err, first.RemoteID, tt.records == 1)
				}
			}
			if n := len(o.Records()); n != tt.records {
				t.Errorf("there are %d records, want %d", n, tt.records)
			}
		})
	}
}

// TestFollowRefused holds what the move of a record may come to.
func TestFollowRefused(t *testing.T) {
	t.Parallel()
	o := organise(t, sandbox.Options{}, map[string]any{"identifiers": []any{"email"}})
	o.authenticate(t)
	ids := map[string]string{}
	for _, address := range []string{"jane@example.com", "taken@example.com"} {
		out, err := o.upsert(t, upsert(t, address, `{"emails":[{"value":"`+address+`"}],"phoneNumbers":[{"value":"+4917012345678"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		ids[address] = out.RemoteID
	}
	u := upsert(t, "jane@example.com", `{"emails":[{"value":"taken@example.com"}]}`)
	u.Follow, u.RemoteID = true, ids["jane@example.com"]
	_, err := o.upsert(t, u)
	if e := canonical.AsError(err); e == nil || e.Code != canonical.UpstreamIdentityConflict || len(e.Fields) != 1 || e.Fields[0].Pointer != "/emails/0/value" {
		t.Errorf("to another's address: %+v, want %s at the address", e, canonical.UpstreamIdentityConflict)
	}
	u = upsert(t, "jane@example.com", `{"emails":[{"value":"new@example.com"}]}`)
	u.Follow, u.RemoteID = true, ids["jane@example.com"]
	o.Delete(u.RemoteID)
	_, err = o.upsert(t, u)
	if e := canonical.AsError(err); e == nil || e.Code != canonical.UpstreamNotFound {
		t.Errorf("of a record that is gone: %+v, want %s", e, canonical.UpstreamNotFound)
	}
	for _, id := range []string{"../1", "0", "x"} {
		u.RemoteID = id
		if req, _, err := o.Adapter.Translate(u); err != nil || req.Op != opUpsert {
			t.Errorf("the remote id %q leads to %+v, %v; want the upsert alone", id, req, err)
		}
	}
}

// TestOneSpoilsTheCall holds that a customer for whose sake the whole call is
// refused costs the others nothing but a call of their own.
func TestOneSpoilsTheCall(t *testing.T) {
	t.Parallel()
	o := organise(t, sandbox.Options{MaxRows: 2}, nil)
	o.authenticate(t)
	us := []canonical.Upsert{
		upsert(t, "s1", `{"emails":[{"value":"s1@example.com"}],"phoneNumbers":[{"value":"+4917012345671"}]}`),
		adaptertest.Upsert(adaptertest.Decode(t, "s2", []byte(`{"providerData":{"capillary":{"nonsense":true}}}`)), name, name, ""),
	}
	rows := o.upsertAll(t, us)
	if rows[0].Err != nil || rows[0].Outcome.RemoteID == "" {
		t.Errorf("the other customer = %+v, want success", rows[0])
	}
	if e := canonical.AsError(rows[1].Err); e == nil || e.Code != canonical.UpstreamInvalid {
		t.Errorf("the customer = %+v, want %s", e, canonical.UpstreamInvalid)
	}
	us[1] = upsert(t, "s3", `{"emails":[{"value":"s3@example.com"}],"phoneNumbers":[{"value":"+4917012345673"}]}`)
	us = append(us, upsert(t, "s4", `{"emails":[{"value":"s4@example.com"}],"phoneNumbers":[{"value":"+4917012345674"}]}`))
	for i, row := range o.upsertAll(t, us) {
		if row.Err != nil || row.Outcome.RemoteID == "" {
			t.Errorf("row %d of too many = %+v, want success", i, row)
		}
	}
}
