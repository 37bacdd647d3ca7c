package sandbox

import (
	"net/http"
	"slices"
	"strconv"
)

// country is an entry of the directory. Where regions is empty, a region is
// plain text.
type country struct {
	iso3, name       string
	optionalPostcode bool
	regionRequired   bool
	regions          []countryRegion
}

type countryRegion struct {
	id   int64
	code string // Magento's own, ISO 3166-2 only for some countries
	name string
}

// countries is a part of the directory, with the ids of a stock installation.
// The real one holds every country, and regions of more of them.
var countries = map[string]country{
	"CA": {iso3: "CAN", name: "Canada", regionRequired: true, regions: []countryRegion{
		{66, "AB", "Alberta"}, {67, "BC", "British Columbia"}, {68, "MB", "Manitoba"}, {69, "NL", "Newfoundland and Labrador"}, {70, "NB", "New Brunswick"},
		{71, "NS", "Nova Scotia"}, {72, "NT", "Northwest Territories"}, {73, "NU", "Nunavut"}, {74, "ON", "Ontario"}, {75, "PE", "Prince Edward Island"},
		{76, "QC", "Quebec"}, {77, "SK", "Saskatchewan"}, {78, "YT", "Yukon Territory"},
	}},
	"DE": {iso3: "DEU", name: "Germany", regions: []countryRegion{
		{79, "NDS", "Niedersachsen"}, {80, "BAW", "Baden-Württemberg"}, {81, "BAY", "Bayern"}, {82, "BER", "Berlin"}, {83, "BRG", "Brandenburg"},
		{84, "BRE", "Bremen"}, {85, "HAM", "Hamburg"}, {86, "HES", "Hessen"}, {87, "MEC", "Mecklenburg-Vorpommern"}, {88, "NRW", "Nordrhein-Westfalen"},
		{89, "RHE", "Rheinland-Pfalz"}, {90, "SAR", "Saarland"}, {91, "SAS", "Sachsen"}, {92, "SAC", "Sachsen-Anhalt"}, {93, "SCN", "Schleswig-Holstein"},
		{94, "THE", "Thüringen"},
	}},
	"US": {iso3: "USA", name: "United States", regionRequired: true, regions: []countryRegion{
		{1, "AL", "Alabama"}, {2, "AK", "Alaska"}, {3, "AS", "American Samoa"}, {4, "AZ", "Arizona"}, {5, "AR", "Arkansas"},
		{12, "CA", "California"}, {13, "CO", "Colorado"}, {14, "CT", "Connecticut"}, {15, "DE", "Delaware"}, {16, "DC", "District of Columbia"},
		{18, "FL", "Florida"}, {19, "GA", "Georgia"}, {20, "GU", "Guam"}, {21, "HI", "Hawaii"}, {22, "ID", "Idaho"},
		{23, "IL", "Illinois"}, {24, "IN", "Indiana"}, {25, "IA", "Iowa"}, {26, "KS", "Kansas"}, {27, "KY", "Kentucky"},
		{28, "LA", "Louisiana"}, {29, "ME", "Maine"}, {31, "MD", "Maryland"}, {32, "MA", "Massachusetts"}, {33, "MI", "Michigan"},
		{34, "MN", "Minnesota"}, {35, "MS", "Mississippi"}, {36, "MO", "Missouri"}, {37, "MT", "Montana"}, {38, "NE", "Nebraska"},
		{39, "NV", "Nevada"}, {40, "NH", "New Hampshire"}, {41, "NJ", "New Jersey"}, {42, "NM", "New Mexico"}, {43, "NY", "New York"},
		{44, "NC", "North Carolina"}, {45, "ND", "North Dakota"}, {47, "OH", "Ohio"}, {48, "OK", "Oklahoma"}, {49, "OR", "Oregon"},
		{51, "PA", "Pennsylvania"}, {52, "PR", "Puerto Rico"}, {53, "RI", "Rhode Island"}, {54, "SC", "South Carolina"}, {55, "SD", "South Dakota"},
		{56, "TN", "Tennessee"}, {57, "TX", "Texas"}, {58, "UT", "Utah"}, {59, "VT", "Vermont"}, {60, "VI", "Virgin Islands"},
		{61, "VA", "Virginia"}, {62, "WA", "Washington"}, {63, "WV", "West Virginia"}, {64, "WI", "Wisconsin"}, {65, "WY", "Wyoming"},
	}},
	"AE": {iso3: "ARE", name: "United Arab Emirates"},
	"AR": {iso3: "ARG", name: "Argentina"},
	"AT": {iso3: "AUT", name: "Austria"},
	"AU": {iso3: "AUS", name: "Australia"},
	"BE": {iso3: "BEL", name: "Belgium"},
	"BG": {iso3: "BGR", name: "Bulgaria"},
	"BR": {iso3: "BRA", name: "Brazil"},
	"CH": {iso3: "CHE", name: "Switzerland"},
	"CL": {iso3: "CHL", name: "Chile"},
	"CN": {iso3: "CHN", name: "China"},
	"CO": {iso3: "COL", name: "Colombia"},
	"CY": {iso3: "CYP", name: "Cyprus"},
	"CZ": {iso3: "CZE", name: "Czechia"},
	"DK": {iso3: "DNK", name: "Denmark"},
	"EE": {iso3: "EST", name: "Estonia"},
	"ES": {iso3: "ESP", name: "Spain"},
	"FI": {iso3: "FIN", name: "Finland"},
	"FR": {iso3: "FRA", name: "France"},
	"GB": {iso3: "GBR", name: "United Kingdom", optionalPostcode: true},
	"GR": {iso3: "GRC", name: "Greece"},
	"HK": {iso3: "HKG", name: "Hong Kong SAR China", optionalPostcode: true},
	"HR": {iso3: "HRV", name: "Croatia"},
	"HU": {iso3: "HUN", name: "Hungary"},
	"ID": {iso3: "IDN", name: "Indonesia"},
	"IE": {iso3: "IRL", name: "Ireland", optionalPostcode: true},
	"IL": {iso3: "ISR", name: "Israel"},
	"IN": {iso3: "IND", name: "India"},
	"IS": {iso3: "ISL", name: "Iceland"},
	"IT": {iso3: "ITA", name: "Italy"},
	"JP": {iso3: "JPN", name: "Japan"},
	"KR": {iso3: "KOR", name: "South Korea"},
	"LT": {iso3: "LTU", name: "Lithuania"},
	"LU": {iso3: "LUX", name: "Luxembourg"},
	"LV": {iso3: "LVA", name: "Latvia"},
	"MO": {iso3: "MAC", name: "Macao SAR China", optionalPostcode: true},
	"MT": {iso3: "MLT", name: "Malta"},
	"MX": {iso3: "MEX", name: "Mexico"},
	"MY": {iso3: "MYS", name: "Malaysia"},
	"NL": {iso3: "NLD", name: "Netherlands"},
	"NO": {iso3: "NOR", name: "Norway"},
	"NZ": {iso3: "NZL", name: "New Zealand"},
	"PA": {iso3: "PAN", name: "Panama", optionalPostcode: true},
	"PH": {iso3: "PHL", name: "Philippines"},
	"PL": {iso3: "POL", name: "Poland"},
	"PT": {iso3: "PRT", name: "Portugal"},
	"RO": {iso3: "ROU", name: "Romania"},
	"SA": {iso3: "SAU", name: "Saudi Arabia"},
	"SE": {iso3: "SWE", name: "Sweden"},
	"SG": {iso3: "SGP", name: "Singapore"},
	"SI": {iso3: "SVN", name: "Slovenia"},
	"SK": {iso3: "SVK", name: "Slovakia"},
	"TH": {iso3: "THA", name: "Thailand"},
	"TR": {iso3: "TUR", name: "Türkiye"},
	"TW": {iso3: "TWN", name: "Taiwan"},
	"UA": {iso3: "UKR", name: "Ukraine"},
	"VN": {iso3: "VNM", name: "Vietnam"},
	"ZA": {iso3: "ZAF", name: "South Africa"},
}

