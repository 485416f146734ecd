// The server as it was: Go's net/rpc, nothing else.
//
//	go run examples/go_interop/server.go
package main

import (
	"errors"
	"fmt"
	"log"
	"net"
	"net/rpc"
	"sort"
	"strings"
	"sync"
)

type Item struct {
	Name      string
	UnitPrice int
	Tags      []string
}

type Inventory struct {
	mu    sync.Mutex
	items map[string]Item
}

// Put keeps an item and tells how many there are now.
func (t *Inventory) Put(item Item, count *int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.items[item.Name] = item
	*count = len(t.items)
	return nil
}

// Get finds an item by its name.
func (t *Inventory) Get(name string, item *Item) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	found, ok := t.items[name]
	if !ok {
		return errors.New("no such item: " + name)
	}
	*item = found
	return nil
}

// Names lists the names that begin with a prefix.
func (t *Inventory) Names(prefix string, names *[]string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name := range t.items {
		if strings.HasPrefix(name, prefix) {
			*names = append(*names, name)
		}
	}
	sort.Strings(*names)
	return nil
}

// CountTags counts how many items have each of these tags.
func (t *Inventory) CountTags(tags []string, counts *map[string]int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	*counts = make(map[string]int)
	for _, item := range t.items {
		for _, tag := range item.Tags {
			for _, wanted := range tags {
				if tag == wanted {
					(*counts)[tag]++
				}
			}
		}
	}
	return nil
}

func main() {
	rpc.Register(&Inventory{items: make(map[string]Item)})
	listener, err := net.Listen("tcp", "127.0.0.1:4321")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	rpc.Accept(listener)
}
