// The client, which stays as it is: Go's net/rpc and net/rpc/jsonrpc, nothing else.
//
//	go run examples/go_interop/client.go 127.0.0.1:4321 gob
package main

import (
	"fmt"
	"log"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
)

type Item struct {
	Name      string
	UnitPrice int
	Tags      []string
}

func try(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func use(client *rpc.Client) {
	defer client.Close()
	var count int
	try(client.Call("Inventory.Put", Item{"apple", 30, []string{"fruit"}}, &count))
	try(client.Call("Inventory.Put", Item{"apricot", 45, []string{"fruit", "soft"}}, &count))
	fmt.Println("  items:", count)

	var item Item
	try(client.Call("Inventory.Get", "apricot", &item))
	fmt.Printf("  %+v\n", item)
	fmt.Println("  error:", client.Call("Inventory.Get", "anchor", &item))

	var names, none []string
	var tags map[string]int
	calls := []*rpc.Call{
		client.Go("Inventory.Names", "ap", &names, nil),
		client.Go("Inventory.Names", "z", &none, nil),
		client.Go("Inventory.CountTags", []string{"fruit", "soft"}, &tags, nil),
	}
	for _, call := range calls {
		<-call.Done
		try(call.Error)
	}
	fmt.Println("  names:", names, none)
	fmt.Println("  tags:", tags)
}

func main() {
	dial := map[string]func(network, address string) (*rpc.Client, error){
		"gob":  rpc.Dial,
		"json": jsonrpc.Dial,
		"http": rpc.DialHTTP,
	}
	for _, protocol := range os.Args[2:] {
		client, err := dial[protocol]("tcp", os.Args[1])
		try(err)
		fmt.Println(protocol)
		use(client)
	}
}
