package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"customer-gateway/adapters"
	"customer-gateway/adapters/provider"
	"customer-gateway/canonical"
	"customer-gateway/gateway"
	"customer-gateway/gateway/ledger"
	"customer-gateway/gateway/metrics"
	"customer-gateway/gateway/transport"
)

// BenchmarkFanOut sends one customer to 1 and to 5 providers in this process,
// through the gateway (strict decoding, validation, adapters, limiter, breaker,
// retry, metrics) and through the shortest net/http code that decodes the same
// customer, encodes the same bodies and checks the same answers. The two take
// turns, so that both see the same machine; "ratio" is the gateway's throughput
// as a share of the hand-written one's. The garbage collector is set as the serve
// command sets it, for both.
func BenchmarkFanOut(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	for _, n := range []int{1, 5} {
		for _, callers := range []int{1, 16} {
			b.Run(fmt.Sprintf("routes=%d/callers=%d", n, callers), func(b *testing.B) { compareFanOut(b, n, callers) })
		}
	}
}

func compareFanOut(b *testing.B, routes, callers int) {
	body, err := os.ReadFile("../testdata/customers/person.json")
	if err != nil {
		b.Fatal(err)
	}
	up := startUpstreams(b, 0)
	viaGateway := gatewayFanOut(b, up, routes, nil)
	byHand := handFanOut(b, up, routes)
	const turns = 10
	var took [2]time.Duration
	done := 0
	b.ReportAllocs()
	for b.Loop() {
		for turn := range 2 * turns {
			fanOut, which := viaGateway, 0
			if (turn+done)%2 == 1 {
				fanOut, which = byHand, 1
			}
			began := time.Now()
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for range 10 {
						if err := fanOut(body); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			if b.Failed() {
				return
			}
			took[which] += time.Since(began)
		}
		done++
	}
	upserts := float64(done * turns * callers * 10)
	b.ReportMetric(upserts/took[0].Seconds(), "gateway-upserts/s")
	b.ReportMetric(upserts/took[1].Seconds(), "handwritten-upserts/s")
	b.ReportMetric(float64(took[1])/float64(took[0]), "ratio")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkUpsert is the gateway's side alone, for profiles.
func BenchmarkUpsert(b *testing.B) {
	body, err := os.ReadFile("../testdata/customers/person.json")
	if err != nil {
		b.Fatal(err)
	}
	up := startUpstreams(b, 0)
	for _, n := range []int{1, 5} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			fanOut := gatewayFanOut(b, up, n, nil)
			b.ReportAllocs()
			for b.Loop() {
				if err := fanOut(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// upstreamReply is what each provider's upsert answers with.
var upstreamReply = map[string]string{
	"april":     `{"customerId":"cust_Zz6SN_8bIUK88SSn","merchantId":"mcht_1"}`,
	"capillary": `{"response":[{"entityId":176671442,"result":{"id":176671442},"errors":[],"warnings":[]}],"totalCount":1,"failureCount":0}`,
	"complyt":   `{"complytId":"9f8ee193-1a71-42b4-801d-ee1d8a161fbe","externalId":"cust-1001","source":"1","name":"Lucy Ann Diamond","customerType":"RETAIL","externalTimestamps":{"createdDate":"2024-10-19T07:00:00","updatedDate":"2026-02-03T09:07:54.585"}}`,
	"magento":   `{"id":42,"group_id":1,"email":"lucy.diamond@example.com","firstname":"Lucy","lastname":"Diamond","store_id":1,"website_id":1,"addresses":[{"id":2,"customer_id":42,"region":{"region_code":"NY","region":"New York","region_id":43},"region_id":43,"country_id":"US","street":["160 1st Street","Apartment 7"],"telephone":"+15165551111","postcode":"11501","city":"Mineola","firstname":"Lucy","lastname":"Diamond","default_shipping":true,"default_billing":true}]}`,
	"rebilly":   `{"id":"cust-1001","revision":3,"createdTime":"2024-10-19T07:00:00Z","updatedTime":"2026-02-03T09:07:54Z","primaryAddress":{"firstName":"Lucy","lastName":"Diamond"}}`,
}

// benchOptions open each provider so that an upsert is one request.
var benchOptions = map[string]provider.Options{
	"april":     {Credentials: map[string]canonical.Secret{"api_key": "sandbox_sk_x"}},
	"capillary": {Credentials: map[string]canonical.Secret{"till_user": "u", "till_password": "p"}, Settings: map[string]any{"source": "WEB_ENGAGE", "account_id": "a"}},
	"complyt":   {Exclusive: true, Credentials: map[string]canonical.Secret{"client_id": "i", "client_secret": "s"}, Settings: map[string]any{"source": "1"}},
	"magento":   {Exclusive: true, Credentials: map[string]canonical.Secret{"access_token": "t"}, Settings: map[string]any{"store": "default", "website_id": 1}},
	"rebilly":   {Exclusive: true, Credentials: map[string]canonical.Secret{"api_key": "k"}},
}

// startUpstreams starts a server for each provider, which answers after latency.
func startUpstreams(tb testing.TB, latency time.Duration) map[string]*url.URL {
	urls := map[string]*url.URL{}
	for name, reply := range upstreamReply {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			time.Sleep(latency)
			w.Header().Set("Content-Type", "application/json")
			if strings.HasSuffix(r.URL.Path, "/token") {
				_, _ = io.WriteString(w, `{"accessToken":"t","tokenType":"Bearer","expiresIn":86400}`)
				return
			}
			_, _ = io.WriteString(w, replyAbout(reply, r.URL.Path, body))
		}))
		tb.Cleanup(s.Close)
		u, err := url.Parse(s.URL)
		if err != nil {
			tb.Fatal(err)
		}
		urls[name] = u
	}
	return urls
}

// replyAbout makes a reply one about the customer of the request, under a remote
// id of his own.
func replyAbout(reply, path string, body []byte) string {
	number := path[strings.LastIndexByte(path, '/')+1:]
	if _, id, found := bytes.Cut(body, []byte("cust-")); found {
		number = string(id[:bytes.IndexFunc(id, func(r rune) bool { return r < '0' || r > '9' })])
	}
	number = strings.TrimPrefix(number, "cust-")
	return strings.NewReplacer(`"cust-1001"`, `"cust-`+number+`"`, "88SSn", number, "176671442", "1"+number, "1d8a161fbe", number, `{"id":42`, `{"id":`+strings.TrimLeft(number, "0")).Replace(reply)
}

// benchRoutes opens the first n providers.
func benchRoutes(tb testing.TB, up map[string]*url.URL, n int, m *metrics.Metrics, deadline time.Duration) []gateway.Route {
	var routes []gateway.Route
	for _, p := range adapters.All[:n] {
		o := benchOptions[p.Name]
		o.Route, o.BaseURL = p.Name, up[p.Name]
		opened, err := p.Open(o)
		if err != nil {
			tb.Fatalf("%s: %v", p.Name, err)
		}
		client, err := transport.New(transport.Config{
			Route: p.Name, Provider: p.Name, BaseURL: o.BaseURL, Timeout: 8 * time.Second, Deadline: deadline,
			Limit: transport.Limit{Rate: 1e6, Burst: 1e6, Concurrency: 64},
			Retry: transport.Retry{Attempts: 3, Base: 200 * time.Millisecond},
		}, opened.Auth, m.Route(p.Name, p.Name))
		if err != nil {
			tb.Fatal(err)
		}
		routes = append(routes, gateway.Route{Name: p.Name, Adapter: opened.Adapter, Transport: client, Required: true})
	}
	return routes
}

func gatewayFanOut(tb testing.TB, up map[string]*url.URL, n int, store ledger.Store) func([]byte) error {
	m := metrics.New()
	g, err := gateway.New(benchRoutes(tb, up, n, m, 10*time.Second), gateway.Options{Observer: m, Store: store})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(g.Close)
	var ids ids
	return func(body []byte) error {
		// One id for each caller at a time: upserts of one customer queue up.
		id := ids.take()
		defer ids.give(id)
		body = withIDs(body, id)
		c, err := canonical.DecodeCustomer(id, body)
		if err != nil {
			return fmt.Errorf("%v: %v", err, canonical.AsError(err).Fields)
		}
		e, err := g.Upsert(context.Background(), gateway.Command{Customer: c, Body: body})
		if err != nil {
			return err
		}
		for _, r := range e.Results {
			if r.Status.Failed() || r.Status == gateway.StatusPending {
				return fmt.Errorf("%s: %v: %s %v", r.Route, r.Err, r.Err.Message, r.Err.Fields)
			}
		}
		return nil
	}
}

// withIDs makes the customer another one, and states the shop's id, which saves
// the search for it.
func withIDs(body []byte, id string) []byte {
	number := strings.TrimLeft(strings.TrimPrefix(id, "cust-"), "0")
	return bytes.Replace(body, []byte(`"cust-1001"`), []byte(`"`+id+`","externalIds":{"magento":"`+number+`"}`), 1)
}

// ids lends customer ids of one length.
type ids struct {
	mu   sync.Mutex
	free []string
	made int
}

func (i *ids) take() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.free) == 0 {
		i.made++
		return fmt.Sprintf("cust-%04d", i.made)
	}
	id := i.free[len(i.free)-1]
	i.free = i.free[:len(i.free)-1]
	return id
}

