package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"customer-gateway/config"
	"customer-gateway/config/section"
	"customer-gateway/gateway/ledger/sqlite"
)

// backupCommand copies the ledger, also while a gateway uses it.
func (p *program) backupCommand() *cobra.Command {
	var s settings
	var database string
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the ledger to a file, also while the gateway runs",
		Long: `Write a copy of the ledger (ledger.dsn) to a new file, as of one moment and readable
by its owner only. The gateway may go on meanwhile. The copy is as sensitive as the
ledger: without ledger.encryption.keys it holds customers in clear.

To restore, stop the gateway, move the ledger and the files beside it (-wal, -shm)
away, and put the copy in its place. What was accepted after the backup is lost then,
so send it again.

--database names the ledger directly, where the configuration or its secrets are not
at hand.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return usageError{fmt.Errorf("%s takes one file, the one to write; see %[1]s --help", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			path, to := database, args[0]
			if path == "" {
				cfg, _, err := p.load(s)
				if faults, ok := errors.AsType[section.Faults](err); ok {
					p.showFaults(faults)
					return usageError{errors.New("the ledger is not known without the configuration; name it with --database")}
				}
				if err != nil {
					return err
				}
				if cfg.Ledger.Driver == config.DriverNone {
					return usageError{fmt.Errorf("%s has no ledger to back up (ledger.driver: none)", s.file)}
				}
				path = cfg.Ledger.DSN
			}
			begun := time.Now()
			if err := sqlite.Backup(cmd.Context(), path, to); err != nil {
				return err
			}
			info, err := os.Stat(to)
			if err != nil {
				return err
			}
			fmt.Fprintf(p.out, "%s: %s, in %v\n", to, bytesText(info.Size()), time.Since(begun).Round(time.Millisecond))
			return nil
		},
	}
	s.register(cmd)
	cmd.Flags().StringVar(&database, "database", "", "path of the ledger, instead of the one in the configuration")
	return cmd
}

// bytesText writes a size for people.
func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
}
