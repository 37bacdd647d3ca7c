package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"
)

// maxEntries bounds the identifiers, channels, fields and subscriptions that a
// profile is sent with and holds.
const maxEntries = 50

// maxText bounds an identifier and a custom field, in bytes. The real limits are
// unpublished.
const maxText = 4096

// row is one customer of the request body. Empty means not stated: whether ""
// or null clears anything is unpublished, so neither does.
type row struct {
	profiles       []profileInput
	extended       map[string]any
	loyaltyType    string
	statusLabel    string
	associatedWith string
	createDate     string
	subscriptions  []subscription
}

type profileInput struct {
	account     Account
	firstName   string
	lastName    string
	identifiers []identifierInput
	channels    []channel
	fields      map[string]string
}

type identifierInput struct {
	kind, value string
	// The rest belongs to cards.
	seriesID    int64
	seriesCode  string
	statusLabel string
}

type channel struct {
	Type       string         `json:"type"`
	Value      string         `json:"value"`
	Primary    *bool          `json:"primary,omitempty"`
	Verified   *bool          `json:"verified,omitempty"`
	Subscribed *bool          `json:"subscribed,omitempty"`
	Meta       channelMeta    `json:"meta"`
	Attributes map[string]any `json:"attributes"`
}

type channelMeta struct {
	LastViewedDate string `json:"lastViewedDate,omitempty"`
	Residence      *bool  `json:"residence,omitempty"`
	Office         *bool  `json:"office,omitempty"`
}

type subscription struct {
	Channel    string `json:"channel"`
	Priority   string `json:"priority"`
	Type       string `json:"type"`
	SourceName string `json:"sourceName,omitempty"`
	AccountID  string `json:"accountId,omitempty"`
	OrgUnitID  string `json:"orgUnitId,omitempty"`
}

var errNotUTF8 = errors.New("the body is not UTF-8")

// decodeRows reads a request body. Names are matched exactly; a member of the
// wrong type, or an unknown one, spoils the whole body.
func decodeRows(body []byte, allowUnknown bool) ([]row, error) {
	if !utf8.Valid(body) {
		return nil, errNotUTF8
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var list []any
	if err := dec.Decode(&list); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the array")
	}
	r := &reader{allowUnknown: allowUnknown}
	var rows []row
	for _, o := range r.objects("", list) {
		rows = append(rows, o.row())
	}
	return rows, r.err
}

// reader walks a decoded body and keeps the first thing wrong with it.
type reader struct {
	allowUnknown bool
	err          error
}

func (r *reader) fail(path, what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s %s", path, what)
	}
}

func (r *reader) objects(path string, list []any) []object {
	var out []object
	for i, v := range list {
		at := path + "[" + strconv.Itoa(i) + "]"
		members, ok := v.(map[string]any)
		if !ok {
			r.fail(at, "must be an object")
			continue
		}
		out = append(out, object{r, at, members})
	}
	return out
}

// object is one JSON object of the body and where it stands.
type object struct {
	r       *reader
	path    string
	members map[string]any
}

func (o object) known(names ...string) {
	if o.r.allowUnknown {
		return
	}
	for name := range o.members {
		if !slices.Contains(names, name) {
			o.r.fail(o.path+"."+name, "is not a documented member")
		}
	}
}

func (o object) text(name string) string {
	v := o.members[name]
	s, ok := v.(string)
	if v != nil && !ok {
		o.r.fail(o.path+"."+name, "must be a string")
	}
	return s
}

// flag reads a boolean, which the published samples also send as a string.
func (o object) flag(name string) *bool {
	switch v := o.members[name].(type) {
	case nil:
	case bool:
		return &v
	case string:
		if b, err := strconv.ParseBool(v); err == nil && (v == "true" || v == "false") {
			return &b
		}
		o.r.fail(o.path+"."+name, "must be true or false")
	default:
		o.r.fail(o.path+"."+name, "must be true or false")
	}
	return nil
}

func (o object) integer(name string) int64 {
	v := o.members[name]
	if v == nil {
		return 0
	}
	number, ok := v.(json.Number)
	n, err := strconv.ParseInt(string(number), 10, 64)
	if !ok || err != nil {
		o.r.fail(o.path+"."+name, "must be a whole number")
	}
	return n
}

func (o object) object(name string) object {
	v := o.members[name]
	members, ok := v.(map[string]any)
	if v != nil && !ok {
		o.r.fail(o.path+"."+name, "must be an object")
	}
	return object{o.r, o.path + "." + name, members}
}