// listCountries answers GET /V1/directory/countries.
func (s *Sandbox) listCountries(*call) (any, *failure) {
	codes := make([]string, 0, len(countries))
	for code := range countries {
		if s.allowed(code) {
			codes = append(codes, code)
		}
	}
	slices.Sort(codes)
	list := make([]any, 0, len(codes))
	for _, code := range codes {
		list = append(list, countries[code].view(code))
	}
	return list, nil
}

// readCountry answers GET /V1/directory/countries/{code}.
func (s *Sandbox) readCountry(c *call) (any, *failure) {
	if !s.allowed(c.id) {
		return nil, &failure{status: http.StatusNotFound, message: "The country isn't available."}
	}
	return countries[c.id].view(c.id), nil
}

// view renders a country; the ids of regions are strings here.
func (c country) view(code string) object {
	out := object{{"id", code}, {"two_letter_abbreviation", code}, {"three_letter_abbreviation", c.iso3},
		{"full_name_locale", c.name}, {"full_name_english", c.name}}
	if len(c.regions) > 0 {
		list := make([]any, 0, len(c.regions))
		for _, r := range c.regions {
			list = append(list, object{{"id", strconv.FormatInt(r.id, 10)}, {"code", r.code}, {"name", r.name}})
		}
		out = append(out, member{"available_regions", list})
	}
	return out
}
