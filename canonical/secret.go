package canonical

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a credential. It prints, logs and marshals as "***"; only Reveal
// returns it. In an unexported field of a struct fmt cannot see what it is and
// prints it: keep secrets in exported fields, or never print what holds them.
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

// GoString masks the secret for printers that look for it.
func (s Secret) GoString() string { return s.String() }

// Format masks the secret under every verb, those for numbers included, which
// would print it in their complaint.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue masks the secret in logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText masks the secret in JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Format masks the credentials: fmt does not ask a Secret below a pointer that it
// cannot print with a verb.
func (a Auth) Format(f fmt.State, _ rune) { io.WriteString(f, masked) }

// Format masks the credentials.
func (a OAuth1) Format(f fmt.State, _ rune) { io.WriteString(f, masked) }

// Format masks the credential in the body of the token call.
func (a TokenAuth) Format(f fmt.State, _ rune) { io.WriteString(f, masked) }
