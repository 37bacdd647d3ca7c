// Package canonical is the language of the gateway: the customer as
// applications state it, the contract between the gateway and the adapters, and
// the closed set of error codes. It imports nothing of the gateway's own.
//
// # The customer
//
// [Customer] is the model. Each of its members is a [Field], which is absent
// (nothing is said), null (clear it) or a value. The struct tags are the schema:
// [DecodeCustomer], which reads and validates in one pass and reports all faults
// at once, [Customer.Leaves], which lists what a customer states, and [Schema],
// from which customer.schema.json is written, all read them.
//
// A place in the schema is a [PathID], written as a pattern such as
// /emails/*/value. Together with a position, [Customer.Pointer] turns it into the
// JSON Pointer (RFC 6901) of what the caller sent.
//
// # The contract
//
// An [Adapter] turns an [Upsert] into a [Request] and a [Reply] into an
// [Outcome]; package mapping does most of it by a table. Bodies are built and read
// as [Value], a JSON tree that keeps the order of members and the digits of
// numbers. Facts about a success are [Notice]s; [Auth] says how requests are
// authenticated, which adapters never see.
//
// # Errors
//
// Every refusal and failure is an [Error] with a [Code] of one table, which also
// holds what follows from it: status, retryability, the circuit breaker's view and
// who must act. [CodeForStatus] and [CodeForPage] classify what no rule of an
// adapter matched; [CleanText] and [Token] make a provider's words fit for callers
// and logs.
package canonical
