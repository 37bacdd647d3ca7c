package ledgertest

import (
	"testing"

	"pgregory.net/rapid"

	"customer-gateway/gateway/ledger"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	Run(t, openMemory(""))
}

// TestModelBites switches the rules of a store off, one at a time, and looks how
// many random histories it takes until one of them shows it.
func TestModelBites(t *testing.T) {
	t.Parallel()
	const most = 20_000
	for _, mutant := range []string{
		"a refusal forgets unsure",
		"a refusal ignores what is newer",
		"a success forgets unsure",
		"accept wakes the resting",
		"claim on a closed route",
		"dead not revived",
		"free leases at start-up",
		"its own success forgets unsure",
		"lost wake-up",
		"newest unsure only",
		"no lease check",
		"no redo",
		"no repair after a late finish",
		"no state check",
		"no token check",
		"no unsure at reclaim",
		"redo for ever",
		"redo without settling",
		"resend the old version at reclaim",
		"sweep drops what is wanted",
		"unsure ignored",
		"unsure refusal ignored",
		"unsure success ignored",
	} {
		t.Run(mutant, func(t *testing.T) {
			t.Parallel()
			played := 0
			history := rapid.Custom(func(rt *rapid.T) bool {
				played++
				s := &suite{T: t, clock: newClock(), open: openMemory(mutant)}
				s.store = s.openStore()
				_, kept := play(rt, s, played)
				return kept
			})
			for played < most {
				if !history.Example(played) {
					t.Logf("shown by history %d", played)
					return
				}
			}
			t.Errorf("%d histories do not show it", played)
		})
	}
}

// TestSealed holds a store that is encrypted to the same promises.
func TestSealed(t *testing.T) {
	t.Parallel()
	open := openMemory("")
	Run(t, func(t *testing.T, o Options) ledger.Store {
		s, err := ledger.Sealed(t.Context(), open(t, o), []ledger.SealKey{newKey, oldKey})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
