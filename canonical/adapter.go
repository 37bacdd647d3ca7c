package canonical

import (
	"net/http"
	"time"
)

// Adapter translates between Customer and one provider's HTTP API. It is pure:
// no network, clock, randomness, environment or logging, and it never sees
// credentials. Safe for concurrent use.
type Adapter interface {
	// Name is the provider's name: config section, metric label, error prefix.
	Name() string
	// Translate checks that the provider can take the customer and returns the
	// first request of the upsert and what the provider cannot hold. A customer
	// that the provider would refuse is refused here, with every fault at once,
	// as an *Error of one of the mapping codes. It does not change u.
	Translate(u Upsert) (*Request, []Notice, error)
	// Interpret reads the reply to sent: a finished Outcome, an Outcome whose
	// Next request continues the upsert, or an *Error (with what is known of
	// the outcome, such as the remote id, beside it). It never retries.
	Interpret(u Upsert, sent *Request, got *Reply) (Outcome, error)
}

// Batcher is an Adapter whose provider takes many customers in one call; the
// single upsert is the case of one. Like an Adapter's, its methods are pure: the
// same upserts give the same request and rows.
type Batcher interface {
	Adapter
	// BatchLimit is the largest number of upserts in one call.
	BatchLimit() int
	// TranslateBatch translates the upserts into one request, and returns a row
	// for each of them, in their order:
	//
	//   - with an error, it is not in the request;
	//   - with Outcome.Next, it is not in the request either, because it must not
	//     be in one call with another row or takes more than one: it begins with
	//     Next and is sent and interpreted by itself, as any single upsert;
	//   - otherwise it is in the request.
	//
	// Outcome.Notices are what Translate returns beside a request. A caller who
	// then will not send one of the rows, because strict handling refuses the
	// losses that its notices tell of, translates again without it. The request is
	// nil if it would have no row.
	TranslateBatch(us []Upsert) (*Request, []Row)
	// InterpretBatch reads the reply to the request that TranslateBatch made of
	// the same upserts. Its rows are in their order too, with what the reply tells
	// and without the notices of the translation. A row that was in the request has
	// the outcome that a single upsert would have; an answer about the whole call
	// is the outcome of each. Where such an answer may be one row's fault, or does
	// not tell the rows apart, a row may have a Next: it is sent once more, by
	// itself. A row that was not in the request keeps its error, or its Next.
	//
	// A call that got no reply is not the adapter's: the caller knows what that
	// means for the rows that were in it.
	InterpretBatch(us []Upsert, sent *Request, got *Reply) []Row
}

// Row is the result of one upsert in a batch.
type Row struct {
	Outcome Outcome
	Err     error // an *Error, or nil
}

// Keyer is an Adapter whose provider finds customers by keys that can change,
// such as an e-mail address, and not by an id alone. A change of all keys makes
// the provider miss the record that it has, and make another one.
type Keyer interface {
	Adapter
	// Identity returns the keys that the upsert is sent with. It does not look at
	// u.RemoteID and u.Follow, and has no keys for an upsert without any, which
	// Translate refuses.
	Identity(u Upsert) Identity
}

// Upsert is one customer on its way to one route, with what the gateway knows.
// Adapters must not modify anything it refers to.
type Upsert struct {
	ID       string    // the application's customer id
	Customer *Customer // validated
	Leaves   []Leaf    // Customer.Leaves, computed once for all routes
	RemoteID string    // the provider's own id, if known
	// Follow asks the adapter, if it is a Keyer, to give the record RemoteID the
	// keys of this upsert, because the provider found it by other ones until now.
	// An adapter that cannot says so in a notice of code NoticeIdentity.
	Follow bool
	// ProviderData holds the caller's objects for this provider and this route,
	// in the order in which they are merged over the adapter's own body.
	ProviderData []ProviderData
}

// ProviderData is one member of Customer.ProviderData that applies to a route.
type ProviderData struct {
	Key    string // the member's name: a provider or a route
	Object Value
}

// Request is one HTTP request to a provider, complete but for the base URL and
// authentication.
type Request struct {
	// Op names the step, for metrics, errors and Interpret: "upsert", "search".
	// It is one of a fixed few per provider.
	Op     string
	Method string
	// Path is relative to the route's base URL, begins with "/", is already
	// percent-encoded and may have a query.
	Path   string
	Header http.Header // Content-Type, Accept and what settings ask for
	Body   []byte      // nil for none
	// Repeatable says that sending the request twice is harmless.
	Repeatable bool
	// Links says which canonical field feeds which field of the body.
	Links []Link
}

