package sandbox

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxBody bounds the request bodies that are read, in bytes.
const maxBody = 4 << 20

// call is one request on its way through the shop.
type call struct {
	r     *http.Request
	body  []byte
	store Store
	query url.Values
	id    string // the last part of the path where the route has one
	known bool   // from an integration or an admin, not a guest
}

// ServeHTTP answers /rest/{store}/V1/…, also without a store code and below
// /index.php. Every other path is the shop front's own 404 page.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil || len(body) > maxBody {
		var tooLarge *http.MaxBytesError
		if err != nil && !errors.As(err, &tooLarge) {
			return // the client has gone
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, page("413 Request Entity Too Large", "nginx"))
		return
	}
	s.mu.Lock()
	status, answer, f := s.answer(&call{r: r, body: body})
	developer, unmatched := s.opts.Developer, s.opts.UnmatchedAccept
	s.mu.Unlock()

	if f != nil && f.html != "" {
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		w.WriteHeader(f.status)
		_, _ = io.WriteString(w, f.html)
		return
	}
	format, ok := negotiate(r)
	if !ok {
		f = &failure{status: unmatched, fatal: true,
			message: `Server cannot match any of the given Accept HTTP header media type(s) from the request: "` +
				r.Header.Get("Accept") + `" with media types from the config of response renderer.`}
	}
	switch {
	case f != nil && f.fatal:
		writeFatal(w, r, f, developer)
	case f != nil:
		write(w, format, f.status, f.body(developer))
	default:
		write(w, format, status, answer)
	}
}

// answer does the work of c under the lock.
func (s *Sandbox) answer(c *call) (int, any, *failure) {
	path, ok := strings.CutPrefix(strings.TrimPrefix(c.r.URL.EscapedPath(), "/index.php"), "/rest/")
	if !ok {
		return 0, nil, &failure{status: http.StatusNotFound, html: page("404 Not Found", "The page you requested was not found.")}
	}
	c.store = s.opts.Stores[0]
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if parts[0] != "V1" && !s.selectStore(c, parts[0]) {
		if s.opts.HTMLNotFound {
			return 0, nil, &failure{status: http.StatusNotFound, html: page("404 Not Found", "The page you requested was not found.")}
		}
		return 0, nil, noRoute()
	}
	if parts[0] != "V1" {
		parts = parts[1:]
	}
	switch c.r.Method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete:
	default:
		f := malformed("The %s HTTP method is not supported.", c.r.Method)
		f.status = http.StatusMethodNotAllowed
		return 0, nil, f
	}
	handle, right := s.route(c, parts)
	if handle == nil {
		return 0, nil, noRoute()
	}
	var fail *failure
	if c.known, fail = s.identify(c.r); fail != nil {
		return 0, nil, fail
	}
	if right != "" && !s.authorize(c.known, right) {
		return 0, nil, notAuthorized(right)
	}
	c.query, _ = url.ParseQuery(c.r.URL.RawQuery)
	answer, fail := handle(c)
	if fail != nil {
		return 0, nil, fail
	}
	if fields := c.query.Get("fields"); fields != "" {
		answer = parseFields(fields).keep(answer)
	}
	return http.StatusOK, answer, nil
}

// selectStore makes the store view with code the current one.
func (s *Sandbox) selectStore(c *call, code string) bool {
	if code == "all" {
		return true
	}
	for _, st := range s.opts.Stores {
		if st.Code == code {
			c.store = st
			return true
		}
	}
	return false
}

// route returns what answers the path and the right that it needs; an empty
// right is for everybody, "self" for nobody but a signed-in customer.
func (s *Sandbox) route(c *call, parts []string) (handle func(*call) (any, *failure), right string) {
	if len(parts) < 2 || parts[0] != "V1" {
		return nil, ""
	}
	for i, p := range parts {
		parts[i] = unescape(p)
	}
	path := c.r.Method + " " + strings.Join(parts[1:], "/")
	switch path {
	case "POST customers":
		return s.create, ""
	case "GET customers/search":
		return s.search, RightRead
	case "PUT customers/validate":
		return s.validate, RightManage
	case "GET customers/me", "PUT customers/me":
		return s.nobody, "self"
	case "POST customers/isEmailAvailable":
		return s.isEmailAvailable, ""
	case "GET directory/countries":
		return s.listCountries, ""
	case "POST integration/admin/token":
		return s.adminToken, ""
	}
	c.id = parts[len(parts)-1]
	switch {
	case len(parts) == 3 && parts[1] == "customers" && c.id != "":
		switch c.r.Method {
		case http.MethodGet:
			return s.read, RightRead
		case http.MethodPut:
			return s.update, RightManage
		case http.MethodDelete:
			return s.remove, RightDelete
		}
	case len(parts) == 4 && parts[1] == "directory" && parts[2] == "countries" && c.r.Method == http.MethodGet:
		return s.readCountry, ""
	}
	return nil, ""
}

// nobody answers the calls that need a customer's own token, which the sandbox
// does not issue: authorize has refused them before.
func (s *Sandbox) nobody(*call) (any, *failure) { return nil, notAuthorized("self") }

// isEmailAvailable answers true for everything, as 2.4.7 and patched older
// shops do.
func (s *Sandbox) isEmailAvailable(c *call) (any, *failure) {
	body, fail := c.decode(s.opts.Developer)
	if fail != nil {
		return nil, fail
	}
	if body["customerEmail"] == nil && body["customer_email"] == nil {
		return nil, required("customerEmail")
	}
	return true, nil
}

var contentType = regexp.MustCompile(`(?i)^([a-z\d/\-+.]+)(?:; *charset=(.+))?$`)

// decode reads the body into its members.
func (c *call) decode(developer bool) (map[string]any, *failure) {
	header := c.r.Header.Get("Content-Type")
	if header == "" {
		return nil, malformed("Content-Type header is empty.")
	}
	match := contentType.FindStringSubmatch(header)
	if match == nil {
		return nil, malformed("Content-Type header is invalid.")
	}
	if match[2] != "" && !strings.EqualFold(strings.Trim(match[2], `"`), "utf-8") {
		return nil, malformed("UTF-8 is the only supported charset.")
	}
	if !strings.EqualFold(match[1], "application/json") {
		return nil, malformed("Server cannot understand Content-Type HTTP header media type %s", match[1])
	}
	return decode(c.body, developer)
}

// decode reads a JSON object; any other JSON value has no members.
func decode(body []byte, developer bool) (map[string]any, *failure) {
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	if err == nil {
		if _, err = dec.Token(); err == io.EOF {
			err = nil
		} else if err == nil {
			err = errors.New("trailing bytes")
		}
	}
	if err != nil || !utf8.Valid(body) {
		if developer {
			return nil, malformed("Decoding error: \nUnable to unserialize value. Error: Syntax error\n%s", trace)
		}
		return nil, malformed("Decoding error.")
	}
	members, _ := v.(map[string]any)
	return members, nil
}

// number reads the id of the path as Magento types it.
func (c *call) number() (int64, *failure) {
	id, ok := toInt(c.id)
	if !ok {
		return 0, malformed("%s", typeMismatch(c.id, "int"))
	}
	return id, nil
}

// looseNumber is PHP's cast to int: the leading digits, else 0.
func looseNumber(s string) int64 {
	end := 0
	for end < len(s) && (s[end] >= '0' && s[end] <= '9' || end == 0 && s[end] == '-') {
		end++
	}
	n, _ := strconv.ParseInt(s[:end], 10, 64)
	return n
}
