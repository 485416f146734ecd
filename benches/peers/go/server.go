package main

import (
	"fmt"
	"net"
	"net/rpc"
	"syscall"
)

type Args struct{ A, B int64 }

type Arith struct{}

func (*Arith) Multiply(args *Args, reply *int64) error {
	*reply = args.A * args.B
	return nil
}

func (*Arith) Echo(args *[]byte, reply *[]byte) error {
	*reply = *args
	return nil
}

// Block blocks its thread, which time.Sleep would not.
func (*Arith) Block(nanoseconds *int64, _ *bool) error {
	time := syscall.NsecToTimespec(*nanoseconds)
	for syscall.Nanosleep(&time, &time) == syscall.EINTR {
	}
	return nil
}

// serve prints its address, serves, and answers every line with the number of its allocations
// until there are no more lines.
func serve() error {
	if err := rpc.Register(new(Arith)); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go rpc.Accept(listener)
	fmt.Println(listener.Addr())
	for lines.Scan() {
		fmt.Println(allocations())
	}
	return nil
}