// Link is one field of a request's body and the canonical field it came from.
type Link struct {
	To        string // the provider's path, list positions as "[]": "addresses[].city"
	ToIndex   int16  // position in the provider's list
	FromIndex int16  // position in the canonical list, or in Attributes
	From      PathID
	// Data is the pointer into providerData instead of From, where the field
	// came from there.
	Data string
}

// Pointer returns the RFC 6901 pointer of what the field came from, in c's JSON.
func (l *Link) Pointer(c *Customer) string {
	if l.Data != "" {
		return l.Data
	}
	return c.Pointer(l.From, int(l.FromIndex))
}

// Reply is a provider's answer, read to its end and limited in size.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// Outcome is what a reply meant.
type Outcome struct {
	Action   Action
	RemoteID string   // the provider's id of the record, if the reply told it; it shares no memory with the reply
	Notices  []Notice // what the provider reported beside success
	Next     *Request // if set, the upsert is not finished: send this
}

// Action is what the provider did.
type Action string

// The actions. The empty Action means that the provider does not tell.
const (
	ActionCreated Action = "created"
	ActionUpdated Action = "updated"
	ActionNone    Action = "none" // the record was already as stated
)

// NoticeCode says what kind of thing a Notice reports.
type NoticeCode string

// The notice codes.
const (
	NoticeDropped    NoticeCode = "dropped"          // the provider has no place for the value
	NoticeTruncated  NoticeCode = "truncated"        // only a part of the value is held
	NoticeNotCleared NoticeCode = "not_cleared"      // the provider cannot clear the field
	NoticeChanged    NoticeCode = "changed"          // sent in another form, which loses something
	NoticeDefaulted  NoticeCode = "defaulted"        // the provider needs a value and got a standing one
	NoticeProvider   NoticeCode = "provider"         // the provider's own warning
	NoticeIdentity   NoticeCode = "identity_changed" // the provider may have a second record now
	NoticeSuperseded NoticeCode = "superseded"       // a newer state stands instead of this one
)

// Lossy reports whether the notice stands for something that is not at the
// provider as the caller stated it. Strict handling refuses such an upsert.
func (c NoticeCode) Lossy() bool {
	switch c {
	case NoticeDropped, NoticeTruncated, NoticeNotCleared, NoticeChanged:
		return true
	}
	return false
}

// Notice is a fact about a successful upsert that the caller should know.
type Notice struct {
	Code    NoticeCode `json:"code"`
	Pointer string     `json:"pointer,omitempty"` // RFC 6901, into the caller's payload
	Field   string     `json:"field,omitempty"`   // the provider's spelling
	Message string     `json:"message"`
}

// Auth says how a route's requests are authenticated. It is built by the
// provider's package from the route's credentials and carried out by the
// gateway; adapters never see it. At most one of OAuth1 and Token is set.
type Auth struct {
	Header map[string]Secret // set on every request, by name
	OAuth1 *OAuth1
	Token  *TokenAuth
}

// OAuth1 signs every attempt anew (RFC 5849, HMAC-SHA256, in the Authorization
// header).
type OAuth1 struct {
	ConsumerKey, ConsumerSecret, Token, TokenSecret Secret
}

// TokenAuth fetches an access token and sends it with every request.
type TokenAuth struct {
	// Request is the token call; its body holds the credential. Op is "token".
	Request Request
	// Read returns the access token and how long it lives from its receipt
	// (zero: Lifetime applies), or an *Error that classifies the refusal.
	Read func(got *Reply) (token Secret, lives time.Duration, err error)
	// Lifetime is assumed when the provider names none.
	Lifetime time.Duration
	// Header and Prefix say where the token goes: "Authorization", "Bearer ".
	Header, Prefix string
}

// NewUpsert returns the upsert of a customer, not yet for any route.
func NewUpsert(c *Customer) Upsert {
	return Upsert{ID: c.ID.Value(), Customer: c, Leaves: c.Leaves()}
}

// For returns the upsert for one route of a provider. A remote id that the
// caller states in ExternalIDs wins over remoteID, the one that the gateway
// remembers. The route's providerData comes after the provider's.
func (u Upsert) For(route, provider, remoteID string) Upsert {
	u.RemoteID = remoteID
	for _, x := range u.Customer.ExternalIDs.Value() {
		if x.Route == route {
			u.RemoteID = x.ID
		}
	}
	u.addData(provider)
	if route != provider {
		u.addData(route)
	}
	return u
}

func (u *Upsert) addData(key string) {
	for _, d := range u.Customer.ProviderData.Value() {
		if d.Key == key {
			u.ProviderData = append(u.ProviderData, d)
		}
	}
}
