// The Go side of the interoperability tests: a server and a client of net/rpc as anybody would write
// them, with the standard library's own codecs and, under the build tag msgpack, HashiCorp's.
//
//	peer server PROTOCOL...     serve the services of this folder until standard input ends
//	peer client FLAGS CASE...   run cases against a server, one line about each
//	peer bench FLAGS            Go's benchmarks against two servers in turn
//
// PROTOCOL is gob, jsonrpc, http or msgpack. The test that builds and runs this is ../interop_go.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: peer server|client|bench"))
	}
	var err error
	switch command, args := os.Args[1], os.Args[2:]; command {
	case "server":
		err = serve(args)
	case "client":
		err = run(args)
	case "bench":
		err = bench(args)
	default:
		err = fmt.Errorf("no such command: %s", command)
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "peer:", err)
	os.Exit(1)
}