func (i *ids) give(id string) {
	i.mu.Lock()
	i.free = append(i.free, id)
	i.mu.Unlock()
}

// The hand-written side: the customer as plain structs, one function for each
// provider's body, one client for each provider.

type plainCustomer struct {
	ID   string
	Kind string
	Name struct{ GivenName, MiddleName, FamilyName string }

	Emails []struct {
		Value, Type       string
		Primary, Verified bool
	}
	PhoneNumbers []struct {
		Value, Type string
		Primary     bool
	}
	Addresses []struct {
		Type                              []string
		Primary                           bool
		Lines                             []string
		City, Region, PostalCode, Country string
		PhoneNumber                       string
	}
	BirthDate, Gender, Locale, CustomerType string
	CreatedAt, UpdatedAt                    time.Time
	ExternalIDs                             map[string]string
}

// handCall is how one provider is called by hand. The body is what the adapter
// sends for the same customer, so that both sides encode and send the same.
type handCall struct {
	name, method string
	path         func(*plainCustomer) string
	header       http.Header
	encode       func(*plainCustomer) ([]byte, error)
	proves       func([]byte) bool
}

func handFanOut(tb testing.TB, up map[string]*url.URL, n int) func([]byte) error {
	calls := handCalls[:n]
	clients := make([]*http.Client, n)
	for i := range clients {
		t := &http.Transport{MaxIdleConnsPerHost: 64}
		tb.Cleanup(t.CloseIdleConnections)
		clients[i] = &http.Client{Transport: t}
	}
	var ids ids
	return func(body []byte) error {
		id := ids.take()
		defer ids.give(id)
		body = withIDs(body, id)
		var c plainCustomer
		if err := json.Unmarshal(body, &c); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		errs := make([]error, n)
		var wg sync.WaitGroup
		for i := range calls[1:] {
			wg.Go(func() { errs[i+1] = calls[i+1].do(ctx, clients[i+1], up, &c) })
		}
		errs[0] = calls[0].do(ctx, clients[0], up, &c)
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		return nil
	}
}

