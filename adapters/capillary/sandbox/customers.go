package sandbox

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The published sources, and those of them with several accounts.
var (
	sources       = []string{"INSTORE", "WEB_ENGAGE", "WECHAT", "FACEBOOK", "MARTJACK", "TMALL", "TAOBAO", "JD", "ECOMMERCE", "WEBSITE", "LINE", "MOBILE_APP"}
	multiAccount  = []string{"WECHAT", "FACEBOOK", "WEB_ENGAGE", "MOBILE_APP", "LINE", "MARTJACK"}
	identifiers   = []string{"mobile", "email", "externalId", "cardnumber", "wechat", "martjackId", "fbId", "tmall_uname", "cuid", "unionId", "ali_uname", "jd_uname", "vip_uname", "line", "mobilePush", "facebook"}
	channels      = []string{"mobile", "email", "wechat", "ios", "android", "line", "mobilePush"}
	subscribable  = []string{"mobile", "email", "wechat", "whatsapp", "ios", "android", "line"}
	mobilePattern = regexp.MustCompile(`^[1-9][0-9]{6,14}$`)
	emailPattern  = regexp.MustCompile(`^[A-Za-z0-9._+-]+@[A-Za-z0-9._+-]+$`)
)

// maxExtended is the length of an extended field; the real one depends on the
// field and is unpublished.
const maxExtended = 255

type customer struct {
	id             int64
	created        time.Time
	modified       time.Time
	createdFrom    string
	profiles       []*profile
	loyaltyType    string
	statusLabel    string
	associatedWith string
	extended       map[string]string
	subscriptions  []subscription
}

type profile struct {
	account     Account
	created     time.Time
	modified    time.Time
	firstName   string
	lastName    string
	identifiers []identifier
	channels    []channel
	fields      map[string]string
}

type identifier struct {
	kind, value string
	card        *card
}

type card struct {
	id     int64
	series Series
	label  string
	issued time.Time
}

// identifierKey is what an identifier is unique by.
type identifierKey struct {
	account     Account
	kind, value string
}

func (c *customer) profile(a Account) *profile {
	for _, p := range c.profiles {
		if p.account == a {
			return p
		}
	}
	return nil
}

// verdict is the outcome of a row; the customer is nil when nothing was saved.
type verdict struct {
	customer *customer
	errors   []Issue
	warnings []Issue
}

func (v *verdict) warn(code int, args ...any) { v.warnings = append(v.warnings, issue(code, args...)) }
func (v *verdict) fail(code int, args ...any) { v.errors = append(v.errors, issue(code, args...)) }

// upsert looks the customer up by the row's identifiers, adds or updates it, and
// changes its identifiers unless they are to be skipped. The caller holds s.mu.
func (s *Sandbox) upsert(in row, skip bool) verdict {
	var v verdict
	judged := s.judge(in)
	if judged.Unsaved {
		return verdict{errors: judged.Errors, warnings: judged.Warnings}
	}
	if i, ok := s.check(in); !ok {
		return verdict{errors: append([]Issue{i}, judged.Errors...), warnings: judged.Warnings}
	}
	badPrimary, cardErrors := s.clean(&in, &v)
	own, others := s.find(in)
	switch {
	case len(own) > 1:
		v.fail(codeConflict)
	case len(own)+len(others) == 0 && badPrimary != "":
		v.fail(codeInvalidPrimary, badPrimary)
	case !slices.ContainsFunc(in.profiles, func(p profileInput) bool { return len(p.identifiers) > 0 }):
		v.fail(codeNoneValid)
	case in.loyaltyType == "non_loyalty" && s.anyLoyal(own, others):
		v.fail(codeDowngrade)
	case len(own)+len(others) == 0 && len(s.customers) >= s.opts.MaxRecords:
		v.fail(codeAddFailed)
	default:
		v.customer = s.resolve(in, own, others, &v)
		s.apply(v.customer, in, skip, &v)
	}
	if v.customer != nil {
		v.errors = append(v.errors, cardErrors...)
	}
	v.errors = append(v.errors, judged.Errors...)
	v.warnings = append(v.warnings, judged.Warnings...)
	return v
}

