package canonical

// Describer is an Adapter that tells what its route holds of a customer. What it
// tells is what Translate does: the suite of adaptertest compares the two.
type Describer interface {
	Adapter
	// Describe describes the fields of persons, or of organizations, as the
	// route's settings have them, in the order of the schema: every one but those
	// that only the gateway uses. An *Error says why the route takes no such
	// customer.
	Describe(organization bool) ([]Capability, error)
}

// Support says how much of a field reaches the provider.
type Support string

// The degrees of support.
const (
	Held        Support = "held"        // all that is not refused, as it is stated
	Lossy       Support = "lossy"       // not every value or element, or not as it is stated: see Capability.How
	Unsupported Support = "unsupported" // none; what is stated is dropped with a notice
)

// Requirement says where a provider refuses a customer without a field.
type Requirement string

// The requirements.
const (
	Optional          Requirement = "never"
	Required          Requirement = "always"
	RequiredInElement Requirement = "in_element" // in each element of the list that the field is in
	RequiredInObject  Requirement = "in_object"  // in the object that the field is in, where others of its members are stated
)

// Capability says what a route does with one field of a customer.
type Capability struct {
	Field    string      `json:"field"` // a pattern of the schema: /emails/*/value
	Support  Support     `json:"support"`
	Required Requirement `json:"required"`
	// Or lists the fields of which any one does where this one is required.
	Or []string `json:"or,omitempty"`
	// MaxLength is how many characters a text may have, each text of a list for
	// itself; 0 if the provider takes all that the schema does. A longer one is
	// refused, unless How says where it is not.
	MaxLength int `json:"maxLength,omitempty"`
	// Charset completes "may only have …"; empty if any character may stand.
	Charset string `json:"charset,omitempty"`
	// How says in one line what is lost, or how a field is held without being
	// sent.
	How string `json:"how,omitempty"`
	// To lists the provider's fields that it feeds.
	To []string `json:"to,omitempty"`
}

// KindCapabilities are the capabilities of a route for one kind of customers.
type KindCapabilities struct {
	Kind string `json:"kind"` // person or organization
	// Refused says why the route takes no such customers; Fields is then empty.
	Refused string       `json:"refused,omitempty"`
	Fields  []Capability `json:"fields"`
}

// Describe returns what an adapter tells of its route, for each kind of
// customers; nil if it is no Describer.
func Describe(a Adapter) []KindCapabilities {
	d, ok := a.(Describer)
	if !ok {
		return nil
	}
	var kinds []KindCapabilities
	for _, organization := range []bool{false, true} {
		k := KindCapabilities{Kind: "person", Fields: []Capability{}}
		if organization {
			k.Kind = "organization"
		}
		if fields, err := d.Describe(organization); err != nil {
			k.Refused = AsError(err).Message
		} else {
			k.Fields = fields
		}
		kinds = append(kinds, k)
	}
	return kinds
}

// Places lists the places of the schema at which something is stated: those that
// no others are below, in the order of the schema.
func Places() []PathID {
	var places []PathID
	for i := range patterns {
		if p := PathID(i); p.Last() == p {
			places = append(places, p)
		}
	}
	return places
}

// MaxLength returns how many characters the schema lets a text at the place have,
// or each text of a list; 0 for what is no text.
func (p PathID) MaxLength() int { return lengths[p] }
