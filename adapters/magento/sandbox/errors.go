package sandbox

import (
	"fmt"
	"net/http"
	"sort"
	"strings"
)

// failure is a refusal. Its parameters are an object for named placeholders, a
// list for positional ones, nil for none.
type failure struct {
	status     int
	message    string
	parameters any
	errors     []*failure
	framework  bool   // refused before the service ran: developer mode shows a null trace
	fatal      bool   // the shape of errors outside the API's own handling
	html       string // answered instead of anything else
}

const (
	msgRequired     = `"%fieldName" is required. Enter and try again.`
	msgInvalidValue = `Invalid value of "%value" provided for the %fieldName field.`
	msgAggregate    = "One or more input exceptions have occurred."
	msgNoSuchEntity = "No such entity with %fieldName = %fieldValue"
	msgNoSuchPair   = "No such entity with %fieldName = %fieldValue, %field2Name = %field2Value"
	msgNoRoute      = "Request does not match any route."
	msgSignIn       = "The account sign-in was incorrect or your account is disabled temporarily. Please wait and try again later."
	msgSameEmail    = "A customer with the same email address already exists in an associated website."
	msgSameEmailOld = "A customer with the same email already exists in an associated website."
)

// trace is what developer mode adds: paths and arguments that nobody may pass on.
const trace = "#0 /var/www/html/vendor/magento/module-customer/Model/ResourceModel/CustomerRepository.php(214): " +
	"Magento\\Customer\\Model\\Customer->save()\n" +
	"#1 /var/www/html/vendor/magento/framework/Interception/Interceptor.php(58): " +
	"Magento\\Customer\\Model\\ResourceModel\\CustomerRepository->save(Object(Magento\\Customer\\Model\\Data\\Customer), NULL)\n#2 {main}"

func invalid(message string, parameters any) *failure {
	return &failure{status: http.StatusBadRequest, message: message, parameters: parameters}
}

// malformed is a refusal of the framework: its text is already filled in.
func malformed(format string, args ...any) *failure {
	return &failure{status: http.StatusBadRequest, message: fmt.Sprintf(format, args...), framework: true}
}

func required(field string) *failure {
	return invalid(msgRequired, object{{"fieldName", field}})
}

func invalidValue(field, value string) *failure {
	return invalid(msgInvalidValue, object{{"fieldName", field}, {"value", escapeHTML(value)}})
}

func noSuchEntity(field string, value any) *failure {
	return &failure{status: http.StatusNotFound, message: msgNoSuchEntity,
		parameters: object{{"fieldName", field}, {"fieldValue", value}}}
}

func noRoute() *failure {
	return &failure{status: http.StatusNotFound, message: msgNoRoute, framework: true}
}

func notAuthorized(resources string) *failure {
	return &failure{status: http.StatusUnauthorized, message: "The consumer isn't authorized to access %resources.",
		parameters: object{{"resources", resources}}}
}

func unauthorized(message string, parameters any) *failure {
	return &failure{status: http.StatusUnauthorized, message: message, parameters: parameters}
}

// aggregate is Magento's collection of input errors: a single one stands alone,
// several become errors[] below a general text.
func aggregate(errs []*failure) *failure {
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	return &failure{status: http.StatusBadRequest, message: msgAggregate, errors: errs}
}

// rules is the refusal by attribute rules: filled texts, joined by line breaks,
// which newer code also lists.
func (s *Sandbox) rules(messages []string) *failure {
	if len(messages) == 0 {
		return nil
	}
	f := invalid(strings.Join(messages, "\n"), nil)
	if s.opts.Version >= V247 {
		for _, m := range messages {
			f.errors = append(f.errors, invalid(m, nil))
		}
	}
	return f
}

// masked hides the cause of an internal error, except in developer mode.
// Database says that newest code answers it with 400.
func (s *Sandbox) masked(cause string, database bool) *failure {
	f := &failure{status: http.StatusInternalServerError, message: cause}
	if database && s.opts.MaskedAs400 {
		f.status = http.StatusBadRequest
	}
	if !s.opts.Developer {
		s.reportSeq++
		f.message = fmt.Sprintf("Internal Error. Details are available in Magento log file. Report ID: webapi-%013x",
			s.opts.Now().UnixMicro()+s.reportSeq)
	}
	return f
}

