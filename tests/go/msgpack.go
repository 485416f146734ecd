//go:build msgpack

package main

import (
	"errors"

	msgpackrpc "github.com/hashicorp/net-rpc-msgpackrpc"
)

var (
	newMsgpackServerCodec = msgpackrpc.NewServerCodec
	newMsgpackClient      = msgpackrpc.NewClient
	errNoMsgpack          = errors.New("unreachable: msgpack is built in")
)
