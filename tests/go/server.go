package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
)

// otherPath is where CONNECT leads to the services besides rpc.DefaultRPCPath.
const otherPath = "/other/rpc"

// serve listens on a port of its own for each protocol, since Go's server cannot tell them apart, and
// prints a line "PROTOCOL ADDRESS" for each.
func serve(protocols []string) error {
	server := rpc.NewServer()
	if err := register(server); err != nil {
		return err
	}
	for _, protocol := range protocols {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		switch protocol {
		case "gob":
			go server.Accept(listener)
		case "jsonrpc":
			go accept(server, listener, jsonrpc.NewServerCodec)
		case "msgpack":
			if newMsgpackServerCodec == nil {
				return errNoMsgpack
			}
			go accept(server, listener, newMsgpackServerCodec)
		case "http":
			server.HandleHTTP(rpc.DefaultRPCPath, rpc.DefaultDebugPath)
			server.HandleHTTP(otherPath, "/other/debug")
			go http.Serve(listener, nil)
		default:
			return fmt.Errorf("no such protocol: %s", protocol)
		}
		fmt.Println(protocol, listener.Addr())
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func accept(server *rpc.Server, listener net.Listener, codec func(io.ReadWriteCloser) rpc.ServerCodec) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			fail(err)
		}
		go server.ServeCodec(codec(conn))
	}
}
