// Package ledger is the gateway's memory: what was accepted, what each provider
// has confirmed, and what is still to be done.
//
// There is one Slot for each route and customer. It names the newest state that
// was accepted for the route (Desired) and the newest that the provider confirmed
// (Applied), so that the newest state is what gets sent, whatever happened in
// between: coalescing, order and harmless replays follow from the shape.
//
//	idle   --accept------------------------------> due, or leased at once
//	due    --claim (its time has come)-----------> leased   new token
//	leased --claim (the lease is over)-----------> leased   new token; what was in flight is unsure
//	leased --applied, nothing newer or unsure----> idle
//	leased --applied, newer waiting--------------> due      now
//	leased --applied, older may land later-------> due      at the settle time
//	leased --retry-------------------------------> due      later
//	leased --dead, nothing newer-----------------> dead
//	dead   --accept, replay----------------------> due
//
// A lease is the right to send one state of one slot, for a time, under a token
// that no other lease of any slot ever has. Whoever finishes a lease that is no
// longer his changes no outcome; if what he sent may have landed, the slot
// remembers that (unsure) and the newest state is sent once more after the settle
// time, because no client can keep a late request from taking effect, but everyone
// can repair it.
//
// A Store keeps this durably. Every store passes the suite in package ledgertest.
// One that is also Sealable can be encrypted with Sealed.
package ledger

import (
	"context"
	"time"

	"customer-gateway/canonical"
)

// Store is a durable ledger. Its methods are safe for concurrent use.
//
// All errors are *canonical.Error: GatewayStoreUnavailable if the store cannot do
// its work now (with a Message that names the cause and the way out, and a
// RetryAfter), or the code that the method names. After an error nothing has
// changed, unless the connection to a remote store was lost during a commit.
//
// Times are those of the store's own clock (Now), which never goes back, not
// even when the machine's clock does. The gateway works with durations only.
type Store interface {
	// Accept makes an upsert durable: when it returns without an error, the
	// state survives a crash and a loss of power. Many calls share one commit.
	//
	//   - A Key that is on record for another fingerprint: IdempotencyKeyReused.
	//     For the same one: Existing is set, and nothing else happens.
	//   - A Match that does not hold: RequestPreconditionFailed.
	//   - A route whose slot has a later UpdatedAt: Place.Stale; the slot stays.
	//     If all are, nothing is recorded and Version is the one that stands.
	//
	// A slot that is idle, dead, due now, or whose lease is over is leased to the
	// caller if Lease is positive and the route is open (neither paused nor before
	// its NotBefore), and otherwise left due. So is one that only waits for the
	// settle time, to send once more what is confirmed. A slot that rests until a
	// later time or is leased to somebody else only gets a new Desired.
	Accept(ctx context.Context, a Accept) (Accepted, error)

	// Claim leases up to limit slots of an open route whose time has come, those
	// that have waited longest first.
	Claim(ctx context.Context, route string, limit int, lease time.Duration) ([]Lease, error)

	// ClaimSlot leases this one slot if the route is open and its time has come.
	ClaimSlot(ctx context.Context, route, customer string, lease time.Duration) (Lease, bool, error)

	// Finish ends leases: all in one commit or none. It does not wait: when it
	// returns, whatever changes the ledger after it comes after it, and it calls
	// done, once, when the ledger's readers see its effects or it has failed. The
	// results are in the order of the finishes. done must be quick and must not
	// call the store. The effects survive a crash of the process then; a loss of
	// power may take them back, which costs a repetition. Settle waits for them.
	Finish(finishes []Finish, done func([]Finished, error))

	// NextDue returns how long until Claim may find something on the route, zero
	// if it may now, and whether there is anything to wait for. It looks neither
	// at pauses nor at NotBefore.
	NextDue(ctx context.Context, route string) (time.Duration, bool, error)

	// Slot returns one slot. RequestNotFound if there is none.
	Slot(ctx context.Context, route, customer string) (Slot, error)

	// Customer returns everything that is held about one customer.
	// RequestNotFound if that is nothing.
	Customer(ctx context.Context, id string) (Customer, error)

	// Operation returns an accepted upsert with the present slots of its routes.
	// RequestNotFound if it was never accepted or is no longer kept.
	Operation(ctx context.Context, version int64) (Operation, error)

	// DeadLetters lists dead slots, oldest death first, at most Filter.Limit.
	DeadLetters(ctx context.Context, f Filter) ([]DeadLetter, error)

	// Replay makes all dead slots that match due now, with no attempts spent;
	// they send the newest state. It returns how many; Limit does not apply.
	Replay(ctx context.Context, f Filter) (int, error)

	// Resync makes every idle slot of a route due whose newest state is still
	// held, and returns how many; missing counts those whose state is not.
	Resync(ctx context.Context, route string) (due, missing int, err error)

	// SetRoute records a route's pause or hold. A later NotBefore than the one on
	// record wins; a pause is as stated.
	SetRoute(ctx context.Context, r Route) error

	// Routes returns the recorded state of every route that has any.
	Routes(ctx context.Context) ([]Route, error)

	// Backlog counts the slots of every route that has any.
	Backlog(ctx context.Context) ([]Backlog, error)

	// Erase deletes all that is held about a customer: states, results, history,
	// remote ids, keys. What is in flight finishes without a trace.
	// RequestNotFound if nothing is held. What it deletes cannot be read from the
	// store's files any more when it returns.
	Erase(ctx context.Context, id string) error

	// Sweep drops what need not be kept any longer, a bounded part at a time, and
	// reports whether there may be more.
	Sweep(ctx context.Context, s Sweep) (more bool, err error)

	// Ready reports why the store cannot accept now, or nil. It is cheap.
	Ready() error

	// Now is the store's clock.
	Now() time.Time

	// Close ends the store. Calls that are under way finish first.
	Close() error
}

