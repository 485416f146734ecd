package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"strings"
	"time"
)

// target is the server that the cases are about.
type target struct {
	protocol   string
	addr       string
	other      string // has the services on otherPath
	restricted string // speaks gob and nothing else
	limited    string // takes 10,000 bytes
	cases      []string
	answers    *bufio.Scanner // of the test that has started us
}

// patience is how long a case may take on a busy machine.
const patience = 40 * time.Second

// run runs the cases one after the other, each on connections of its own, and prints a line about each:
// "ok NAME" or "FAIL NAME: why".
func run(args []string) error {
	t := target{answers: bufio.NewScanner(os.Stdin)}
	flags := flag.NewFlagSet("client", flag.ExitOnError)
	flags.StringVar(&t.protocol, "protocol", "gob", "gob, jsonrpc, http or msgpack")
	flags.StringVar(&t.addr, "addr", "", "the server")
	flags.StringVar(&t.other, "other", "", "a server with the services on "+otherPath)
	flags.StringVar(&t.restricted, "restricted", "", "a server that speaks gob only")
	flags.StringVar(&t.limited, "limited", "", "a server that takes 10,000 bytes")
	flags.Parse(args)
	t.cases = flags.Args()
	failed := 0
	for _, name := range t.cases {
		if err := t.try(name); err != nil {
			failed++
			fmt.Printf("FAIL %s: %s\n", name, oneLine(err.Error()))
		} else {
			fmt.Printf("ok %s\n", name)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d cases failed", failed, len(t.cases))
	}
	return nil
}

func (t *target) try(name string) error {
	ended := make(chan error, 1)
	go func() {
		defer func() {
			if why := recover(); why != nil {
				ended <- fmt.Errorf("panic: %v", why)
			}
		}()
		if values := values[name]; values != nil {
			ended <- t.with(values)
		} else if about := cases[name]; about != nil {
			ended <- about(t)
		} else {
			ended <- errors.New("there is no such case")
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-time.After(patience):
		return fmt.Errorf("not over after %s", patience)
	}
}

// with runs part of a case on a connection of its own.
func (t *target) with(part func(*client) error) error {
	c, err := t.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	return part(c)
}

// client is a connection.
type client struct {
	*rpc.Client
	protocol string
}

func (t *target) dial() (*client, error) {
	if t.protocol == "http" {
		c, err := rpc.DialHTTP("tcp", t.addr)
		return &client{c, t.protocol}, err
	}
	conn, err := net.Dial("tcp", t.addr)
	if err != nil {
		return nil, err
	}
	return t.over(conn)
}

// over speaks the target's protocol over a connection.
func (t *target) over(conn net.Conn) (*client, error) {
	var c *rpc.Client
	switch t.protocol {
	case "gob":
		c = rpc.NewClient(conn)
	case "jsonrpc":
		c = jsonrpc.NewClient(conn)
	case "msgpack":
		if newMsgpackClient == nil {
			return nil, errNoMsgpack
		}
		c = newMsgpackClient(conn)
	case "http":
		// As rpc.DialHTTPPath does it.
		io.WriteString(conn, "CONNECT "+rpc.DefaultRPCPath+" HTTP/1.0\n\n")
		response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: "CONNECT"})
		if err != nil {
			return nil, err
		}
		if response.Status != "200 Connected to Go RPC" {
			return nil, errors.New(response.Status)
		}
		c = rpc.NewClient(conn)
	default:
		return nil, fmt.Errorf("no such protocol: %s", t.protocol)
	}
	return &client{c, t.protocol}, nil
}

// ask has the test do something to the server, and gives its answer.
func (t *target) ask(what string) (string, error) {
	fmt.Println("?", what)
	if !t.answers.Scan() {
		return "", errors.New("nobody answers")
	}
	return t.answers.Text(), nil
}

// call calls a method whose reply is an R.
func call[R any](c *client, method string, args interface{}) (R, error) {
	var reply R
	err := c.Call(method, args, &reply)
	return reply, err
}

// expect calls a method and compares its reply.
func expect[R any](c *client, method string, args interface{}, want R) error {
	got, err := call[R](c, method, args)
	if err != nil {
		return fmt.Errorf("%s(%s): %w", method, brief(text(args)), err)
	}
	if text(got) != text(want) {
		return fmt.Errorf("%s(%s) = %s, want %s", method, brief(text(args)), brief(text(got)), brief(text(want)))
	}
	return nil
}

// refused calls a method and compares the error, which the server has sent; any text will do if none is
// wanted. Then it checks that the connection goes on.
func refused(c *client, method string, args interface{}, want string) error {
	return refusedIf(c, method, args, func(got string) bool { return got != "" && (want == "" || got == want) })
}

// refusedSaying is the same for an error that only has some words in it.
func refusedSaying(c *client, method string, args interface{}, words string) error {
	return refusedIf(c, method, args, func(got string) bool { return strings.Contains(got, words) })
}

func refusedIf(c *client, method string, args interface{}, fits func(string) bool) error {
	var reply Reply
	err := c.Call(method, args, &reply)
	if _, is := err.(rpc.ServerError); !is || !fits(err.Error()) {
		return fmt.Errorf("%s(%s): %T %v", method, brief(text(args)), err, err)
	}
	if err := alive(c); err != nil {
		return fmt.Errorf("after %s(%s): %w", method, brief(text(args)), err)
	}
	return nil
}

// alive checks that a connection can be used.
func alive(c *client) error {
	return expect(c, "Arith.Add", Args{7, 8}, Reply{15})
}

// all is the first error there is.
func all(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// inParallel runs parts at the same time.
func inParallel(parts int, part func(int) error) error {
	ended := make(chan error, parts)
	for i := 0; i < parts; i++ {
		go func(i int) { ended <- part(i) }(i)
	}
	var first error
	for i := 0; i < parts; i++ {
		if err := <-ended; err != nil && first == nil {
			first = err
		}
	}
	return first
}

func oneLine(text string) string {
	return fmt.Sprintf("%.1000s", replaceControls(text))
}

func replaceControls(text string) string {
	runes := []rune(text)
	for i, r := range runes {
		if r < ' ' || r == 0x7f {
			runes[i] = '·'
		}
	}
	return string(runes)
}
