package canonical

import (
	"strings"
	"testing"

	"golang.org/x/text/language"
)

// emailTests are shared with the schema; decoderOnly marks what its patterns
// cannot say.
var emailTests = []struct {
	email       string
	want        bool
	decoderOnly bool
}{
	{email: "jane@example.com", want: true},
	{email: "jane.doe+tag@sub.example.co.uk", want: true},
	{email: "!#$%&'*+-/=?^_`{|}~@example.com", want: true},
	{email: "jörg@müller.example", want: true},
	{email: "用户@例子.公司", want: true},
	{email: "a@xn--bcher-kva.example", want: true},
	{email: "a@b.c", want: true},
	{email: "a@1.2.3.4", want: true},
	{email: strings.Repeat("x", 64) + "@example.com", want: true},
	{email: "a@" + strings.Repeat("y", 63) + ".com", want: true},
	{email: ""},
	{email: "jane"},
	{email: "@example.com"},
	{email: "jane@"},
	{email: "jane@localhost"},
	{email: "jane@@example.com"},
	{email: "jane@a@example.com"},
	{email: ".jane@example.com"},
	{email: "jane.@example.com"},
	{email: "ja..ne@example.com"},
	{email: "jane@.example.com"},
	{email: "jane@example.com."},
	{email: "jane@example..com"},
	{email: "jane@-example.com"},
	{email: "jane@example-.com"},
	{email: "jane@sub.-example.com"},
	{email: "jane@exa_mple.com"},
	{email: "jane@exa mple.com"},
	{email: "jane@[192.0.2.1]"},
	{email: "jane@example.com/path"},
	{email: `"jane doe"@example.com`},
	{email: "jane doe@example.com"},
	{email: " jane@example.com"},
	{email: "jane@example.com "},
	{email: "Jane <jane@example.com>"},
	{email: "jane@example.com, kim@example.com"},
	{email: "mailto:jane@example.com"},
	{email: strings.Repeat("x", 65) + "@example.com"},
	{email: "a@" + strings.Repeat("y", 64) + ".com"},
	{email: "a@" + strings.Repeat("yyyyyyy.", 32) + "com"},
	{email: "jane\u00a0doe@example.com", decoderOnly: true},
	{email: "jane@exam\u3000ple.com", decoderOnly: true},
	{email: strings.Repeat("ü", 33) + "@example.com", decoderOnly: true},
}

func TestEmail(t *testing.T) {
	t.Parallel()
	for _, test := range emailTests {
		if got := checkEmail(test.email) == ""; got != test.want {
			t.Errorf("checkEmail(%q) accepts: %v, want %v", test.email, got, test.want)
		}
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	tests := []struct {
		format string
		good   []string
		bad    []string
	}{
		{"phone", []string{"+1234", "+14155550100", "+123456789012345"},
			[]string{"", "+", "+123", "+1234567890123456", "14155550100", "0014155550100", "+04155550100", "+1 415 555", "+1415-555", "+1415555010a", "+１２３４５６"}},
		{"country", []string{"DE", "US", "XK"}, []string{"", "D", "DEU", "de", "De", "UK", "EU", "XX", "ZZ", "AA", "QO", "SU", "AN", "12", "ÄÖ", "D\x00"}},
		{"locale", []string{"fr", "fr-FR", "zh-Hant-TW", "de-CH-1996", "es-419", "en-US-u-ca-gregory", "sr-Latn"},
			[]string{"", "fr_FR", "french", "f", "fr-", "-fr", "fr--FR", "en US", "xx-QQ", "fr-FR\n"}},
		{"uri", []string{"https://example.com", "http://example.com:8080/a?b=c#d", "https://user@example.com/", "https://[2001:db8::1]/x", "android-app://com.example/x", "https://例子.公司/ü"},
			[]string{"", "example.com", "/path", "//example.com/x", "https://", "https:///x", "http://:80/", "mailto:a@b.c", "javascript:alert(1)", "https://exa mple.com", "https://example.com/<b>", "https://example.com/%zz", "https://example.com:port/"}},
	}
	for _, test := range tests {
		check := formats[test.format].check
		for _, s := range test.good {
			if problem := check(s); problem != "" {
				t.Errorf("%s %q: %s", test.format, s, problem)
			}
		}
		for _, s := range test.bad {
			if check(s) == "" {
				t.Errorf("%s takes %q", test.format, s)
			}
		}
	}
}

// TestLocalePairs holds that the short way of checkLocale takes what the parser
// takes.
func TestLocalePairs(t *testing.T) {
	t.Parallel()
	for i := range 26 * 26 {
		pair := string([]byte{'a' + byte(i/26), 'a' + byte(i%26)})
		for _, s := range []string{pair, pair + "-DE", pair + "-ZZ", "de-" + strings.ToUpper(pair), "en-" + strings.ToUpper(pair)} {
			_, err := language.Parse(s)
			if got, want := checkLocale(s) == "", err == nil; got != want {
				t.Errorf("checkLocale(%q) takes it: %v, want %v", s, got, want)
			}
		}
	}
}

// assigned are the officially assigned codes of ISO 3166-1 alpha-2, typed out.
const assigned = `
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ
BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ
DE DJ DK DM DO DZ
EC EE EG EH ER ES ET
FI FJ FK FM FO FR
GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY
HK HM HN HR HT HU
ID IE IL IM IN IO IQ IR IS IT
JE JM JO JP
KE KG KH KI KM KN KP KR KW KY KZ
LA LB LC LI LK LR LS LT LU LV LY
MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ
NA NC NE NF NG NI NL NO NP NR NU NZ
OM
PA PE PF PG PH PK PL PM PN PR PS PT PW PY
QA
RE RO RS RU RW
SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ
TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ
UA UG UM US UY UZ
VA VC VE VG VI VN VU
WF WS
YE YT
ZA ZM ZW`

func TestCountries(t *testing.T) {
	t.Parallel()
	want := strings.Fields(assigned)
	if len(want) != 249 {
		t.Fatalf("the list has %d countries, want 249", len(want))
	}
	known := map[string]bool{"XK": true}
	for _, code := range want {
		known[code] = true
	}
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			code := string([]rune{a, b})
			if got := checkCountry(code) == ""; got != known[code] {
				t.Errorf("checkCountry(%q) accepts: %v, want %v", code, got, known[code])
			}
		}
	}
	if got := len(countries()); got != 250 {
		t.Errorf("countries() has %d codes, want 249 and XK", got)
	}
}

