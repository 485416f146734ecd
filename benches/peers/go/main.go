// The two ends of Go's net/rpc, with gob: `peers server` and `peers client`, as the driver in
// ../src starts them. ../src/workload.rs describes what the two processes say and are told.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 4 && os.Args[1] == "server":
		err = serve()
	case len(os.Args) == 5 && os.Args[1] == "client":
		err = drive(os.Args[3], os.Args[4])
	default:
		err = fmt.Errorf("this program is started by the driver: %q", os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

var lines = bufio.NewScanner(os.Stdin)

// allocations is how many objects this process has allocated.
func allocations() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.Mallocs
}