func (o object) objects(name string) []object {
	v := o.members[name]
	list, ok := v.([]any)
	if v != nil && !ok {
		o.r.fail(o.path+"."+name, "must be an array")
	}
	if len(list) > maxEntries {
		o.r.fail(o.path+"."+name, "has too many entries")
		return nil
	}
	return o.r.objects(o.path+"."+name, list)
}

func (o object) row() row {
	o.known("profiles", "extendedFields", "loyaltyInfo", "statusLabel", "subscriptionInfo",
		"associatedWith", "referralCode", "createDate", "loyaltyProgramEnrollments")
	in := row{
		extended:       o.object("extendedFields").members,
		statusLabel:    o.text("statusLabel"),
		associatedWith: o.text("associatedWith"),
		createDate:     o.text("createDate"),
	}
	o.text("referralCode")
	for _, e := range o.objects("loyaltyProgramEnrollments") {
		e.known("programId", "tierNumber", "loyaltyPoints", "tierExpiryDate", "pointsExpiryDate")
		e.integer("programId")
		e.integer("tierNumber")
	}
	loyalty := o.object("loyaltyInfo")
	loyalty.known("loyaltyType")
	in.loyaltyType = loyalty.text("loyaltyType")
	if !slices.Contains([]string{"", "loyalty", "non_loyalty"}, in.loyaltyType) {
		o.r.fail(loyalty.path+".loyaltyType", "must be loyalty or non_loyalty")
	}
	info := o.object("subscriptionInfo")
	info.known("subscriptions")
	for _, s := range info.objects("subscriptions") {
		s.known("channel", "priority", "type", "sourceName", "accountId", "orgUnitId")
		in.subscriptions = append(in.subscriptions, subscription{
			s.text("channel"), s.text("priority"), s.text("type"),
			cut(s.text("sourceName"), 255), cut(s.text("accountId"), 255), cut(s.text("orgUnitId"), 255),
		})
	}
	for _, p := range o.objects("profiles") {
		in.profiles = append(in.profiles, p.profile())
	}
	return in
}

func (o object) profile() profileInput {
	o.known("firstName", "lastName", "identifiers", "commChannels", "source", "accountId", "fields")
	in := profileInput{
		account:   Account{o.text("source"), o.text("accountId")},
		firstName: cut(o.text("firstName"), 100),
		lastName:  cut(o.text("lastName"), 100),
		fields:    map[string]string{},
	}
	for _, i := range o.objects("identifiers") {
		in.identifiers = append(in.identifiers, i.identifier())
	}
	for _, c := range o.objects("commChannels") {
		c.known("type", "value", "primary", "verified", "subscribed", "meta", "attributes")
		meta := c.object("meta")
		meta.known("lastViewedDate", "residence", "office")
		ch := channel{
			Type: c.text("type"), Value: cut(c.text("value"), 255),
			Primary: c.flag("primary"), Verified: c.flag("verified"), Subscribed: c.flag("subscribed"),
			Meta:       channelMeta{cut(meta.text("lastViewedDate"), 64), meta.flag("residence"), meta.flag("office")},
			Attributes: map[string]any{},
		}
		c.object("attributes")
		in.channels = append(in.channels, ch)
	}
	fields := o.object("fields")
	if len(fields.members) > maxEntries {
		o.r.fail(fields.path, "has too many entries")
		return in
	}
	for name := range fields.members {
		v := fields.text(name)
		if len(name)+len(v) > maxText {
			o.r.fail(fields.path, "has an entry that is too long")
		}
		if v != "" {
			in.fields[name] = v
		}
	}
	return in
}

func (o object) identifier() identifierInput {
	in := identifierInput{kind: o.text("type"), value: o.text("value")}
	if in.kind == "email" {
		in.value = cut(in.value, 255)
	}
	if in.kind != "cardnumber" {
		o.known("type", "value")
		return in
	}
	o.known("type", "value", "seriesId", "seriesCode", "statusLabel", "extendedFields", "customFields")
	in.seriesID, in.seriesCode, in.statusLabel = o.integer("seriesId"), o.text("seriesCode"), o.text("statusLabel")
	o.object("extendedFields")
	o.object("customFields")
	return in
}

// cut drops what exceeds n characters, without a word, as Capillary does.
func cut(s string, n int) string {
	count := 0
	for i := range s {
		if count == n {
			return s[:i]
		}
		count++
	}
	return s
}