// judge returns the verdict that was set for one of the row's identifiers.
func (s *Sandbox) judge(in row) Verdict {
	for _, p := range in.profiles {
		for _, i := range p.identifiers {
			v, ok := s.verdicts[i.value]
			if !ok {
				continue
			}
			if v.Times > 0 {
				if v.Times--; v.Times == 0 {
					delete(s.verdicts, i.value)
				}
			}
			return *v
		}
	}
	return Verdict{}
}

// check finds what keeps a row from being saved at all.
func (s *Sandbox) check(in row) (Issue, bool) {
	if len(in.profiles) == 0 {
		return issue(codeNoDetails), false
	}
	for i := range in.profiles {
		p := &in.profiles[i]
		if p.account == (Account{}) && s.opts.LooseSource {
			p.account = s.opts.Accounts[0]
		}
		if code := s.checkProfile(*p); code != 0 {
			return issue(code), false
		}
	}
	if in.statusLabel != "" && !slices.Contains(s.opts.StatusLabels, in.statusLabel) {
		return issue(codeStatusLabel), false
	}
	if in.createDate != "" {
		if _, err := time.Parse(time.RFC3339, in.createDate); err != nil {
			return issue(codeInvalidDate), false
		}
	}
	return Issue{}, true
}

func (s *Sandbox) checkProfile(p profileInput) int {
	switch {
	case p.account.Source == "":
		return codeNoSource
	case !slices.Contains(sources, p.account.Source):
		return codeInvalidSource
	case p.account.ID == "" && slices.Contains(multiAccount, p.account.Source):
		return codeNoAccount
	case !slices.Contains(s.opts.Accounts, p.account):
		return codeInvalidAccount
	case len(p.identifiers) == 0:
		return codeNoIdentifiers
	}
	for _, i := range p.identifiers {
		switch {
		case i.kind == "":
			return codeNoIdentType
		case i.value == "":
			return codeNoIdentValue
		case !slices.Contains(identifiers, i.kind) || len(i.value) > maxText:
			return codeInvalidIdent
		}
	}
	for _, c := range p.channels {
		switch {
		case c.Type == "":
			return codeNoChannelType
		case !slices.Contains(channels, c.Type):
			return codeInvalidChannel
		}
	}
	return 0
}

// clean drops the identifiers and channels whose value cannot be stored. It
// returns the value of an invalid primary identifier, and the errors of cards,
// which come up only once the customer is saved.
func (s *Sandbox) clean(in *row, v *verdict) (badPrimary string, cardErrors []Issue) {
	for n := range in.profiles {
		p := &in.profiles[n]
		p.identifiers = slices.DeleteFunc(p.identifiers, func(i identifierInput) bool {
			bad := false
			switch i.kind {
			case "mobile":
				if bad = !mobilePattern.MatchString(i.value); bad {
					v.warn(codeBadMobile)
				}
			case "email":
				if bad = !emailPattern.MatchString(i.value); bad {
					v.warn(codeBadEmail)
				}
			case "cardnumber":
				if i.statusLabel != "" && !slices.Contains(s.opts.CardLabels, i.statusLabel) {
					cardErrors = append(cardErrors, issue(codeCardLabel))
				}
				_, held := s.index[identifierKey{p.account, i.kind, i.value}]
				_, known := s.series(i)
				if bad = !held && !known; bad {
					// No code is published for a card outside every series.
					cardErrors = append(cardErrors, issue(codeInvalidIdent))
				}
			}
			if bad && i.kind == s.opts.PrimaryIdentifier {
				badPrimary = i.value
			}
			return bad
		})
		p.channels = slices.DeleteFunc(p.channels, func(c channel) bool {
			switch {
			case c.Type == "mobile" && !mobilePattern.MatchString(c.Value):
				v.warn(codeBadChannelMobile)
			case c.Type == "email" && !emailPattern.MatchString(c.Value):
				v.warn(codeBadChannelEmail)
			default:
				return c.Value == ""
			}
			return true
		})
	}
	return badPrimary, cardErrors
}

func (s *Sandbox) series(i identifierInput) (Series, bool) {
	if i.seriesID == 0 && i.seriesCode == "" {
		return Series{}, false
	}
	for _, known := range s.opts.CardSeries {
		if (i.seriesID == 0 || i.seriesID == known.ID) && (i.seriesCode == "" || i.seriesCode == known.Code) {
			return known, true
		}
	}
	return Series{}, false
}

