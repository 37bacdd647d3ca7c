package config_test

import (
	"errors"
	"strings"
	"testing"

	"customer-gateway/config"
	"customer-gateway/config/section"
)

// FuzzLoad loads arbitrary files under an arbitrary variable: there is either a
// configuration that keeps its promises or faults that say something, and the
// same ones every time.
func FuzzLoad(f *testing.F) {
	f.Add(config.Example(), "SERVER__ADDR=:1")
	for _, file := range []string{
		"", least, route("credentials: {k: '${env:SECRET}'}"), keys("{name: x, sha256: " + foo + ", scopes: [read], routes: ['*']}"),
		"routes: {a: {limit: {rate: 5/s}, settings: {x: {y: [1, 2.5, null, 2026-01-01]}}}}", "a: &a [*a]", "? [1]\n: 2", "1: 2\n.nan: 3", "<<: {a: b}",
		"a: &a {b: 1}\nroutes: {x: {<<: [*a, *a], <<: *a}}", "log: {}\nlog: {}\nauth: {", "a:\n\t- b",
		"routes: !!binary aGk=", "server: {max_in_flight: 99999999999999999999}", "{routes: {a: {breaker: {failure_ratio: 1e400}}}}",
	} {
		f.Add([]byte(file), "ROUTES__A__CREDENTIALS__K=${env:SECRET}")
		f.Add([]byte(file), "ROUTES=")
	}
	f.Fuzz(func(t *testing.T, file []byte, variable string) {
		src := config.Source{Path: "gateway.yaml", YAML: append([]byte{}, file...), Environ: []string{"SECRET=s3cr3t-v4lue", "GATEWAY_" + variable}}
		cfg, err := config.Load(src)
		again, errAgain := config.Load(src)
		if (cfg == nil) != (again == nil) || (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error() {
			t.Fatalf("two loads differ:\n%+v %v\n%+v %v", cfg, err, again, errAgain)
		}
		if err != nil {
			var faults section.Faults
			if cfg != nil || !errors.As(err, &faults) || len(faults) == 0 {
				t.Fatalf("Load = %+v, %v; want faults alone", cfg, err)
			}
			for _, fault := range faults {
				if fault.Message == "" || strings.ContainsAny(fault.Key+fault.Place, "\n\r") || strings.Contains(fault.Message, "s3cr3t-v4lue") {
					t.Errorf("unfit fault %q: %q", fault.Key, fault.Message)
				}
			}
			return
		}
		if s := cfg.Server; s.Deadline <= 0 || s.WriteTimeout < s.Deadline+s.ReadTimeout || s.MaxBody <= 0 || s.MaxInFlight < 1 {
			t.Errorf("server = %+v", s)
		}
		for name, r := range cfg.Routes {
			if r.Provider == "" || r.Timeout <= 0 || !(r.Breaker.FailureRatio > 0 && r.Breaker.FailureRatio <= 1) || r.Retry.Attempts < 1 {
				t.Errorf("route %q = %+v", name, r)
			}
		}
		for _, key := range cfg.Auth.Keys {
			if key.Name == "" || key.SHA256 == (config.Digest{}) || len(key.Scopes) == 0 || len(key.Routes) == 0 {
				t.Errorf("key = %+v", key)
			}
		}
		if len(cfg.Routes) == 0 {
			t.Error("no routes")
		}
		cfg.Warnings()
		for _, risk := range config.Audit(cfg, nil) {
			if strings.Contains(risk.String(), "s3cr3t-v4lue") {
				t.Errorf("a risk holds a secret: %v", risk)
			}
		}
	})
}
