package section

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// Rate is how many requests may be sent in a time: Count in every Per. The zero
// Rate means no limit.
type Rate struct {
	Count int
	Per   time.Duration
}

// errRate is the same for every unreadable rate, without the value.
var errRate = errors.New(`must be a rate: a whole number and a time, such as 5/s, 300/m or 3000/10m, or off`)

// UnmarshalText reads "5/s", "300/m", "20/h", "3000/10m", "off" or "0".
func (r *Rate) UnmarshalText(text []byte) error {
	s := string(text)
	if s == "off" || s == "0" {
		*r = Rate{}
		return nil
	}
	count, per, _ := strings.Cut(s, "/")
	n, err := strconv.Atoi(count)
	if err != nil || n <= 0 {
		return errRate
	}
	switch per {
	case "s", "m", "h":
		per = "1" + per
	}
	d, err := time.ParseDuration(per)
	if err != nil || d <= 0 {
		return errRate
	}
	*r = Rate{Count: n, Per: d}
	return nil
}

// MarshalText returns the form of String.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Off reports whether the rate is no limit.
func (r Rate) Off() bool { return r.Count <= 0 || r.Per <= 0 }

// PerSecond returns the rate as requests per second, 0 if it is off.
func (r Rate) PerSecond() float64 {
	if r.Off() {
		return 0
	}
	return float64(r.Count) / r.Per.Seconds()
}

// String returns the rate as UnmarshalText reads it: "5/s", "3000/10m", "off".
func (r Rate) String() string {
	if r.Off() {
		return "off"
	}
	per := r.Per.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(per, zero) {
			per = per[:len(per)-2]
		}
	}
	switch r.Per {
	case time.Second:
		per = "s"
	case time.Minute:
		per = "m"
	case time.Hour:
		per = "h"
	}
	return strconv.Itoa(r.Count) + "/" + per
}
