package sandbox

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"
)

var (
	unitedStates     = []string{"US", "USA", "UNITED STATES", "UNITED STATES OF AMERICA"}
	zipPattern       = regexp.MustCompile(`^\d{5}(-\d{4})?$`)
	timestampPattern = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})?)?$`)
)

// validate returns the bean validation messages.
func (s *Sandbox) validate(in customer) []string {
	var messages []string
	add := func(field, text string) { messages = append(messages, s.label(field)+" "+text) }
	required := func(field string, v *string) {
		switch {
		case v == nil:
			add(field, "may not be null")
		case strings.TrimSpace(*v) == "":
			add(field, "may not be blank")
		}
		if v != nil && (*v == "" || units(*v) > 256) {
			add(field, "should be 1-256 characters long")
		}
	}
	required("externalId", in.externalID)
	required("name", in.name)
	switch {
	case in.source == nil:
		add("source", "may not be null")
	case !s.sourceInRange(*in.source):
		messages = append(messages, s.outOfRange())
	}
	if in.customerType == nil {
		add("customerType", "may not be null")
	}
	if in.comment != nil && units(*in.comment) > 200 {
		add("comment", "should be 0-200 characters long")
	}
	if in.timestamps == nil {
		add("externalTimestamps", "may not be null")
	} else {
		s.validateTimestamp(add, "Timestamps.createdDate", in.timestamps.createdDate)
		s.validateTimestamp(add, "Timestamps.updatedDate", in.timestamps.updatedDate)
	}
	if in.address != nil {
		s.validateAddress(add, in.address)
	}
	return messages
}

// validateTimestamp has a text with commas, which makes the list hard to split.
func (s *Sandbox) validateTimestamp(add func(field, text string), field string, v *string) {
	switch {
	case v == nil:
		add(field, "may not be null")
	case !timestampPattern.MatchString(*v):
		add(field, "is in an illegal format - For date/time fields use 'YYYY-MM-DD', 'YYYY-MM-DDTHH:mm:ssZ', and 'YYYY-MM-DDTHH:mm:ss±hh:mm'")
	}
}

func (s *Sandbox) validateAddress(add func(field, text string), a *address) {
	for _, part := range []struct {
		field string
		value *string
		limit int
		text  string
	}{
		{"Address.city", a.city, 100, "100 characters long"},
		{"Address.country", a.country, 50, "50 characters long"},
		{"Address.county", a.county, 100, "100 characters long"},
		{"Address.state", a.state, 100, "100 characters long"},
		{"Address.region", a.region, 20, "20 characters long"},
		{"Address.street", a.street, 200, "200 characters long"},
		{"Address.zip", a.zip, 20, "20 characters long"},
	} {
		switch {
		case part.value == nil:
		case *part.value == "" && s.opts.AllowEmptyParts:
		case *part.value == "" || units(*part.value) > part.limit:
			add(part.field, "should be 1-"+part.text)
		}
	}
	if !s.opts.AddressErrors && a.wrongZip() {
		add("Address.zip", "is in an illegal format - For US addresses use the 5-digit format (e.g., 12345), or the 9-digit format (e.g., 12345-6789)")
	}
}

func (a *address) wrongZip() bool {
	return a.country != nil && slices.Contains(unitedStates, strings.ToUpper(strings.TrimSpace(*a.country))) &&
		a.zip != nil && *a.zip != "" && !zipPattern.MatchString(*a.zip)
}

// units counts characters as the service does: in UTF-16 units.
func units(s string) int { return len(utf16.Encode([]rune(s))) }