// find returns the customers that the row's identifiers belong to in the row's
// own source accounts, and those that hold them only in other ones.
func (s *Sandbox) find(in row) (own, others []int64) {
	for _, p := range in.profiles {
		for _, i := range p.identifiers {
			for _, a := range s.opts.Accounts {
				id, ok := s.index[identifierKey{a, i.kind, i.value}]
				switch {
				case !ok:
				case a == p.account:
					own = append(own, id)
				default:
					others = append(others, id)
				}
			}
		}
	}
	slices.Sort(own)
	slices.Sort(others)
	own = slices.Compact(own)
	others = slices.DeleteFunc(slices.Compact(others), func(id int64) bool { return slices.Contains(own, id) })
	return own, others
}

func (s *Sandbox) anyLoyal(lists ...[]int64) bool {
	for _, id := range slices.Concat(lists...) {
		if s.customers[id].loyaltyType == "loyalty" {
			return true
		}
	}
	return false
}

// resolve returns the customer to write to: the one of the own source, combined
// or merged with those of other sources, or a new one.
func (s *Sandbox) resolve(in row, own, others []int64, v *verdict) *customer {
	var c *customer
	if len(own) == 1 {
		c = s.customers[own[0]]
	}
	for _, id := range others {
		o := s.customers[id]
		held := slices.ContainsFunc(in.profiles, func(p profileInput) bool { return o.profile(p.account) != nil })
		switch {
		case c == nil && !held:
			v.warn(codeCombining)
			c = o
		case c == nil:
			v.warn(codeAddConflict)
		case slices.ContainsFunc(o.profiles, func(p *profile) bool { return c.profile(p.account) != nil }):
			v.warn(codeUpdateConflict)
		default:
			c = s.merge(c, o)
			v.warn(codeMerging, c.id)
		}
	}
	if c != nil {
		return c
	}
	now := s.opts.Now()
	c = &customer{
		id: s.nextID, created: now, loyaltyType: "loyalty",
		createdFrom: in.profiles[0].account.Source, associatedWith: TillUser, extended: map[string]string{},
	}
	s.nextID++
	s.customers[c.id] = c
	if in.statusLabel == "" && s.opts.NoDefaultStatus {
		v.warn(codeNoDefaultStatus)
	} else {
		c.statusLabel = s.opts.StatusLabels[0]
	}
	return c
}

// merge moves the younger customer, the victim, into the older one.
func (s *Sandbox) merge(a, b *customer) *customer {
	survivor, victim := a, b
	if b.id < a.id {
		survivor, victim = b, a
	}
	for _, p := range victim.profiles {
		for _, i := range p.identifiers {
			s.index[identifierKey{p.account, i.kind, i.value}] = survivor.id
		}
	}
	survivor.profiles = append(survivor.profiles, victim.profiles...)
	for name, value := range victim.extended {
		if _, ok := survivor.extended[name]; !ok {
			survivor.extended[name] = value
		}
	}
	for _, sub := range victim.subscriptions {
		survivor.subscribe(sub, false)
	}
	if victim.loyaltyType == "loyalty" {
		survivor.loyaltyType = "loyalty"
	}
	delete(s.customers, victim.id)
	return survivor
}

// apply writes what the row states and leaves the rest.
func (s *Sandbox) apply(c *customer, in row, skip bool, v *verdict) {
	now := s.opts.Now()
	c.modified = now
	if in.loyaltyType != "" {
		c.loyaltyType = in.loyaltyType
	}
	if in.statusLabel != "" {
		c.statusLabel = in.statusLabel
	}
	switch {
	case in.associatedWith == "":
	case slices.Contains(s.opts.Entities, in.associatedWith):
		c.associatedWith = in.associatedWith
	default:
		v.warn(codeAssociation)
	}
	for name, value := range in.extended {
		s.extend(c, name, value, v)
	}
	for _, sub := range in.subscriptions {
		if !slices.Contains(subscribable, sub.Channel) || !slices.Contains([]string{"BULK", "TRANS"}, sub.Priority) ||
			!slices.Contains([]string{"OPTIN", "OPTOUT"}, sub.Type) {
			v.fail(codeSubscription, sub.Channel, sub.Priority)
			continue
		}
		c.subscribe(sub, true)
	}
	for _, pi := range in.profiles {
		p := c.profile(pi.account)
		added := p == nil
		if added {
			p = &profile{account: pi.account, created: now, fields: map[string]string{}}
			c.profiles = append(c.profiles, p)
		}
		p.update(pi, now, s.opts.CustomFields)
		if added || !skip {
			s.identify(c, p, pi.identifiers, added)
		}
	}
}

