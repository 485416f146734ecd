package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/rpc"
	"strings"
)

func httpOtherPath(t *target) error {
	there, err := rpc.DialHTTPPath("tcp", t.other, otherPath)
	if err != nil {
		return err
	}
	defer there.Close()
	return alive(&client{there, t.protocol})
}

func httpWrongPath(t *target) error {
	there, err := rpc.DialHTTPPath("tcp", t.addr, "/nowhere")
	if err == nil {
		there.Close()
		return fmt.Errorf("CONNECT /nowhere succeeds")
	}
	if !strings.HasSuffix(err.Error(), "unexpected HTTP response: 404 Not Found") {
		return err
	}
	return nil
}

// httpGet is somebody with a browser.
func httpGet(t *target) error {
	for _, method := range []string{"GET", "POST"} {
		request, err := http.NewRequest(method, "http://"+t.addr+rpc.DefaultRPCPath, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		kind := response.Header.Get("Content-Type")
		if err != nil || response.StatusCode != 405 || string(body) != "405 must CONNECT\n" || kind != "text/plain; charset=utf-8" {
			return fmt.Errorf("%s: %s, %s: %q, %v", method, response.Status, kind, body, err)
		}
	}
	return nil
}

// connect sends a request and whatever follows it, and reads the answer to it.
func connect(t *target, request string) (net.Conn, *http.Response, error) {
	conn, err := net.Dial("tcp", t.addr)
	if err != nil {
		return nil, nil, err
	}
	if _, err = io.WriteString(conn, request); err != nil {
		return nil, nil, err
	}
	// Byte by byte: what follows the answer must not be lost in a buffer.
	response, err := http.ReadResponse(bufio.NewReaderSize(oneByOne{conn}, 16), &http.Request{Method: "CONNECT"})
	return conn, response, err
}

type oneByOne struct{ io.Reader }

func (r oneByOne) Read(buffer []byte) (int, error) {
	return r.Reader.Read(buffer[:1])
}

// httpHeaders is CONNECT as other programs write it.
func httpHeaders(t *target) error {
	for _, request := range []string{
		"CONNECT /_goRPC_ HTTP/1.1\r\nHost: localhost\r\nUser-Agent: x/1.0\r\nAccept: */*\r\n\r\n",
		"CONNECT /_goRPC_ HTTP/1.0\n\n",
		"CONNECT /_goRPC_ HTTP/1.0\r\n\r\n",
	} {
		conn, response, err := connect(t, request)
		if err != nil {
			return err
		}
		if response.Status != "200 Connected to Go RPC" {
			return fmt.Errorf("%q: %s", request, response.Status)
		}
		c := rpc.NewClient(conn)
		if err := alive(&client{c, t.protocol}); err != nil {
			return fmt.Errorf("%q: %w", request, err)
		}
		c.Close()
	}
	return nil
}

// httpEarlyBytes does not wait for the answer to CONNECT before it makes a call, whose bytes come in the
// same segment.
func httpEarlyBytes(t *target) error {
	ours, theirs := net.Pipe()
	c := rpc.NewClient(ours)
	defer c.Close()
	started := make(chan *rpc.Call)
	go func() { started <- c.Go("Arith.Add", Args{7, 8}, new(Reply), nil) }()
	// A request and the types in it, which rpc.Client writes at once.
	early := make([]byte, 4096)
	length, err := theirs.Read(early)
	if err != nil {
		return err
	}
	call := <-started
	conn, response, err := connect(t, "CONNECT "+rpc.DefaultRPCPath+" HTTP/1.0\n\n"+string(early[:length]))
	if err != nil || response.StatusCode != 200 {
		return fmt.Errorf("CONNECT: %v, %v", response, err)
	}
	defer conn.Close()
	go io.Copy(theirs, conn)
	go io.Copy(conn, theirs)
	if <-call.Done; call.Error != nil || call.Reply.(*Reply).C != 15 {
		return fmt.Errorf("reply %v, %v", call.Reply, call.Error)
	}
	return alive(&client{c, t.protocol})
}