// unknownMember is the refusal of a member that class lacks.
func (s *Sandbox) unknownMember(class, member string) *failure {
	name := upperCamel(member)
	if s.opts.Version >= V247 {
		return invalid(`"%fieldName" is not supported. Correct the field name and try again.`, object{{"fieldName", name}})
	}
	return s.masked(fmt.Sprintf(`Property "%s" does not have accessor method "get%s" in class "%s".`, name, name, class), false)
}

func (s *Sandbox) tooLong(column string) *failure {
	return s.masked("SQLSTATE[22001]: String data, right truncated: 1406 Data too long for column '"+column+"' at row 1, query was: UPDATE `customer_entity` SET …", true)
}

// fail returns the failure that f makes of a save.
func (s *Sandbox) fail(f Failure) *failure {
	switch f {
	case LockWait:
		return s.masked("SQLSTATE[HY000]: General error: 1205 Lock wait timeout exceeded; try restarting transaction, query was: UPDATE `customer_entity` SET …", true)
	case RolledBackBefore:
		return s.masked("Rolled back transaction has not been completed correctly.", true)
	case UniqueViolation:
		return invalid("Unique constraint violation found", nil)
	case FatalError:
		s.reportSeq++
		return &failure{status: http.StatusInternalServerError, fatal: true,
			message: fmt.Sprintf("Server internal error. See details in report api/%d", 1_000_000_000_000+s.reportSeq)}
	case ErrorReport:
		return &failure{status: http.StatusInternalServerError,
			html: page("There has been an error processing your request", "Exception printing is disabled by default for security reasons.")}
	case Maintenance:
		return &failure{status: http.StatusServiceUnavailable,
			html: page("Service Temporarily Unavailable", "The server is temporarily unable to service your request due to maintenance downtime or capacity problems. Please try again later.")}
	default:
		return s.masked("SQLSTATE[40001]: Serialization failure: 1213 Deadlock found when trying to get lock; try restarting transaction, query was: INSERT INTO `customer_entity` …", true)
	}
}

// takeFailure removes and returns the next scripted failure.
func (s *Sandbox) takeFailure() (Failure, bool) {
	if len(s.failures) == 0 {
		return 0, false
	}
	f := s.failures[0]
	s.failures = s.failures[1:]
	return f, true
}

// body renders f with its members in Magento's order.
func (f *failure) body(developer bool) object {
	if f.fatal {
		e := object{{"code", f.status}, {"message", f.message}}
		if developer {
			e = append(e, member{"trace", "Trace is not available."})
		}
		return object{{"messages", object{{"error", []any{e}}}}}
	}
	out := object{{"message", f.message}}
	if len(f.errors) > 0 {
		list := make([]any, 0, len(f.errors))
		for _, e := range f.errors {
			parameters := e.parameters
			if parameters == nil {
				parameters = []any{}
			}
			list = append(list, object{{"message", e.message}, {"parameters", parameters}})
		}
		out = append(out, member{"errors", list})
	}
	if f.parameters != nil {
		out = append(out, member{"parameters", f.parameters})
	}
	if developer {
		var t any = trace
		if f.framework {
			t = nil
		}
		out = append(out, member{"trace", t})
	}
	return out
}

// fill puts parameters into message, for texts that people read.
func fill(message string, parameters any) string {
	o, ok := parameters.(object)
	if !ok {
		return message
	}
	sorted := append(object(nil), o...)
	sort.SliceStable(sorted, func(i, j int) bool { return len(sorted[i].key) > len(sorted[j].key) })
	var pairs []string
	for _, m := range sorted {
		pairs = append(pairs, "%"+m.key, fmt.Sprint(m.value))
	}
	return strings.NewReplacer(pairs...).Replace(message)
}

var htmlEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#039;")

// escapeHTML escapes as PHP does.
func escapeHTML(s string) string { return htmlEscaper.Replace(s) }

// page is an HTML page of the shop front.
func page(title, text string) string {
	return "<!doctype html>\n<html lang=\"en\"><head><title>" + title + "</title></head><body><h1>" + title + "</h1><p>" + text + "</p></body></html>\n"
}
