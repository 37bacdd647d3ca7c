package canonical

import "log/slog"

// Secret is a credential. It prints, logs and marshals as "***"; only Reveal
// returns it.
type Secret string

const masked = "***"

// Reveal returns the credential itself.
func (s Secret) Reveal() string { return string(s) }

// String returns "***", or "" for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// GoString masks the secret under %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue masks the secret in logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText masks the secret in JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