// Settle finishes leases and waits for the results.
func Settle(ctx context.Context, s Store, finishes []Finish) (finished []Finished, err error) {
	ended := make(chan struct{})
	s.Finish(finishes, func(got []Finished, failed error) {
		defer close(ended)
		finished, err = got, failed
	})
	select {
	case <-ended:
		return finished, err
	case <-ctx.Done():
		return nil, &canonical.Error{Code: canonical.GatewayStoreUnavailable, Message: "the ledger did not take the results in time", RetryAfter: time.Second, Err: ctx.Err()}
	}
}

// Accept is one upsert to be made durable.
type Accept struct {
	Customer string
	// Routes are sorted, distinct and at least one.
	Routes []string
	// Payload is the whole state of the customer, as the gateway wrote it down.
	// The store does not look into it.
	Payload []byte
	// UpdatedAt is when the application says the state came about; zero if it
	// does not say.
	UpdatedAt time.Time
	// Strict is kept with the state, for those who send it later.
	Strict bool
	Match  Match
	Key    *Key // nil for none
	// Lease is for how long slots are leased to the caller; 0 leases none.
	Lease time.Duration
}

// Match is a precondition on the customer's version (RFC 9110, section 13.1). The
// zero value demands nothing.
type Match struct {
	// Versions lists those that may stand; nil for any, empty for none.
	Versions []int64
	Known    bool // the customer must be known (If-Match: *)
	Unknown  bool // the customer must not be known (If-None-Match: *)
}

// Key is an idempotency key. Only digests are kept.
type Key struct {
	Scope       string // whose key it is
	Digest      [32]byte
	Fingerprint [32]byte // of the request
	Keep        time.Duration
}

// Accepted is what became of an Accept.
type Accepted struct {
	// Version is larger than every version before it. It names the operation.
	Version  int64
	First    bool // the customer was not known
	Existing bool // the key named the operation Version; nothing was accepted
	// Places are in the order of Accept.Routes; nil if Existing.
	Places []Place
}

// Place is what an Accept found at one route.
type Place struct {
	Route string
	// Lease is nil if the slot is leased to somebody else, rests or is held back.
	// Its Payload is nil: the caller has it.
	Lease *Lease
	// Stale is the version that stands because it has a later UpdatedAt; 0 if
	// this upsert is the newest.
	Stale  int64
	NextAt time.Time // without a Lease: when the slot may be acted on again
}

// Lease is the right to send one state to one provider.
type Lease struct {
	Route, Customer string
	Token           int64
	Version         int64  // of the state
	Payload         []byte // nil if it is no longer held
	Damaged         error  // why Payload is nil although it is held: it cannot be opened (Sealed)
	Strict          bool
	RemoteID        string // the provider's id of the customer, if known
	Identity        []byte // as last given to Finish
	Attempts        int    // with this one
	DueSince        time.Time
	Applied         int64
}

// Verdict is how a lease ended.
type Verdict uint8