func (h *handCall) do(ctx context.Context, client *http.Client, up map[string]*url.URL, c *plainCustomer) error {
	body, err := h.encode(c)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, h.method, up[h.name].String()+h.path(c), bytes.NewReader(body))
	if err != nil {
		return err
	}
	for k, v := range h.header {
		req.Header[k] = v
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	reply, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !h.proves(reply) {
		return fmt.Errorf("%s: status %d", h.name, resp.StatusCode)
	}
	return nil
}

var jsonHeader = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}}

func withHeader(name, value string) http.Header {
	h := jsonHeader.Clone()
	h.Set(name, value)
	return h
}

// handCalls are in the order of adapters.All.
var handCalls = []handCall{
	{
		name: "april", method: http.MethodPost, path: func(*plainCustomer) string { return "/customers" },
		header: withHeader("Authorization", "Bearer sandbox_sk_x"),
		encode: func(c *plainCustomer) ([]byte, error) {
			type consumer struct {
				EmailAddress        string `json:"emailAddress"`
				PhoneNumber         string `json:"phoneNumber"`
				ReferenceCustomerID string `json:"referenceCustomerId"`
				GivenName           string `json:"givenName"`
				MiddleName          string `json:"middleName"`
				FamilyName          string `json:"familyName"`
			}
			return json.Marshal(struct{ UpsertConsumerCustomer consumer }{consumer{
				c.Emails[0].Value, c.PhoneNumbers[0].Value, c.ID, c.Name.GivenName, c.Name.MiddleName, c.Name.FamilyName,
			}})
		},
		proves: func(reply []byte) bool {
			var v struct{ CustomerID string }
			return json.Unmarshal(reply, &v) == nil && v.CustomerID != ""
		},
	},
	{
		name: "capillary", method: http.MethodPost,
		path:   func(*plainCustomer) string { return "/v2/integrations/customer/upsert/bulk?skipChangeIdentifier=false" },
		header: withHeader("Authorization", "Basic dTo4Mzg3OGM5MTE3MTMzODkwMmUwZmUwZmI5N2E4YzQ3YQ=="),
		encode: func(c *plainCustomer) ([]byte, error) {
			type pair struct {
				Type  string `json:"type"`
				Value string `json:"value"`
			}
			type meta struct {
				Residence bool `json:"residence"`
			}
			type channel struct {
				pair
				Primary  bool  `json:"primary,omitempty"`
				Verified bool  `json:"verified,omitempty"`
				Meta     *meta `json:"meta,omitempty"`
			}
			type profile struct {
				FirstName    string    `json:"firstName"`
				LastName     string    `json:"lastName"`
				Identifiers  []pair    `json:"identifiers"`
				CommChannels []channel `json:"commChannels"`
				Source       string    `json:"source"`
				AccountID    string    `json:"accountId"`
			}
			type row struct {
				Profiles       []profile         `json:"profiles"`
				ExtendedFields map[string]string `json:"extendedFields"`
			}
			mobile, email := pair{"mobile", strings.TrimPrefix(c.PhoneNumbers[0].Value, "+")}, pair{"email", c.Emails[0].Value}
			return json.Marshal([]row{{
				Profiles: []profile{{
					c.Name.GivenName, c.Name.FamilyName,
					[]pair{{"externalId", c.ID}, mobile, email},
					[]channel{{pair: mobile, Primary: true}, {pair: email, Primary: true, Verified: c.Emails[0].Verified, Meta: &meta{c.Emails[0].Type == "home"}}},
					"WEB_ENGAGE", "a",
				}},
				ExtendedFields: map[string]string{"gender": "Female"},
			}})
		},
		proves: func(reply []byte) bool {
			var v struct {
				Response []struct {
					EntityID int64
					Errors   []struct{ Code int }
				}
			}
			return json.Unmarshal(reply, &v) == nil && len(v.Response) == 1 && v.Response[0].EntityID != 0 && len(v.Response[0].Errors) == 0
		},
	},
	{
		name: "complyt", method: http.MethodPut,
		path:   func(c *plainCustomer) string { return "/v1/customers/source/1/externalId/" + url.PathEscape(c.ID) },
		header: withHeader("Authorization", "Bearer t"),
		encode: func(c *plainCustomer) ([]byte, error) {
			a := c.Addresses[0]
			type address struct {
				Street  string `json:"street"`
				City    string `json:"city"`
				State   string `json:"state"`
				Zip     string `json:"zip"`
				Country string `json:"country"`
			}
			type timestamps struct {
				CreatedDate time.Time `json:"createdDate"`
				UpdatedDate time.Time `json:"updatedDate"`
			}
			return json.Marshal(struct {
				ExternalID         string     `json:"externalId"`
				Source             string     `json:"source"`
				Name               string     `json:"name"`
				CustomerType       string     `json:"customerType"`
				Address            address    `json:"address"`
				Email              string     `json:"email"`
				ExternalTimestamps timestamps `json:"externalTimestamps"`
			}{
				c.ID, "1", c.Name.GivenName + " " + c.Name.MiddleName + " " + c.Name.FamilyName, strings.ToUpper(c.CustomerType),
				address{strings.Join(a.Lines, ", "), a.City, a.Region, a.PostalCode, a.Country}, c.Emails[0].Value,
				timestamps{c.CreatedAt, c.UpdatedAt},
			})
		},
		proves: func(reply []byte) bool {
			var v struct{ ExternalID string }
			return json.Unmarshal(reply, &v) == nil && v.ExternalID != ""
		},
	},
	{
		name: "magento", method: http.MethodPut,
		path:   func(c *plainCustomer) string { return "/rest/default/V1/customers/" + c.ExternalIDs["magento"] },
		header: withHeader("Authorization", "Bearer t"),
		encode: func(c *plainCustomer) ([]byte, error) {
			a := c.Addresses[0]
			type region struct {
				RegionCode string `json:"region_code"`
				Region     string `json:"region"`
				RegionID   int    `json:"region_id"`
			}
			type address struct {
				DefaultBilling  bool     `json:"default_billing"`
				DefaultShipping bool     `json:"default_shipping"`
				CountryID       string   `json:"country_id"`
				Street          []string `json:"street"`
				City            string   `json:"city"`
				Postcode        string   `json:"postcode"`
				Region          region   `json:"region"`
				Telephone       string   `json:"telephone"`
				Firstname       string   `json:"firstname"`
				Lastname        string   `json:"lastname"`
			}
			type customer struct {
				ID         int       `json:"id"`
				Email      string    `json:"email"`
				Firstname  string    `json:"firstname"`
				Middlename string    `json:"middlename"`
				Lastname   string    `json:"lastname"`
				Dob        string    `json:"dob"`
				Gender     int       `json:"gender"`
				WebsiteID  int       `json:"website_id"`
				Addresses  []address `json:"addresses"`
			}
			id, err := strconv.Atoi(c.ExternalIDs["magento"])
			if err != nil {
				return nil, err
			}
			return json.Marshal(struct {
				Customer customer `json:"customer"`
			}{customer{
				id, c.Emails[0].Value, c.Name.GivenName, c.Name.MiddleName, c.Name.FamilyName, c.BirthDate, 2, 1,
				[]address{{slices.Contains(a.Type, "billing"), slices.Contains(a.Type, "shipping"), a.Country, a.Lines, a.City, a.PostalCode,
					region{a.Region, a.Region, 0}, a.PhoneNumber, c.Name.GivenName, c.Name.FamilyName}},
			}})
		},
		proves: func(reply []byte) bool {
			var v struct{ ID int }
			return json.Unmarshal(reply, &v) == nil && v.ID != 0
		},
	},
	{
		name: "rebilly", method: http.MethodPut,
		path:   func(c *plainCustomer) string { return "/customers/" + url.PathEscape(c.ID) },
		header: withHeader("Reb-Apikey", "k"),
		encode: func(c *plainCustomer) ([]byte, error) {
			a := c.Addresses[0]
			type contact struct {
				Value   string `json:"value"`
				Label   string `json:"label"`
				Primary bool   `json:"primary"`
			}
			type address struct {
				FirstName    string    `json:"firstName"`
				LastName     string    `json:"lastName"`
				Dob          string    `json:"dob"`
				Address      string    `json:"address"`
				Address2     string    `json:"address2"`
				City         string    `json:"city"`
				Region       string    `json:"region"`
				Country      string    `json:"country"`
				PostalCode   string    `json:"postalCode"`
				Emails       []contact `json:"emails"`
				PhoneNumbers []contact `json:"phoneNumbers"`
			}
			return json.Marshal(struct {
				PrimaryAddress address `json:"primaryAddress"`
				Locale         string  `json:"locale"`
			}{address{
				c.Name.GivenName, c.Name.FamilyName, c.BirthDate, a.Lines[0], a.Lines[1], a.City, a.Region, a.Country, a.PostalCode,
				[]contact{{c.Emails[0].Value, c.Emails[0].Type, true}}, []contact{{c.PhoneNumbers[0].Value, c.PhoneNumbers[0].Type, true}},
			}, c.Locale})
		},
		proves: func(reply []byte) bool {
			var v struct{ ID string }
			return json.Unmarshal(reply, &v) == nil && v.ID != ""
		},
	},
}

