package capillary

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"customer-gateway/adapters/adaptertest"
	"customer-gateway/adapters/capillary/sandbox"
	"customer-gateway/canonical"
)

// TestRandom sends batches of random customers. The organization refuses no call,
// and a row only for what it alone can know; every id is the customer's own, in
// whatever order the rows come; the same sent again meets the same customers.
func TestRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(120) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 2))
			o := organise(t, sandbox.Options{ReverseRows: seed%3 == 0}, map[string]any{"identifiers": []any{"externalId"}, "extended_fields": map[string]any{"gender": "gender", "birth_date": "dob", "city": "city"}})
			o.authenticate(t)
			a := o.Adapter.(canonical.Batcher)
			us := make([]canonical.Upsert, 1+r.IntN(a.BatchLimit()))
			for i := range us {
				c := adaptertest.Decode(t, fmt.Sprint("c-", i), adaptertest.Random(t, r))
				us[i] = adaptertest.Upsert(c, "loyalty", name, "")
			}
			req, rows := a.TranslateBatch(us)
			for _, row := range rows {
				if e := canonical.AsError(row.Err); e != nil && (e.Code != canonical.MappingUnrepresentable || e.Fields[0].Pointer == "") {
					t.Errorf("refused: %v %+v", e, e.Fields)
				}
			}
			if req == nil {
				return
			}
			first := make([]string, len(us))
			for range 2 {
				for i, row := range o.upsertAll(t, us) {
					e := canonical.AsError(row.Err)
					if id := row.Outcome.RemoteID; e == nil && first[i] != "" && first[i] != id {
						t.Errorf("row %d has the id %s, before %s", i, id, first[i])
					} else if e == nil {
						first[i] = id
					}
					record, _ := o.Record(row.Outcome.RemoteID)
					switch {
					case e == nil && !bytes.Contains(record.Document, []byte(`"value":"`+us[i].ID+`"`)):
						t.Errorf("row %d has the id %q, which is %s", i, row.Outcome.RemoteID, record.Document)
					case e == nil || rows[i].Err != nil:
					case e.UpstreamCode == "8013": // a card outside of every series
					case e.UpstreamCode == "8018": // leaves the programme
					case e.Code == canonical.UpstreamIdentityConflict: // two with one wechat id
					default:
						t.Errorf("row %d = %v %s %q of %s", i, e, e.UpstreamCode, e.Message, req.Body)
					}
				}
			}
		})
	}
}
