package canonical

import (
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestIsHTML(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, contentType, body string
		want                    bool
	}{
		{"doctype", "", "<!DOCTYPE html><p>x", true},
		{"doctype in lower case after space", "application/json", "\n  <!doctype HTML>", true},
		{"html", "", "<HTML lang=en>", true},
		{"head", "", "<head><title>", true},
		{"comment, then body", "", "<!-- x --><div></div><body class=a>", true},
		{"fragment that says so", "text/html; charset=utf-8", "<p>Sorry</p>", true},
		{"fragment that does not", "", "<p>Sorry</p>", false},
		{"JSON that says it is HTML", "text/html", `{"a":1}`, false},
		{"XML", "application/xml", `<?xml version="1.0"?><response/>`, false},
		{"empty", "text/html", "", false},
		{"text", "text/plain", "body", false},
	}
	for _, test := range tests {
		r := &Reply{Header: http.Header{"Content-Type": {test.contentType}}, Body: []byte(test.body)}
		if got := r.IsHTML(); got != test.want {
			t.Errorf("%s: IsHTML = %v, want %v", test.name, got, test.want)
		}
	}
	if (&Reply{}).IsHTML() {
		t.Error("a Reply without header and body is HTML")
	}
}

func TestReplyJSON(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{`{"a":1}`: true, `null`: true, "\xef\xbb\xbf{}": true, `{"a":1,"a":2}`: true, ``: false, ` `: false, `<html>`: false, `{"a":`: false, `{} x`: false} {
		if _, got := (&Reply{Body: []byte(body)}).JSON(); got != want {
			t.Errorf("JSON of %q: %v, want %v", body, got, want)
		}
	}
}

func TestCodeForPage(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]Code{
		400: UpstreamUnclassified, 401: UpstreamUnauthenticated, 403: UpstreamForbidden, 404: UpstreamMisconfigured, 409: UpstreamUnclassified,
		422: UpstreamUnclassified, 429: UpstreamRateLimited, 503: UpstreamUnavailable, 522: UpstreamUnavailable, 200: UpstreamInvalidResponse, 302: UpstreamInvalidResponse,
	} {
		if got := CodeForPage(&Reply{Status: status}); got != want {
			t.Errorf("CodeForPage(%d) = %s, want %s", status, got, want)
		}
	}
}

func TestCleanText(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"", ""},
		{`"postcode" is required. Enter and try again.`, `"postcode" is required. Enter and try again.`},
		{"  two\r\n\tlines \u200b here ", "two lines here"},
		{"a < b and c > d", "a < b and c > d"},
		{"<p>Sorry,<br/>try <a href='x'>later</a></p>", "Sorry, try later"},
		{"bad\xffbyte", "bad\uFFFDbyte"},
		{"null\x00byte", "null byte"},
		{"boom\n#0 /var/www/html/app/code/Foo.php(12): Foo->bar()\n#1 {main}", "boom"},
		{"boom\n\tat com.example.Foo.bar(Foo.java:12)\n\tat x.Y.z(Y.java:1)", "boom"},
		{"boom Traceback (most recent call last): File x", "boom"},
		{"panic goroutine 1 [running]: main.main()", "panic"},
		{"in /var/www/magento/vendor/Model.php:120 it broke", "in (path) it broke"},
		{"see https://docs.example.com/errors", "see https://docs.example.com/errors"},
		{"header Authorization: Bearer abcdefghijklmnop failed", "header Authorization: Bearer *** failed"},
		{"Bearer abcdefghijklmnop1234", "Bearer ***"},
		{`api_key="sk_live_0123456789abcdef"`, `api_key="***"`},
		{"oauth_token=0123456789abcdef0123", "oauth_token=***"},
		{"the token is expired", "the token is expired"},
		{"see https://kim:pw@example.com/x?token=abcdef&page=1", "see https://***@example.com/x?token=***&page=1"},
		{`no class in /var/www/html/vendor/magento/framework, "/opt/api/server.jar:12"`, `no class in (path), "(path)"`},
		{`in C:\inetpub\wwwroot\web.config`, "in (path)"},
		{"/home/city and /addresses/0/city must be texts; see https://example.com/opt/in/now", "/home/city and /addresses/0/city must be texts; see https://example.com/opt/in/now"},
		{"password=min 8", "password=min 8"},
	}
	for _, test := range tests {
		if got := CleanText(test.in); got != test.want {
			t.Errorf("CleanText(%q) = %q, want %q", test.in, got, test.want)
		}
	}
	for _, in := range []string{strings.Repeat("ü", 600), strings.Repeat("a b", 100_000), strings.Repeat("<", 100_000), strings.Repeat("\xff", 10_000)} {
		got := CleanText(in)
		if n := utf8.RuneCountInString(got); n > 500 || !utf8.ValidString(got) {
			t.Errorf("CleanText(%.10q…) has %d characters, valid %v", in, n, utf8.ValidString(got))
		}
	}
	if got := CleanText(strings.Repeat("ü", 500)); got != strings.Repeat("ü", 500) {
		t.Error("500 characters are cut")
	}
	if got := CleanText(strings.Repeat("ü", 501)); !strings.HasSuffix(got, "ü…") {
		t.Errorf("501 characters are cut to …%q", got[len(got)-8:])
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "ERR-ADDR-002", "req_01J/ab.c:9+=", "6c9b3a4b-17", strings.Repeat("a", 128)} {
		if got := Token(s); got != s {
			t.Errorf("Token(%q) = %q", s, got)
		}
	}
	for _, s := range []string{"two words", "kim@example.com", "a\nb", "ü", "<b>", "a\x00", strings.Repeat("a", 129)} {
		if got := Token(s); got != "" {
			t.Errorf("Token(%q) = %q, want nothing", s, got)
		}
	}
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	e := Refusal("april", &Request{Op: "upsert"}, &Reply{Status: 400}, UpstreamInvalid, "<b>no</b>")
	if e.Provider != "april" || e.Op != "upsert" || e.Status != 400 || e.Code != UpstreamInvalid || e.Message != "no" {
		t.Errorf("Refusal = %+v", e)
	}
}
