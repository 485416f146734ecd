// The Go side of the TLS tests: crypto/tls and net/rpc as anybody would write them.
//
//	peer client ADDRESS ROOTS [CERTIFICATE KEY]   call a server by gob and by JSON; -old: as TLS 1.2
//	peer server CERTIFICATE KEY CLIENTS           serve gob until standard input ends
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
)

type Echo int

func (Echo) Number(n int, reply *int) error {
	*reply = n
	return nil
}

func main() {
	var err error
	switch os.Args[1] {
	case "client":
		err = client(tls.VersionTLS13, os.Args[2:])
	case "old":
		err = client(tls.VersionTLS12, os.Args[2:])
	case "server":
		err = server(os.Args[2:])
	}
	if err != nil {
		fmt.Println("error:", err)
	}
}

func pool(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return roots, nil
}

func client(version uint16, args []string) error {
	roots, err := pool(args[1])
	if err != nil {
		return err
	}
	config := &tls.Config{RootCAs: roots, ServerName: "localhost", MaxVersion: version}
	if len(args) > 2 {
		pair, err := tls.LoadX509KeyPair(args[2], args[3])
		if err != nil {
			return err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	for _, wrap := range []func(io.ReadWriteCloser) *rpc.Client{rpc.NewClient, jsonrpc.NewClient} {
		conn, err := tls.Dial("tcp", args[0], config)
		if err != nil {
			return err
		}
		client := wrap(conn)
		var number uint64
		if err := client.Call("Echo.Number", uint64(7), &number); err != nil {
			return err
		}
		var who string
		err = client.Call("Echo.Who", struct{}{}, &who)
		fmt.Println(number, who, err)
		if err := client.Close(); err != nil {
			return err
		}
	}
	return nil
}

func server(args []string) error {
	pair, err := tls.LoadX509KeyPair(args[0], args[1])
	if err != nil {
		return err
	}
	clients, err := pool(args[2])
	if err != nil {
		return err
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientCAs:    clients,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return err
	}
	server := rpc.NewServer()
	if err := server.Register(new(Echo)); err != nil {
		return err
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).String())
	go server.Accept(listener)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
