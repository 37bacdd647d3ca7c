package transport

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"customer-gateway/canonical"
)

// maxBackoff limits one backoff inside a call; longer ones belong to the
// durable schedule.
const maxBackoff = 5 * time.Second

// checkRetry is retryablehttp's CheckRetry. The attempt's result is in the call.
func checkRetry(ctx context.Context, _ *http.Response, err error) (bool, error) {
	cl := callFrom(ctx)
	return cl != nil && err == nil && cl.again(), nil
}

// backoff is retryablehttp's Backoff: the wait that again has settled.
func backoff(_, _ time.Duration, _ int, resp *http.Response) time.Duration {
	if resp != nil && resp.Request != nil {
		if cl := callFrom(resp.Request.Context()); cl != nil {
			return cl.delay
		}
	}
	return maxBackoff // cannot be: attempts always answers
}

// again decides on another attempt by the code, by whether a repeat is harmless
// and by the time left, never by status or method alone.
func (cl *call) again() bool {
	e := cl.err
	if e == nil || cl.stop || cl.Err() != nil {
		return false
	}
	c := cl.client
	switch kind := e.Code.Info().Retry; kind {
	case canonical.RetryRefresh:
		// A renewed token is not bad luck: it costs neither attempt nor budget.
		if c.tokens == nil || cl.inToken || cl.renewed || !fits(cl, 0) {
			return false
		}
		cl.renewed, cl.delay = true, 0
		c.obs.Retry(e.Op, e.Code)
		return true
	case canonical.RetryNow:
	case canonical.RetryRepeatable, canonical.RetryByStatus:
		if kind == canonical.RetryByStatus && e.Status < 500 {
			return false
		}
		if !cl.repeatable && !cl.inToken {
			return false
		}
	case canonical.RetryLater:
		if e.Code != canonical.UpstreamBusy && e.RetryAt.IsZero() && e.RetryAfter <= 0 {
			return false // a quota without a time: the gate decides
		}
	default:
		return false
	}
	if cl.tries >= c.cfg.Retry.Attempts {
		return false
	}
	cl.delay = jitter(c.cfg.Retry.Base, cl.tries-1)
	now := time.Now()
	if at, named := lowerBound(e, now); named {
		wait := at.Sub(now)
		if wait > c.cfg.MaxWait {
			return false
		}
		cl.delay = max(cl.delay, wait) // a lower bound: never shortened
	}
	if !fits(cl, cl.delay) || !c.budget.withdraw() {
		return false
	}
	c.obs.Retry(e.Op, e.Code)
	return true
}

// jitter is exponential backoff with full jitter.
func jitter(base time.Duration, n int) time.Duration {
	ceiling := maxBackoff
	if n < 16 {
		ceiling = min(base<<max(n, 0), maxBackoff)
	}
	if ceiling <= 0 {
		return 0
	}
	return rand.N(ceiling + 1)
}

// budget bounds retries to a share of the recent first attempts, so that
// retries cannot keep a provider down.
type budget struct {
	share int64
	left  atomic.Int64
}

const (
	budgetUnit = 1000            // one retry
	budgetMax  = 10 * budgetUnit // so many retries may follow a quiet time
)

func (b *budget) deposit() {
	if n := b.left.Load(); n < budgetMax {
		// Callers that race here overshoot by a share each at most.
		b.left.Add(min(b.share, budgetMax-n))
	}
}

func (b *budget) withdraw() bool {
	for {
		n := b.left.Load()
		if n < budgetUnit {
			return false
		}
		if b.left.CompareAndSwap(n, n-budgetUnit) {
			return true
		}
	}
}