// TestHandWrittenSendsTheSame holds that the benchmark compares like with like:
// both sides send the same requests.
func TestHandWrittenSendsTheSame(t *testing.T) {
	t.Parallel()
	body, err := os.ReadFile("../testdata/customers/person.json")
	if err != nil {
		t.Fatal(err)
	}
	body = withIDs(body, "cust-1001")
	c, err := canonical.DecodeCustomer("cust-1001", body)
	if err != nil {
		t.Fatal(err)
	}
	var plain plainCustomer
	if err := json.Unmarshal(body, &plain); err != nil {
		t.Fatal(err)
	}
	base, err := url.Parse("http://127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range adapters.All {
		o := benchOptions[p.Name]
		o.Route, o.BaseURL = p.Name, base
		opened, err := p.Open(o)
		if err != nil {
			t.Fatalf("%s: %v", p.Name, err)
		}
		req, _, err := opened.Adapter.Translate(canonical.NewUpsert(c).For(p.Name, p.Name, ""))
		if err != nil {
			t.Fatalf("%s: %v", p.Name, err)
		}
		byHand, err := handCalls[i].encode(&plain)
		if err != nil {
			t.Fatal(err)
		}
		want, err := canonical.Parse(byHand)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := canonical.Parse(req.Body); err != nil || !got.Equal(want) || req.Method != handCalls[i].method || req.Path != handCalls[i].path(&plain) {
			t.Errorf("%s: the adapter sends %s %s %s, by hand it is %s %s %s", p.Name, req.Method, req.Path, req.Body, handCalls[i].method, handCalls[i].path(&plain), byHand)
		}
	}
}