// extend stores an extended field that is enabled, text, and short enough.
func (s *Sandbox) extend(c *customer, name string, value any, v *verdict) {
	text, ok := value.(string)
	if value == nil || ok && text == "" {
		return
	}
	if name == "dob" {
		_, err := time.Parse("2006/01/02", text)
		ok = ok && err == nil
	}
	if !ok || !slices.Contains(s.opts.ExtendedFields, name) || utf8.RuneCountInString(text) > maxExtended {
		v.warn(codeExtendedField, name)
		return
	}
	c.extended[name] = text
}

func (c *customer) subscribe(sub subscription, overwrite bool) {
	for i, held := range c.subscriptions {
		key := sub
		key.Type = held.Type
		if key == held {
			if overwrite {
				c.subscriptions[i] = sub
			}
			return
		}
	}
	if len(c.subscriptions) < maxEntries {
		c.subscriptions = append(c.subscriptions, sub)
	}
}

func (p *profile) update(in profileInput, now time.Time, defined []string) {
	p.modified = now
	if in.firstName != "" {
		p.firstName = in.firstName
	}
	if in.lastName != "" {
		p.lastName = in.lastName
	}
	for name, value := range in.fields {
		_, held := p.fields[name]
		if (defined == nil || slices.Contains(defined, name)) && (held || len(p.fields) < maxEntries) {
			p.fields[name] = value
		}
	}
	for _, c := range in.channels {
		p.connect(c)
	}
}

// connect adds a channel, or changes what is stated of it. At most one of a type
// is primary.
func (p *profile) connect(c channel) {
	if c.Primary != nil && *c.Primary {
		for i := range p.channels {
			if p.channels[i].Type == c.Type && p.channels[i].Primary != nil {
				p.channels[i].Primary = new(false)
			}
		}
	}
	for i := range p.channels {
		held := &p.channels[i]
		if held.Type != c.Type || held.Value != c.Value {
			continue
		}
		held.Primary = stated(c.Primary, held.Primary)
		held.Verified = stated(c.Verified, held.Verified)
		held.Subscribed = stated(c.Subscribed, held.Subscribed)
		held.Meta.Residence = stated(c.Meta.Residence, held.Meta.Residence)
		held.Meta.Office = stated(c.Meta.Office, held.Meta.Office)
		if c.Meta.LastViewedDate != "" {
			held.Meta.LastViewedDate = c.Meta.LastViewedDate
		}
		return
	}
	if len(p.channels) == maxEntries {
		p.channels = p.channels[1:]
	}
	p.channels = append(p.channels, c)
}

func stated(value, held *bool) *bool {
	if value != nil {
		return value
	}
	return held
}

// identify adds identifiers to the profile, or changes the one of the same type.
// A profile has one of each type, cards excepted.
func (s *Sandbox) identify(c *customer, p *profile, in []identifierInput, added bool) {
	for _, i := range in {
		if i.kind == "externalId" && added && s.opts.ExternalIDs {
			i.value = "CAP" + strconv.FormatInt(c.id, 10)
		}
		at := slices.IndexFunc(p.identifiers, func(held identifier) bool {
			return held.kind == i.kind && (i.kind != "cardnumber" || held.value == i.value)
		})
		if at < 0 {
			if len(p.identifiers) == maxEntries {
				continue
			}
			at = len(p.identifiers)
			p.identifiers = append(p.identifiers, identifier{kind: i.kind})
		}
		held := &p.identifiers[at]
		delete(s.index, identifierKey{p.account, held.kind, held.value})
		held.value = strings.Clone(i.value)
		s.index[identifierKey{p.account, held.kind, held.value}] = c.id
		if i.kind != "cardnumber" {
			continue
		}
		if held.card == nil {
			series, _ := s.series(i)
			held.card = &card{id: c.id*maxEntries + int64(at), series: series, issued: s.opts.Now()}
		}
		if slices.Contains(s.opts.CardLabels, i.statusLabel) {
			held.card.label = i.statusLabel
		}
	}
}
