//go:build !msgpack

package main

import (
	"errors"
	"io"
	"net/rpc"
)

// What stands for HashiCorp's codec where it is not installed.
var (
	newMsgpackServerCodec func(io.ReadWriteCloser) rpc.ServerCodec
	newMsgpackClient      func(io.ReadWriteCloser) *rpc.Client
	errNoMsgpack          = errors.New("built without the tag msgpack")
)
