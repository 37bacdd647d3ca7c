package transport

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"customer-gateway/canonical"
)

// issuer is a provider with access tokens, in virtual time.
type issuer struct {
	mu     sync.Mutex
	issued int           // tokens handed out
	valid  int           // the one that is accepted; 0 for the newest, -1 for none
	fixed  bool          // hand out the same token always
	lives  time.Duration // of a token
	slow   time.Duration // the token call takes
	status int           // of the token call, if not 200
	sends  int           // calls other than the token's
	calls  int           // token calls
}

func (s *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/api/token" {
		s.mu.Lock()
		slow := s.slow
		s.calls++
		s.mu.Unlock()
		select {
		case <-time.After(slow):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.status != 0 {
			return reply(s.status, ""), nil
		}
		if !s.fixed || s.issued == 0 {
			s.issued++
		}
		return reply(200, "t"+strconv.Itoa(s.issued)), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sends++
	valid := s.valid
	if valid == 0 {
		valid = s.issued
	}
	if r.Header.Get("Authorization") != "Bearer t"+strconv.Itoa(valid) {
		return reply(401, ""), nil
	}
	return reply(200, ""), nil
}

func (s *issuer) auth() canonical.Auth {
	return canonical.Auth{Token: &canonical.TokenAuth{
		Request: canonical.Request{Op: "token", Method: "POST", Path: "/token", Body: []byte("key=s3cret")},
		Read: func(got *canonical.Reply) (canonical.Secret, time.Duration, error) {
			if got.Status != 200 {
				return "", 0, &canonical.Error{Code: canonical.CodeForStatus(got.Status)}
			}
			return canonical.Secret(got.Body), s.lives, nil
		},
		Lifetime: time.Hour, Header: "Authorization", Prefix: "Bearer ",
	}}
}

func TestTokenIsFetchedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{slow: time.Second}
		c := open(t, Config{Base: s}, s.auth(), nil)
		var wg sync.WaitGroup
		impatient, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		wg.Go(func() { wantCode(t, c.Do(impatient, put, status), canonical.RouteDeadline) })
		synctest.Wait() // the impatient caller has begun the token call
		for range 20 {
			wg.Go(func() { wantCode(t, c.Do(t.Context(), put, status), "") })
		}
		wg.Wait()
		if s.calls != 1 || s.sends != 20 {
			t.Errorf("%d token calls, %d sends, want 1 and 20", s.calls, s.sends)
		}
	})
}

func TestTokenIsRenewedAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{lives: 1000 * time.Second, valid: 1}
		c := open(t, Config{Base: s}, s.auth(), nil)
		wantCode(t, c.Do(t.Context(), put, status), "")
		time.Sleep(950 * time.Second)
		s.mu.Lock()
		s.slow = 2 * time.Second
		s.mu.Unlock()
		begin := time.Now()
		for range 3 {
			wantCode(t, c.Do(t.Context(), put, status), "") // with the old one
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("calls waited %v for a renewal they did not need", took)
		}
		time.Sleep(3 * time.Second)
		s.mu.Lock()
		s.valid = 2
		s.mu.Unlock()
		wantCode(t, c.Do(t.Context(), put, status), "")
		if s.calls != 2 || s.sends != 5 {
			t.Errorf("%d token calls, %d sends, want 2 and 5", s.calls, s.sends)
		}
	})
}

func TestFailedRenewalAheadIsPaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{lives: 1000 * time.Second}
		c := open(t, Config{Base: s}, s.auth(), nil)
		wantCode(t, c.Do(t.Context(), put, status), "")
		time.Sleep(950 * time.Second)
		s.mu.Lock()
		s.status = 401
		s.mu.Unlock()
		for range 100 {
			wantCode(t, c.Do(t.Context(), put, status), "")
			time.Sleep(100 * time.Millisecond)
		}
		if s.calls > 4 {
			t.Errorf("%d token calls in ten seconds", s.calls)
		}
		if g := c.State().Gate; g != "" {
			t.Errorf("gate %q while the old token is accepted", g)
		}
		time.Sleep(time.Minute) // now it is needed
		wantCode(t, c.Do(t.Context(), put, status), canonical.UpstreamUnauthenticated)
		wantCode(t, c.Do(t.Context(), put, status), canonical.RouteCredentialGated)
	})
}

// An attempt with a refused token is made up for: it does not count against the
// attempts that the route allows.
func TestRefusedTokenCostsNoAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{valid: 1}
		failures := 0
		c := open(t, Config{Retry: Retry{Attempts: 2, Base: 1}, Base: fake(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Authorization") == "Bearer t2" && failures < 1 {
				failures++
				return reply(503, ""), nil
			}
			return s.RoundTrip(r)
		})}, s.auth(), nil)
		wantCode(t, c.Do(t.Context(), put, status), "")
		s.mu.Lock()
		s.valid = 2 // revoked
		s.mu.Unlock()
		if res := c.Do(t.Context(), put, status); res.Err != nil || res.Attempts != 3 {
			t.Errorf("refused token, 503, success: %v after %d attempts, want success after 3", res.Err, res.Attempts)
		}
	})
}

func TestRefusedTokenIsRenewedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, w := &issuer{valid: 1}, &watcher{}
		c := open(t, Config{Base: s}, s.auth(), w)
		wantCode(t, c.Do(t.Context(), post, status), "")
		s.mu.Lock()
		s.valid = 2 // revoked
		s.mu.Unlock()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { wantCode(t, c.Do(t.Context(), post, status), "") })
		}
		wg.Wait()
		if s.calls != 2 {
			t.Errorf("%d token calls, want 2", s.calls)
		}
		if st := c.State(); st.Gate != "" || st.Breaker != BreakerClosed {
			t.Errorf("State = %+v, want open for business", st)
		}
	})
}

func TestRenewalThatDoesNotHelpClosesTheGate(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*issuer{"new token": {valid: -1}, "same token": {valid: -1, fixed: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := open(t, Config{Base: s, Retry: Retry{Attempts: 3}}, s.auth(), nil)
				res := c.Do(t.Context(), put, status)
				wantCode(t, res, canonical.UpstreamUnauthenticated)
				sends := 2
				if s.fixed {
					sends = 1 // there was nothing new to try
				}
				if s.sends != sends || s.calls != 2 || res.Attempts != sends {
					t.Errorf("%d sends, %d token calls, want %d and 2", s.sends, s.calls, sends)
				}
				wantCode(t, c.Do(t.Context(), put, status), canonical.RouteCredentialGated)
			})
		})
	}
}

func TestFailedTokenCall(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		s     *issuer
		want  canonical.Code
		calls int
		gate  Gate
	}{
		{"refused credential", &issuer{status: 401}, canonical.UpstreamUnauthenticated, 1, GateCredential},
		{"out of order", &issuer{status: 503}, canonical.UpstreamUnavailable, 2, ""},
		{"quota", &issuer{status: 429}, canonical.UpstreamRateLimited, 1, GateNotBefore},
		{"hangs", &issuer{slow: time.Hour}, canonical.UpstreamUnreachable, 2, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := open(t, Config{Base: tt.s, Retry: Retry{Attempts: 2}}, tt.s.auth(), nil)
				// A POST: the token call is repeated all the same, as nothing of
				// the customer was in it.
				res := c.Do(t.Context(), post, status)
				wantCode(t, res, tt.want)
				if res.Err.Op != "token" || res.Err.Final || res.Attempts != 0 || tt.s.sends != 0 || tt.s.calls != tt.calls {
					t.Errorf("%d token calls, %d sends, %+v", tt.s.calls, tt.s.sends, res)
				}
				if g := c.State().Gate; g != tt.gate {
					t.Errorf("gate = %q, want %q", g, tt.gate)
				}
				if strings.Contains(res.Err.Message+res.Err.Error(), "s3cret") {
					t.Error("the error tells the credential")
				}
			})
		})
	}
}

// TestTokenCallPassesHalfOpenBreaker has an expired token meet a half-open
// breaker, which admits one call at a time.
func TestTokenCallPassesHalfOpenBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{lives: time.Minute}
		var base http.RoundTripper = s
		c := open(t, Config{Breaker: Breaker{MinRequests: 1}, Limit: Limit{Rate: 1, Burst: 4},
			Base: fake(func(r *http.Request) (*http.Response, error) { return base.RoundTrip(r) })}, s.auth(), nil)
		wantCode(t, c.Do(t.Context(), put, status), "")
		base = &answers{status: 500}
		for c.State().Breaker != BreakerOpen {
			c.Do(t.Context(), put, status)
		}
		base = s
		time.Sleep(2 * time.Minute)
		before := c.State().Tokens
		wantCode(t, c.Do(t.Context(), put, status), "")
		if spent := before - c.State().Tokens; spent != 2 {
			t.Errorf("%v limiter tokens spent, want 2", spent)
		}
		if s.calls != 2 || c.State().Breaker != BreakerClosed {
			t.Errorf("%d token calls, breaker %v", s.calls, c.State().Breaker)
		}
	})
}

func TestCloseEndsTokenCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{slow: time.Hour}
		c := open(t, Config{Base: s}, s.auth(), nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantCode(t, c.Do(ctx, put, status), canonical.RouteDeadline)
		begin := time.Now()
		c.Close()
		if time.Since(begin) != 0 {
			t.Errorf("Close took %v", time.Since(begin))
		}
		wantCode(t, c.Do(t.Context(), put, status), canonical.RouteDeadline)
	})
}

func TestInvalidateSparesNewerToken(t *testing.T) {
	t.Parallel()
	s := &tokens{}
	old, newer := newToken("a", time.Now(), time.Hour), newToken("b", time.Now(), time.Hour)
	s.current.Store(newer)
	s.invalidate(old)
	if s.current.Load() != newer {
		t.Error("the refusal of an old token dropped the new one")
	}
	s.invalidate(newer)
	if s.current.Load() != nil {
		t.Error("the refused token stayed")
	}
}
