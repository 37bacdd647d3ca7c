package sandbox

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"customer-gateway/adapters/emulator"
)

// The shapes below follow the published sample answer, member by member.

type customerJSON struct {
	ComplytID          *string         `json:"complytId"`
	ExternalID         *string         `json:"externalId"`
	Source             *string         `json:"source"`
	Name               *string         `json:"name"`
	Address            *addressJSON    `json:"address"`
	Email              *string         `json:"email"`
	CustomerType       *string         `json:"customerType"`
	InternalTimestamps *timestampsJSON `json:"internalTimestamps"`
	ExternalTimestamps timestampsJSON  `json:"externalTimestamps"`
	Comment            *string         `json:"comment"`
}

type addressJSON struct {
	City      *string `json:"city"`
	Country   *string `json:"country"`
	County    *string `json:"county"`
	State     *string `json:"state"`
	Region    *string `json:"region,omitempty"`
	Street    *string `json:"street"`
	Zip       *string `json:"zip"`
	IsPartial bool    `json:"isPartial"`
}

type timestampsJSON struct {
	CreatedDate string `json:"createdDate"`
	UpdatedDate string `json:"updatedDate"`
}

// document is the customer as an answer shows it. What was never stored has
// neither complytId nor internalTimestamps.
func (h *record) document() json.RawMessage {
	c := h.customer
	out := customerJSON{
		ExternalID: c.externalID, Source: c.source, Name: c.name, Email: c.email, CustomerType: c.customerType, Comment: c.comment,
		ExternalTimestamps: timestampsJSON{local(c.timestamps.created), local(c.timestamps.updated)},
	}
	if h.complytID != "" {
		out.ComplytID = &h.complytID
		out.InternalTimestamps = &timestampsJSON{local(h.created), local(h.updated)}
	}
	if a := c.address; a != nil {
		out.Address = &addressJSON{a.city, a.country, a.county, a.state, a.region, a.street, a.zip, a.isPartial}
	}
	return marshal(out)
}

func (h *record) show() emulator.Record {
	return emulator.Record{ID: h.complytID, Key: *h.customer.externalID, Document: h.document()}
}

// local writes a time without zone and with as few groups of three fraction
// digits as it needs.
func local(t time.Time) string {
	layout := "2006-01-02T15:04:05"
	switch ns := t.Nanosecond(); {
	case ns == 0:
	case ns%1_000_000 == 0:
		layout += ".000"
	case ns%1_000 == 0:
		layout += ".000000"
	default:
		layout += ".000000000"
	}
	return t.UTC().Format(layout)
}

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}
