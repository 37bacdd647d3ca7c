// Package canonical is the language of the gateway: the customer as
// applications state it, the contract between the gateway and the adapters, and
// the closed set of error codes. It imports nothing of the gateway's own.
package canonical
