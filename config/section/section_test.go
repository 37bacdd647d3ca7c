package section_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/config/section"
)

type inner struct {
	Name string            `koanf:"name"`
	Port uint16            `koanf:"port"`
	Tags map[string]string `koanf:"tags"`
}

type common struct {
	Region string `koanf:"region"`
}

type outer struct {
	common  `koanf:",squash"`
	Title   string           `koanf:"title"`
	On      bool             `koanf:"on"`
	Count   int              `koanf:"count"`
	Small   int8             `koanf:"small"`
	Ratio   float64          `koanf:"ratio"`
	Timeout time.Duration    `koanf:"timeout"`
	Rate    section.Rate     `koanf:"rate"`
	Maybe   *section.Rate    `koanf:"maybe"`
	Size    section.Size     `koanf:"size"`
	Secret  canonical.Secret `koanf:"secret"`
	List    []string         `koanf:"list"`
	Ports   []int            `koanf:"ports"`
	Rates   []section.Rate   `koanf:"rates"`
	Inner   inner            `koanf:"inner"`
	Inners  []inner          `koanf:"inners"`
	Named   map[string]inner `koanf:"named"`
	Any     map[string]any   `koanf:"any"`
	hidden  string
	Skipped string `koanf:"-"`
}

var _ = outer{}.hidden // it is there to be left alone

func TestDecode(t *testing.T) {
	t.Parallel()
	perMinute := section.Rate{Count: 300, Per: time.Minute}
	for _, tt := range []struct {
		name string
		in   map[string]any
		want outer
	}{
		{"nothing", nil, outer{}},
		{"null keeps", map[string]any{"title": nil, "maybe": nil, "list": nil, "inner": nil}, outer{}},
		{"typed", map[string]any{"title": "a", "on": true, "count": 3, "small": -128, "ratio": 0.5, "region": "eu"},
			outer{common: common{"eu"}, Title: "a", On: true, Count: 3, Small: -128, Ratio: 0.5}},
		{"whole number as float field", map[string]any{"ratio": 1}, outer{Ratio: 1}},
		{"texts", map[string]any{"on": "true", "count": "3", "ratio": "0.5", "timeout": "1m30s", "list": "a, b", "ports": "1,2", "rates": "1/s,off"},
			outer{On: true, Count: 3, Ratio: 0.5, Timeout: 90 * time.Second, List: []string{"a", "b"}, Ports: []int{1, 2},
				Rates: []section.Rate{{Count: 1, Per: time.Second}, {}}}},
		{"empty text as list", map[string]any{"list": ""}, outer{List: []string{}}},
		{"zero duration", map[string]any{"timeout": 0}, outer{}},
		{"own types", map[string]any{"rate": "300/m", "maybe": "300/m", "size": "512KiB"},
			outer{Rate: perMinute, Maybe: &perMinute, Size: 512 * section.KiB}},
		{"own types from numbers", map[string]any{"maybe": 0, "size": uint64(1048576)},
			outer{Maybe: &section.Rate{}, Size: section.MiB}},
		{"off is stated", map[string]any{"maybe": "off"}, outer{Maybe: &section.Rate{}}},
		{"secret from text", map[string]any{"secret": "s3"}, outer{Secret: "s3"}},
		{"secret from secret", map[string]any{"secret": canonical.Secret("s3")}, outer{Secret: "s3"}},
		{"go values", map[string]any{"timeout": time.Second, "rate": perMinute, "maybe": perMinute, "size": section.KiB, "list": []string{"a"}},
			outer{Timeout: time.Second, Rate: perMinute, Maybe: &perMinute, Size: section.KiB, List: []string{"a"}}},
		{"nested", map[string]any{
			"inner":  map[string]any{"name": "x", "tags": map[string]string{"a.b": "c"}},
			"inners": []any{map[string]any{"port": 65535}, map[string]any{"name": "z"}},
			"named":  map[string]any{"k": map[string]any{"name": "y"}, "0": nil},
			"any":    map[string]any{"free": []any{1, "2"}},
		}, outer{
			Inner:  inner{Name: "x", Tags: map[string]string{"a.b": "c"}},
			Inners: []inner{{Port: 65535}, {Name: "z"}},
			Named:  map[string]inner{"k": {Name: "y"}, "0": {}},
			Any:    map[string]any{"free": []any{1, "2"}},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got outer
			if err := section.Decode("", tt.in, &got); err != nil {
				t.Fatalf("Decode = %v", err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("Decode gave\n%+v, want\n%+v", got, tt.want)
			}
		})
	}
}

func TestDecodeReplacesStatedListsAndMaps(t *testing.T) {
	t.Parallel()
	defaults := func() outer {
		return outer{
			Title: "default", List: []string{"a", "b", "c"}, Ports: []int{1, 2},
			Named: map[string]inner{"old": {}}, Any: map[string]any{"old": 1}, Inner: inner{Name: "n", Port: 1},
		}
	}
	got := defaults()
	if err := section.Decode("", map[string]any{
		"list": []any{"x"}, "ports": "9", "named": map[string]any{"new": nil}, "any": map[string]any{"new": 1}, "inner": map[string]any{"port": 2},
	}, &got); err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Any = map[string]any{"new": 1}
	want.List, want.Ports, want.Named, want.Inner.Port = []string{"x"}, []int{9}, map[string]inner{"new": {}}, 2
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Decode gave\n%+v, want\n%+v", got, want)
	}
}