func TestParseDate(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]Date{
		"2024-02-29": {2024, 2, 29},
		"0001-01-01": {1, 1, 1},
		"9999-12-31": {9999, 12, 31},
		"1900-12-01": {1900, 12, 1},
	} {
		got, err := ParseDate(s)
		if err != nil || got != want || got.String() != s {
			t.Errorf("ParseDate(%q) = %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "2023-02-29", "1900-02-29", "2024-04-31", "0000-01-01", "2024-00-01", "2024-1-01", "2024-01-1", "24-01-01", "12024-01-01", "2024/01/01", "2024-01-01Z", " 2024-01-01", "2024-01-01\n", "-001-01-01"} {
		if got, err := ParseDate(s); err == nil {
			t.Errorf("ParseDate(%q) = %v, want an error", s, got)
		}
	}
}

func TestTimestamp(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"2026-01-31T09:30:00Z":                "2026-01-31T09:30:00Z",
		"2026-01-31T09:30:00.5Z":              "2026-01-31T09:30:00.5Z",
		"2026-01-31T09:30:00.123456789Z":      "2026-01-31T09:30:00.123456789Z",
		"2026-01-31T09:30:00.1234567891Z":     "2026-01-31T09:30:00.123456789Z",
		"2020-02-29T23:59:59+01:00":           "2020-02-29T22:59:59Z",
		"2020-02-29T23:59:59-23:59":           "2020-03-01T23:58:59Z",
		"2026-01-31T09:30:00+00:00":           "2026-01-31T09:30:00Z",
		"2026-01-31T09:30:00-00:00":           "2026-01-31T09:30:00Z",
		"0001-01-01T00:00:00Z":                "0001-01-01T00:00:00Z",
		"2026-01-31T09:30:00.000000000-08:00": "2026-01-31T17:30:00Z",
	} {
		got, err := parseTimestamp(s)
		if err != nil || got.String() != want {
			t.Errorf("parseTimestamp(%q) = %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "Z", "2026-01-31", "2026-01-31T09:30:00", "2026-01-31T09:30Z", "2026-01-31t09:30:00z", "2026-01-31 09:30:00Z", "2026-01-31T9:30:00Z", "2026-01-31T09:30:00,5Z", "2026-01-31T09:30:00.Z",
		"2026-01-31T24:00:00Z", "2026-01-31T23:60:00Z", "2026-01-31T23:59:60Z", "2026-02-30T00:00:00Z", "0000-01-01T00:00:00Z", "2026-01-31T09:30:00+24:00", "2026-01-31T09:30:00+23:60", "2026-01-31T09:30:00+1:00", "2026-01-31T09:30:00+0100",
		"0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "2026-01-31T09:30:00 UTC", "2026-01-31T09:30:00Z\n"} {
		if got, err := parseTimestamp(s); err == nil {
			t.Errorf("parseTimestamp(%q) = %v, want an error", s, got)
		}
	}
}

func TestCheckID(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"a", "cust/1", "ü", " ", "a b", strings.Repeat("🎉", 128)} {
		if err := CheckID(id); err != nil {
			t.Errorf("CheckID(%q) = %v", id, err)
		}
	}
	for _, id := range []string{"", ".", "..", "a\nb", "a\x00", "\x7f", "\u009f", "\xff", strings.Repeat("a", 129)} {
		if CheckID(id) == nil {
			t.Errorf("CheckID(%q) = nil, want an error", id)
		}
	}
}