// The verdicts.
const (
	Retry   Verdict = iota // not yet: again after Delay
	Applied                // the provider has confirmed the state
	Dead                   // the provider will never take this state
)

// Finish ends a lease.
type Finish struct {
	Route, Customer string
	Token           int64
	Version         int64
	Verdict         Verdict
	// Unsure says that something that was sent under this lease may still take
	// effect later, of whatever verdict: an attempt that timed out may land after
	// the repetition that was confirmed.
	Unsure bool
	// Uncounted gives the attempt back: nothing was tried.
	Uncounted bool
	Delay     time.Duration // of a Retry, at least 0
	// RemoteID is recorded if it is not empty. If it belongs to another customer
	// of the route, the slot is dead with the code UpstreamIdentityConflict.
	RemoteID string
	// Forget drops the recorded remote id, before RemoteID is looked at.
	Forget   bool
	Identity []byte // recorded if it is not nil
	// Code is that of the error, empty for none; Result is for readers of the
	// slot, the store does not look into it.
	Code   canonical.Code
	Result []byte
	// Entry is added to the slot's history; nil for none.
	Entry *Attempt
}

// Finished is what a Finish left behind.
type Finished struct {
	// Lost says that the lease was no longer held; the slot kept its state.
	Lost bool
	// Conflict says that RemoteID belongs to another customer.
	Conflict bool
	State    State
	Desired  int64
	Applied  int64
	Wait     time.Duration // until a due slot may be acted on
}

// State is a slot's state.
type State uint8

// The states.
const (
	Idle State = iota
	Due
	Leased
	DeadLettered
)

// Slot is what is known of one customer at one route.
type Slot struct {
	Route, Customer string
	State           State
	Desired         int64 // the newest state accepted
	Applied         int64 // the newest state confirmed; 0 for none
	InFlight        int64 // the state that was leased last
	Attempts        int   // spent on Desired, or on what is in flight
	NextAt          time.Time
	DueSince        time.Time // when Desired was accepted, or replayed
	AppliedAt       time.Time // zero if never
	RemoteID        string
	// Code and Result are those of the last Finish, which was about the state
	// ResultVersion.
	ResultVersion int64
	Code          canonical.Code
	Result        []byte
}

// Customer is all that is held about one customer.
type Customer struct {
	ID      string
	Version int64  // the newest Desired
	Payload []byte // of Version; nil if it is no longer held
	Damaged error  // why Payload is nil although it is held: it cannot be opened (Sealed)
	Strict  bool
	Slots   []Slot // by route
}

// Operation is one accepted upsert.
type Operation struct {
	Version    int64
	Customer   string
	Routes     []string
	AcceptedAt time.Time
	Strict     bool
	Slots      []Slot // in the order of Routes; Route is empty where it was erased
}

// Attempt is one entry of a slot's history. It holds no customer data.
type Attempt struct {
	At           time.Time
	Version      int64
	Number       int // of the attempt
	Requests     int // sent
	Op           string
	Code         canonical.Code
	Status       int // the provider's
	UpstreamCode string
	RequestID    string
	Took         time.Duration
}

// DeadLetter is a dead slot with its history, oldest first.
type DeadLetter struct {
	Slot
	DiedAt  time.Time
	History []Attempt
}

// Filter selects dead letters; zero members select all.
type Filter struct {
	Route    string
	Routes   []string // any of these; nil for all
	Code     canonical.Code
	Customer string
	Since    time.Time // died at or after
	Until    time.Time // died before
	After    Cursor    // for the next page
	Limit    int
}

// Cursor is a position in the list of dead letters: that of its last one.
type Cursor struct {
	DiedAt          time.Time
	Route, Customer string
}

// Route is the recorded state of a route, shared by all who use the store.
type Route struct {
	Name      string
	Paused    bool
	Reason    string
	NotBefore time.Time // zero for no hold
}

// Backlog counts a route's slots.
type Backlog struct {
	Route  string
	Due    int // waiting, with those that rest until a later time
	Leased int
	Dead   int
	Oldest time.Time // the oldest DueSince of those due or leased; zero for none
}

// Sweep says what need not be kept.
type Sweep struct {
	// Latest keeps the newest state of every slot; otherwise a state is dropped
	// once every slot that wanted it is idle.
	Latest bool
	// Payloads is how old a state must be to be dropped. It must cover the longest
	// lease and the settle time.
	Payloads time.Duration
	// Operations is how long operations and the history of what is no dead letter
	// are kept.
	Operations time.Duration
}