func TestDecodeFaults(t *testing.T) {
	t.Parallel()
	const (
		text     = "must be a text; put it in quotes"
		rate     = "must be a rate: a whole number and a time, such as 5/s, 300/m or 3000/10m, or off"
		duration = "must be a duration with its unit, such as 200ms, 8s or 1m30s"
		mapping  = "must be a mapping of keys to values"
	)
	for _, tt := range []struct {
		name string
		in   map[string]any
		want []string
	}{
		{"near key", map[string]any{"timeuot": 1}, []string{`s.timeuot: is not known here; did you mean "timeout"?`}},
		{"case is not ignored", map[string]any{"Title": "x"}, []string{`s.Title: is not known here; did you mean "title"?`}},
		{"far key", map[string]any{"inner": map[string]any{"zzzzzz": 1}}, []string{"s.inner.zzzzzz: is not known here; known are name, port, tags"}},
		{"field that takes no key", map[string]any{"hidden": "x", "Skipped": "x"}, []string{
			`s.Skipped: is not known here; known are any, count, inner, inners, list, maybe, named, on, ports, rate, rates, ratio, region, secret, size, small, timeout, title`,
			`s.hidden: is not known here; known are any, count, inner, inners, list, maybe, named, on, ports, rate, rates, ratio, region, secret, size, small, timeout, title`,
		}},
		{"unreadable key", map[string]any{"a b\n": 1, "": 2}, []string{
			`s."": is not known here; known are any, count, inner, inners, list, maybe, named, on, ports, rate, rates, ratio, region, secret, size, small, timeout, title`,
			`s."a b\n": is not known here; known are any, count, inner, inners, list, maybe, named, on, ports, rate, rates, ratio, region, secret, size, small, timeout, title`,
		}},
		{"all at once, everywhere", map[string]any{
			"titel": 1, "count": "x", "on": "yes", "inner": map[string]any{"nam": 1, "port": -1},
			"inners": []any{nil, map[string]any{"port": 70000, "extra": 1}},
			"named":  map[string]any{"a-b": map[string]any{"nmae": 1, "name": 5}},
		}, []string{
			"s.count: must be a whole number",
			`s.inner.nam: is not known here; did you mean "name"?`,
			"s.inner.port: must be a whole number",
			"s.inners[1].extra: is not known here; known are name, port, tags",
			"s.inners[1].port: is out of range",
			"s.named.a-b.name: " + text,
			`s.named.a-b.nmae: is not known here; did you mean "name"?`,
			"s.on: must be true or false",
			`s.titel: is not known here; did you mean "title"?`,
		}},
		{"numbers that would be bent", map[string]any{"count": 8.9, "small": 128, "timeout": 5}, []string{
			"s.count: must be a whole number", "s.small: is out of range", "s.timeout: " + duration,
		}},
		{"wide number", map[string]any{"count": uint64(1 << 63)}, []string{"s.count: is out of range"}},
		{"text", map[string]any{"title": 1, "secret": true, "list": []any{1, "a"}, "region": time.Time{}}, []string{
			"s.list[0]: " + text, "s.region: " + text, "s.secret: " + text, "s.title: " + text,
		}},
		{"no number", map[string]any{"ratio": math.NaN(), "count": true, "on": 1}, []string{
			"s.count: must be a whole number", "s.on: must be true or false", "s.ratio: must be a number",
		}},
		{"own types", map[string]any{"rate": "5 per second", "maybe": 5, "size": "1MB", "rates": []any{"1/s", true}}, []string{
			"s.maybe: " + rate, "s.rate: " + rate, "s.rates[1]: " + text,
			"s.size: must be a size in bytes, such as 1048576, 512KiB, 1MiB or 2GiB",
		}},
		{"shapes", map[string]any{"list": map[string]any{}, "inners": "a,b", "inner": "x", "named": []any{}, "any": time.Time{}, "ports": 1}, []string{
			"s.any: " + mapping, "s.inner: " + mapping, "s.inners: must be a list",
			"s.list: must be a list", "s.named: " + mapping, "s.ports: must be a list",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := section.Decode("s", tt.in, &outer{})
			var faults section.Faults
			if !errors.As(err, &faults) {
				t.Fatalf("Decode = %v, want Faults", err)
			}
			if got, want := faults.Error(), strings.Join(tt.want, "\n"); got != want {
				t.Errorf("faults:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestDecodeNeverQuotesValues(t *testing.T) {
	t.Parallel()
	const value = "hunter2"
	in := map[string]any{}
	for _, key := range []string{"on", "count", "ratio", "timeout", "rate", "size", "ports", "rates", "inner", "inners", "named", "any"} {
		in[key] = value
	}
	in["title"], in["list"] = []any{value}, []any{[]any{value}}
	err := section.Decode("", in, &outer{})
	var faults section.Faults
	if !errors.As(err, &faults) || len(faults) != len(in) {
		t.Fatalf("Decode = %v, want %d faults", err, len(in))
	}
	if strings.Contains(err.Error(), value) {
		t.Errorf("a fault quotes the value:\n%v", err)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	var faults section.Faults
	if err := faults.Err(); err != nil {
		t.Fatalf("no faults: Err = %v, want nil", err)
	}
	faults.Join(nil, section.Fault{Key: "b", Message: "is bad"}, fmt.Errorf("open: %w", section.Faults{{Key: "a", Message: "is odd"}}), errors.New("other"))
	faults.Add("c", "must be %d", 1)
	err := faults.Under("routes.x").Err()
	if got, want := err.Error(), "routes.x: other\nroutes.x.a: is odd\nroutes.x.b: is bad\nroutes.x.c: must be 1"; got != want {
		t.Errorf("Error:\n%s\nwant:\n%s", got, want)
	}
	if want := (section.Fault{Key: "routes.x.c", Message: "must be 1"}); !errors.Is(err, want) {
		t.Errorf("errors.Is(err, %v) = false", want)
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in, out   string
		perSecond float64
	}{
		{"5/s", "5/s", 5}, {"300/m", "300/m", 5}, {"3000/10m", "3000/10m", 5}, {"7200/h", "7200/h", 2},
		{"1/500ms", "1/500ms", 2}, {"9/1m30s", "9/1m30s", 0.1}, {"1/1s", "1/s", 1}, {"7200/2h", "7200/2h", 1},
		{"off", "off", 0}, {"0", "off", 0},
	} {
		var r, again section.Rate
		if err := r.UnmarshalText([]byte(tt.in)); err != nil {
			t.Errorf("%q: %v", tt.in, err)
			continue
		}
		if r.String() != tt.out || r.PerSecond() != tt.perSecond || r.Off() != (tt.perSecond == 0) {
			t.Errorf("%q = %v, %v per second, off %v; want %v, %v", tt.in, r, r.PerSecond(), r.Off(), tt.out, tt.perSecond)
		}
		if err := again.UnmarshalText([]byte(r.String())); err != nil || again != r {
			t.Errorf("%q: read back as %v, %v", r.String(), again, err)
		}
	}
	for _, in := range []string{"", "5", "/s", "5/", "0/s", "-1/s", "5/0s", "5/-1s", "5/d", "1.5/s", "5/s/s", " 5/s", "OFF", "99999999999999999999/s"} {
		r := section.Rate{Count: 7, Per: time.Second}
		if err := r.UnmarshalText([]byte(in)); err == nil || r.Count != 7 {
			t.Errorf("%q = %v, %v; want an error and no change", in, r, err)
		}
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		want section.Size
		out  string
	}{
		{"1MiB", section.MiB, "1MiB"}, {"512KiB", 512 << 10, "512KiB"}, {"1024KiB", section.MiB, "1MiB"}, {"2 GiB", 2 * section.GiB, "2GiB"},
		{"1048577", 1048577, "1048577B"}, {"100B", 100, "100B"}, {"0", 0, "0B"}, {"8589934591GiB", 8589934591 * section.GiB, "8589934591GiB"},
	} {
		var s section.Size
		if err := s.UnmarshalText([]byte(tt.in)); err != nil || s != tt.want || s.String() != tt.out {
			t.Errorf("%q = %d (%v), %v; want %d (%v)", tt.in, s, s, err, tt.want, tt.out)
		}
	}
	for _, in := range []string{"", "MiB", "-1", "1MB", "1.5MiB", "8589934592GiB", "9223372036854775808", "1 KiB MiB"} {
		var s section.Size
		if err := s.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q = %d, want an error", in, s)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"open_for": true, "window": true, "min_requests": true}
	for name, want := range map[string]string{
		"open-for":               `did you mean "open_for"?`,
		"OpenFor":                `did you mean "open_for"?`,
		"widnow":                 `did you mean "window"?`,
		"min_request":            `did you mean "min_requests"?`,
		"x":                      "known are min_requests, open_for, window",
		strings.Repeat("x", 1e6): "known are min_requests, open_for, window",
	} {
		if got := section.Nearest(name, known); got != want {
			t.Errorf("Nearest(%.20q) = %q, want %q", name, got, want)
		}
	}
	if got, want := section.Nearest("x", map[string]bool{}), "nothing is"; got != want {
		t.Errorf("Nearest among none = %q, want %q", got, want)
	}
}
