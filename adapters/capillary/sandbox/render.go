package sandbox

import (
	"encoding/json"
	"strconv"
	"time"

	"customer-gateway/adapters/emulator"
)

// The shapes below follow the published sample answer, member by member.

type customerJSON struct {
	ID             int64             `json:"id"`
	Profiles       []profileJSON     `json:"profiles"`
	LoyaltyInfo    loyaltyJSON       `json:"loyaltyInfo"`
	Segments       struct{}          `json:"segments"`
	AssociatedWith string            `json:"associatedWith"`
	StatusLabel    string            `json:"statusLabel,omitempty"`
	ExtendedFields map[string]string `json:"extendedFields"`
	Subscriptions  any               `json:"subscriptionInfo,omitempty"`
	CardDetails    []cardJSON        `json:"cardDetails"`
}

type profileJSON struct {
	FirstName      string            `json:"firstName,omitempty"`
	LastName       string            `json:"lastName,omitempty"`
	Attribution    attributionJSON   `json:"attribution"`
	Fields         map[string]string `json:"fields"`
	AllFields      map[string]string `json:"allFields"`
	Identifiers    []identifierJSON  `json:"identifiers"`
	CommChannels   []channel         `json:"commChannels"`
	Source         string            `json:"source"`
	UserID         int64             `json:"userId"`
	AccountID      string            `json:"accountId"`
	Conflicting    []struct{}        `json:"conflictingProfileList"`
	AutoUpdateTime string            `json:"autoUpdateTime"`
	IdentifiersAll []identifierJSON  `json:"identifiersAll"`
}

type attributionJSON struct {
	CreateDate        string   `json:"createDate"`
	CreatedBy         tillJSON `json:"createdBy"`
	ModifiedBy        tillJSON `json:"modifiedBy"`
	ModifiedDate      string   `json:"modifiedDate"`
	CreatedFromSource string   `json:"createdFromSource,omitempty"`
}

type tillJSON struct {
	ID          int64  `json:"id"`
	Code        string `json:"code"`
	Description string `json:"description"`
	Name        string `json:"name"`
	Type        string `json:"type"`
}

type identifierJSON struct {
	Type            string     `json:"type"`
	Value           string     `json:"value"`
	StatusLabelInfo *labelJSON `json:"statusLabelInfo,omitempty"`
	CardID          int64      `json:"cardId,omitempty"`
}

type labelJSON struct {
	OrgID          int64  `json:"orgId"`
	Type           string `json:"type"`
	InternalStatus string `json:"internalStatus"`
	Default        bool   `json:"default"`
}

type loyaltyJSON struct {
	LoyaltyType       string          `json:"loyaltyType"`
	AttributionV2     attributionJSON `json:"attributionV2"`
	LifetimePurchases json.Number     `json:"lifetimePurchases"`
}

type cardJSON struct {
	CardID     int64          `json:"cardId"`
	IssuedDate string         `json:"issuedDate"`
	SeriesName string         `json:"seriesName"`
	CustomerID int64          `json:"customerId"`
	Type       string         `json:"type"`
	CardNumber string         `json:"cardNumber"`
	SeriesID   int64          `json:"seriesId"`
	SeriesCode string         `json:"seriesCode"`
	StatusInfo cardStatusJSON `json:"statusInfo"`
	ID         int64          `json:"id"`
}

type cardStatusJSON struct {
	Reason   string   `json:"reason"`
	Actions  []string `json:"actions"`
	IsActive bool     `json:"isActive"`
	Label    string   `json:"label,omitempty"`
	Status   string   `json:"status"`
}

const orgID = 100458

var emulatorTill = tillJSON{ID: 75036445, Code: TillUser, Name: "Emulator", Type: "TILL"}

// document is the customer as an answer's result shows it.
func (c *customer) document() json.RawMessage {
	out := customerJSON{
		ID:             c.id,
		Profiles:       []profileJSON{},
		LoyaltyInfo:    loyaltyJSON{LoyaltyType: c.loyaltyType, AttributionV2: attribution(c.created, c.modified), LifetimePurchases: "0.000"},
		AssociatedWith: c.associatedWith,
		StatusLabel:    c.statusLabel,
		ExtendedFields: c.extended,
		CardDetails:    []cardJSON{},
	}
	out.LoyaltyInfo.AttributionV2.CreatedFromSource = c.createdFrom
	if len(c.subscriptions) > 0 {
		out.Subscriptions = map[string]any{"subscriptions": c.subscriptions}
	}
	for _, p := range c.profiles {
		held := profileJSON{
			FirstName: p.firstName, LastName: p.lastName,
			Attribution: attribution(p.created, p.modified),
			Fields:      p.fields, AllFields: p.fields,
			Identifiers: []identifierJSON{}, CommChannels: []channel{},
			Source: p.account.Source, UserID: c.id, AccountID: p.account.ID,
			Conflicting: []struct{}{}, AutoUpdateTime: stamp(p.modified),
		}
		held.CommChannels = append(held.CommChannels, p.channels...)
		for _, i := range p.identifiers {
			shown := identifierJSON{Type: i.kind, Value: i.value}
			if i.card != nil {
				shown.StatusLabelInfo = &labelJSON{OrgID: orgID, Type: "CARD", InternalStatus: "NOT_ISSUED"}
				shown.CardID = i.card.id
				out.CardDetails = append(out.CardDetails, i.card.details(c.id, i.value))
			}
			held.Identifiers = append(held.Identifiers, shown)
		}
		held.IdentifiersAll = held.Identifiers
		out.Profiles = append(out.Profiles, held)
	}
	return marshal(out)
}

func (k *card) details(customerID int64, number string) cardJSON {
	return cardJSON{
		CardID: k.id, ID: k.id, IssuedDate: stamp(k.issued), CustomerID: customerID, Type: "DIGITAL", CardNumber: number,
		SeriesID: k.series.ID, SeriesCode: k.series.Code, SeriesName: k.series.Name,
		StatusInfo: cardStatusJSON{Actions: []string{}, IsActive: true, Label: k.label, Status: "ACTIVE"},
	}
}

// record shows the customer under its external id, or else its first identifier.
func (c *customer) record() emulator.Record {
	key := ""
	for _, p := range c.profiles {
		for _, i := range p.identifiers {
			if i.kind == "externalId" {
				return emulator.Record{ID: strconv.FormatInt(c.id, 10), Key: i.value, Document: c.document()}
			}
			if key == "" {
				key = i.value
			}
		}
	}
	return emulator.Record{ID: strconv.FormatInt(c.id, 10), Key: key, Document: c.document()}
}

func attribution(created, modified time.Time) attributionJSON {
	return attributionJSON{CreateDate: stamp(created), CreatedBy: emulatorTill, ModifiedBy: emulatorTill, ModifiedDate: stamp(modified)}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
