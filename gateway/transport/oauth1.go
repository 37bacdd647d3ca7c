package transport

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"customer-gateway/canonical"
)

// oauth1 signs requests by RFC 5849 with HMAC-SHA256.
type oauth1 struct {
	consumer, token string // percent-encoded
	key             []byte
}

func newOAuth1(a *canonical.OAuth1) *oauth1 {
	return &oauth1{
		consumer: escape(a.ConsumerKey.Reveal()),
		token:    escape(a.Token.Reveal()),
		key:      []byte(escape(a.ConsumerSecret.Reveal()) + "&" + escape(a.TokenSecret.Reveal())),
	}
}

// header returns the Authorization value for one attempt. A nonce is never used
// twice, or the provider would take a retry for a replay.
func (o *oauth1) header(r *http.Request, body []byte) string {
	return o.sign(r, body, rand.Text(), time.Now().Unix())
}

func (o *oauth1) sign(r *http.Request, body []byte, nonce string, at int64) string {
	own := [][2]string{
		{"oauth_consumer_key", o.consumer},
		{"oauth_nonce", escape(nonce)},
		{"oauth_signature_method", "HMAC-SHA256"},
		{"oauth_timestamp", strconv.FormatInt(at, 10)},
		{"oauth_token", o.token},
		{"oauth_version", "1.0"},
	}
	params := appendForm(slices.Clone(own), r.URL.RawQuery)
	if isForm(r.Header.Get("Content-Type")) {
		params = appendForm(params, string(body))
	}
	mac := hmac.New(sha256.New, o.key)
	mac.Write([]byte(baseString(r, params)))
	signature := escape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))

	var b strings.Builder
	b.WriteString("OAuth ")
	for _, p := range own {
		b.WriteString(p[0] + `="` + p[1] + `", `)
	}
	b.WriteString(`oauth_signature="` + signature + `"`)
	return b.String()
}

// baseString is RFC 5849, section 3.4.1. Its parameters are encoded already.
func baseString(r *http.Request, params [][2]string) string {
	slices.SortFunc(params, func(a, b [2]string) int {
		if n := strings.Compare(a[0], b[0]); n != 0 {
			return n
		}
		return strings.Compare(a[1], b[1])
	})
	var normal strings.Builder
	for i, p := range params {
		if i > 0 {
			normal.WriteByte('&')
		}
		normal.WriteString(p[0] + "=" + p[1])
	}
	host := strings.ToLower(r.URL.Host)
	switch r.URL.Scheme {
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "https":
		host = strings.TrimSuffix(host, ":443")
	}
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	return strings.ToUpper(r.Method) + "&" + escape(r.URL.Scheme+"://"+host+path) + "&" + escape(normal.String())
}

// appendForm decodes a query or form and appends it in OAuth's own encoding.
func appendForm(params [][2]string, form string) [][2]string {
	for pair := range strings.SplitSeq(form, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		params = append(params, [2]string{escape(unescape(k)), escape(unescape(v))})
	}
	return params
}

func unescape(s string) string {
	if t, err := url.QueryUnescape(s); err == nil {
		return t
	}
	return s
}

func isForm(contentType string) bool {
	contentType, _, _ = strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(contentType), "application/x-www-form-urlencoded")
}

// escape is RFC 5849, section 3.6: everything but unreserved characters, with
// upper-case digits. It differs from url.QueryEscape.
func escape(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}
