package gateway

import (
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

// Customer is the sync state of one customer, as the ledger knows it.
type Customer struct {
	ID      string
	Version int64 // of the newest state
	Routes  []Sync
}

// Sync is what one route has of a customer.
type Sync struct {
	Route    string
	Provider string    // empty if the route is no longer configured
	State    SyncState // how far it is
	Desired  int64     // the newest version accepted for the route
	Applied  int64     // the newest version confirmed; 0 for none
	// AppliedAt is when Applied was confirmed; zero for never.
	AppliedAt time.Time
	RemoteID  string
	Attempts  int // spent on Desired so far
	// NextAttemptAt is when the gateway goes on by itself; zero if nothing is
	// left to do, or if it is at work now.
	NextAttemptAt time.Time
	// Err is why Desired is not there yet; nil if it is.
	Err *canonical.Error
	// Warnings are those of the last attempt.
	Warnings []canonical.Notice
}

// SyncState is how far a route is with a customer.
type SyncState string

// The sync states.
const (
	Synced  SyncState = "synced"  // the newest state is confirmed, and nothing is left to do
	Pending SyncState = "pending" // it is on its way, or is sent once more to be sure
	Dead    SyncState = "dead"    // it is a dead letter
)

// DeadLetter is a state that a provider never took.
type DeadLetter struct {
	Route       string
	Provider    string // empty if the route is no longer configured
	CustomerID  string
	OperationID string // of the state
	Version     int64
	DiedAt      time.Time
	Attempts    int
	Err         *canonical.Error
	History     []ledger.Attempt // oldest first
}

// Backlog is what a route still has to do.
type Backlog struct {
	Due    int `json:"due"`    // waiting for their time or their turn
	Active int `json:"active"` // being worked on
	Dead   int `json:"dead"`
	// Oldest is when the oldest of those due or active was accepted.
	Oldest time.Time `json:"oldest,omitzero"`
}
