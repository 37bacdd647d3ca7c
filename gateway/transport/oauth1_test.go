package transport

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"customer-gateway/canonical"
)

// TestBaseString is the example of RFC 5849, section 3.4.1.1.
func TestBaseString(t *testing.T) {
	t.Parallel()
	u, _ := url.Parse("http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b")
	r := &http.Request{Method: "post", URL: u}
	params := appendForm(nil, u.RawQuery)
	params = appendForm(params, "c2&a3=2+q")
	params = appendForm(params, "oauth_consumer_key=9djdj82h48djs9d2&oauth_token=kkk9d7dh3k39sjv7&oauth_signature_method=HMAC-SHA1&oauth_timestamp=137131201&oauth_nonce=7d8f3e4a")
	const want = `POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q` +
		`%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D%26oauth_consumer_` +
		`key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_m` +
		`ethod%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk` +
		`9d7dh3k39sjv7`
	if got := baseString(r, params); got != want {
		t.Errorf("baseString =\n%s\nwant\n%s", got, want)
	}
}

// TestOAuth1Signature signs the RFC's example, whose base string is written out
// here, and computes the expected signature independently.
func TestOAuth1Signature(t *testing.T) {
	t.Parallel()
	o := newOAuth1(&canonical.OAuth1{ConsumerKey: "9djdj82h48djs9d2", ConsumerSecret: "j49sk3j29djd&", Token: "kkk9d7dh3k39sjv7", TokenSecret: "dh893hdasih9"})
	u, _ := url.Parse("https://example.com/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b")
	r := &http.Request{Method: "POST", URL: u, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}}}
	base := `POST&https%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D` +
		`%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA256` +
		`%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7%26oauth_version%3D1.0`
	mac := hmac.New(sha256.New, []byte("j49sk3j29djd%26&dh893hdasih9"))
	fmt.Fprint(mac, base)
	want := url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	got := o.sign(r, []byte("c2&a3=2+q"), "7d8f3e4a", 137131201)
	if !strings.HasPrefix(got, `OAuth oauth_consumer_key="9djdj82h48djs9d2", `) || !strings.HasSuffix(got, `, oauth_signature="`+want+`"`) {
		t.Errorf("sign = %s, want signature %s", got, want)
	}
	// A JSON body is not part of the signature.
	r.Header.Set("Content-Type", "application/json")
	if o.sign(r, []byte(`{"a":1}`), "n", 1) != o.sign(r, nil, "n", 1) {
		t.Error("a JSON body changed the signature")
	}
}

func TestOAuth1SignsEveryAttemptAnew(t *testing.T) {
	t.Parallel()
	nonce := regexp.MustCompile(`oauth_nonce="([^"]+)"`)
	seen := map[string]bool{}
	c := open(t, Config{Retry: Retry{Attempts: 3, Base: 1}, Base: fake(func(r *http.Request) (*http.Response, error) {
		m := nonce.FindStringSubmatch(r.Header.Get("Authorization"))
		if m == nil || seen[m[1]] {
			t.Errorf("Authorization %q has no fresh nonce", r.Header.Get("Authorization"))
			return reply(500, ""), nil
		}
		seen[m[1]] = true
		return reply(500, ""), nil
	})}, canonical.Auth{OAuth1: &canonical.OAuth1{ConsumerKey: "a", ConsumerSecret: "b", Token: "c", TokenSecret: "d"}}, nil)
	c.Do(t.Context(), put, status)
	if len(seen) != 3 {
		t.Errorf("%d nonces, want 3", len(seen))
	}
}
