package api

import (
	"html/template"
	"net/http"

	"customer-gateway/canonical"

	"github.com/gin-gonic/gin"
)

// entry is a code of the catalogue with the URL that problems carry.
type entry struct {
	Type string `json:"type"`
	canonical.Info
}

// catalogue is all error codes.
type catalogue struct {
	entries []entry
	types   map[canonical.Code]string
}

func newCatalogue(publicURL string) catalogue {
	cat := catalogue{types: map[canonical.Code]string{}}
	for _, in := range canonical.Codes() {
		url := publicURL + "/v1/errors/" + string(in.Code)
		cat.types[in.Code] = url
		cat.entries = append(cat.entries, entry{url, in})
	}
	return cat
}

// cacheable lets an answer be kept for an hour: it changes with releases only.
func cacheable(c *gin.Context) { c.Header("Cache-Control", "public, max-age=3600") }

func (a *api) getErrors(c *gin.Context) {
	if _, err := query(c.Request.URL); err != nil {
		_ = c.Error(err)
		return
	}
	cacheable(c)
	writeJSON(c, http.StatusOK, a.catalogue.entries)
}

// getError explains one code: as a page for those who prefer it, else as JSON.
func (a *api) getError(c *gin.Context) {
	code, err := param(c, "code")
	if err == nil {
		_, err = query(c.Request.URL)
	}
	if err != nil {
		_ = c.Error(err)
		return
	}
	for i := range a.catalogue.entries {
		if e := &a.catalogue.entries[i]; string(e.Code) == code {
			cacheable(c)
			c.Header("Vary", "Accept")
			if !prefersHTML(c.Request.Header) {
				writeJSON(c, http.StatusOK, e)
				return
			}
			h := c.Writer.Header()
			h.Set("Content-Type", "text/html; charset=utf-8")
			h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
			h.Set("X-Content-Type-Options", "nosniff")
			c.Writer.WriteHeader(http.StatusOK)
			_ = page.Execute(c.Writer, e) // fails only if the reader has gone away
			return
		}
	}
	_ = c.Error(&canonical.Error{Code: canonical.RequestNotFound, Message: "there is no such error code; GET /v1/errors lists them"})
}

var page = template.Must(template.New("error").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{.Code}}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}dt{font-weight:600}dd{margin:0 0 .8rem}</style>
<h1>{{.Title}}</h1>
<dl>
<dt>Code</dt><dd><code>{{.Code}}</code></dd>
<dt>HTTP status</dt><dd>{{.Status}}</dd>
<dt>What happened</dt><dd>{{.Meaning}}</dd>
<dt>What to do</dt><dd>{{.Remedy}}</dd>
<dt>Who acts</dt><dd>{{.Acts}}</dd>
<dt>May the same request be sent again?</dt><dd>{{if eq .Retry "by_status"}}where the result says retryable{{else if .Again}}yes{{else}}not unchanged{{end}}</dd>
</dl>
</html>
`))
