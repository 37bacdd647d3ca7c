package canonical

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestSecretNeverShows prints a secret in every way that ends up in logs,
// errors and configuration dumps.
func TestSecretNeverShows(t *testing.T) {
	t.Parallel()
	const credential = "sk-live-0123456789"
	s := Secret(credential)
	holder := struct {
		Key  Secret
		Keys []Secret
		Map  map[string]Secret
		Auth Auth
	}{s, []Secret{s}, map[string]Secret{"a": s}, Auth{Header: map[string]Secret{"X": s}, OAuth1: &OAuth1{ConsumerSecret: s}}}
	token := TokenAuth{Request: Request{Op: "token", Body: []byte(credential)}}
	var printed []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%10.3s"} {
		printed = append(printed, fmt.Sprintf(verb, s), fmt.Sprintf(verb, &s), fmt.Sprintf(verb, holder), fmt.Sprintf(verb, *holder.Auth.OAuth1), fmt.Sprintf(verb, token), fmt.Sprintf(verb, Auth{Token: &token}))
	}
	printed = append(printed, fmt.Sprint(s), fmt.Sprint(holder), s.String(), s.GoString(), fmt.Errorf("key %v: %w", s, fmt.Errorf("%s", s)).Error())
	for _, v := range []any{s, &s, holder} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		printed = append(printed, string(text))
	}
	text, err := yaml.Marshal(map[string]any{"key": s, "keys": []Secret{s}, "holder": holder.Map})
	if err != nil {
		t.Fatal(err)
	}
	printed = append(printed, string(text))
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info("start", "key", s, "keys", []Secret{s}, "holder", holder, slog.Group("g", "key", s))
	}
	printed = append(printed, log.String())
	for _, p := range printed {
		for _, form := range []string{credential, fmt.Sprintf("%x", credential), fmt.Sprintf("%X", credential), fmt.Sprint([]byte(credential)), credential[:6]} {
			if strings.Contains(p, form) {
				t.Errorf("the secret shows in %s", p)
			}
		}
	}
	if got := fmt.Sprintf("%v", s); got != "***" {
		t.Errorf("a secret prints as %q, want ***", got)
	}
	if got := fmt.Sprintf("%v", Secret("")); got != "" {
		t.Errorf("an empty secret prints as %q, want nothing", got)
	}
	if got := s.Reveal(); got != credential {
		t.Errorf("Reveal = %q", got)
	}
}
