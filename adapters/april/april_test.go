package april

import (
	"testing"

	"customer-gateway/adapters/adaptertest"
)

func suite() adaptertest.Case {
	return adaptertest.Case{Adapters: []adaptertest.Setup{
		{Adapter: New(Config{MerchantID: "mcht_Zz6SN_8bIUK88SSm", Organization: true})},
		{Name: "address", Adapter: New(Config{Address: true, IsVerified: "email", LowerCaseEmail: true})},
	}, Without: []string{"created", "updated"}}
}

func TestConformance(t *testing.T) { adaptertest.Run(t, suite()) }

func FuzzInterpret(f *testing.F) { adaptertest.Fuzz(f, suite()) }
