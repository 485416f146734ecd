package main

import (
	"errors"
	"fmt"
	"net/rpc"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"time"
)

// Echo is a service for values of one type.
type Echo[T any] struct{}

// Echo gives the value back. A nil list or map becomes an empty one: as a reply of its own, Go's
// JSON-RPC client takes null for an error.
func (Echo[T]) Echo(value T, reply *T) error {
	kind := reflect.TypeOf(value).Kind()
	if (kind == reflect.Slice || kind == reflect.Map) && reflect.ValueOf(value).IsNil() {
		return nil
	}
	*reply = value
	return nil
}

// Text says what arrived.
func (Echo[T]) Text(value T, reply *string) error {
	*reply = text(value)
	return nil
}

// Arith is the service of Go's own tests.
type Arith struct{}

func (Arith) Add(args Args, reply *Reply) error {
	reply.C = args.A + args.B
	return nil
}

func (Arith) Mul(args *Args, reply *Reply) error {
	reply.C = args.A * args.B
	return nil
}

func (Arith) Multiply(args *Args, reply *int64) error {
	*reply = args.A * args.B
	return nil
}

func (Arith) Div(args Args, reply *Reply) error {
	if args.B == 0 {
		return errors.New("divide by zero")
	}
	reply.C = args.A / args.B
	return nil
}

func (Arith) String(args *Args, reply *string) error {
	*reply = fmt.Sprintf("%d+%d=%d", args.A, args.B, args.A+args.B)
	return nil
}

func (Arith) Scan(args string, reply *Reply) error {
	_, err := fmt.Sscan(args, &reply.C)
	return err
}

// Pair takes an array and a struct, both of which are tuples to Rust.
type Pair struct{}

func (Pair) Array(args [2]int64, reply *[2]int64) error {
	*reply = [2]int64{args[1], args[0]}
	return nil
}

func (Pair) Struct(args Args, reply *Args) error {
	*reply = Args{args.B, args.A}
	return nil
}

// Cartons takes and gives values of types that only the value itself tells.
type Cartons struct{}

func (Cartons) Text(carton Carton, reply *string) error {
	*reply = text(carton)
	return nil
}

// Of gives a carton with a point in it, or an empty one.
func (Cartons) Of(label string, reply *Carton) error {
	reply.Label = label
	if label != "" {
		reply.Content = Point{1, 2}
	}
	return nil
}

// Faults fails.
type Faults struct{}

func (Faults) Fail(message string, reply *string) error {
	*reply = "not to be seen"
	return errors.New(message)
}

// NotUTF8 replies with a string that is none in Rust.
func (Faults) NotUTF8(_ struct{}, reply *string) error {
	*reply = "a\xffz"
	return nil
}

// Nil replies nil where Go's own servers reply empty lists and maps.
type Nil struct{}

func (Nil) Strings(_ struct{}, reply *[]string) error {
	*reply = nil
	return nil
}

func (Nil) Ages(_ struct{}, reply *map[string]int64) error {
	*reply = nil
	return nil
}

func (Nil) Bytes(_ struct{}, reply *[]byte) error {
	*reply = nil
	return nil
}

// Nothing takes nothing and replies nothing.
type Nothing struct{}

func (Nothing) Nothing(_ struct{}, _ *struct{}) error { return nil }

func (Nothing) Answer(_ struct{}, reply *int64) error {
	*reply = 42
	return nil
}

func (Nothing) Discard(_ int64, _ *struct{}) error { return nil }

// Tree works on trees.
type Tree struct{}

func (Tree) Sum(node *Node, reply *int64) error {
	*reply = sum(node)
	return nil
}

func (Tree) Mirror(node *Node, reply *Node) error {
	*reply = *mirror(node)
	return nil
}

func (Tree) Length(list *List, reply *int64) error {
	for ; list != nil; list = list.Tail {
		*reply++
	}
	return nil
}

func (Tree) Listed(length int64, reply *List) error {
	*reply = *listed(int(length))
	return nil
}

func listed(length int) (list *List) {
	for i := 0; i < length; i++ {
		list = &List{"", list}
	}
	return list
}

func sum(node *Node) int64 {
	if node == nil {
		return 0
	}
	return node.Value + sum(node.Left) + sum(node.Right)
}

func mirror(node *Node) *Node {
	if node == nil {
		return nil
	}
	return &Node{node.Value, mirror(node.Right), mirror(node.Left)}
}

// Blob has many bytes.
type Blob struct{}

func (Blob) Digest(bytes []byte, reply *string) error {
	*reply = digest(bytes)
	return nil
}

func (Blob) Make(size int64, reply *[]byte) error {
	*reply = noise(int(size))
	return nil
}

// Slow takes its time.
type Slow struct{}

func (Slow) Sleep(microseconds int64, reply *int64) error {
	time.Sleep(time.Duration(microseconds) * time.Microsecond)
	*reply = microseconds
	return nil
}

// Gate holds calls up until a caller, of any connection, lets them go.
type Gate struct {
	mutex   sync.Mutex // protects following
	gates   map[string]chan struct{}
	waiting map[string]int64
}

func (g *Gate) gate(key string) chan struct{} {
	gate := g.gates[key]
	if gate == nil {
		gate = make(chan struct{})
		g.gates[key] = gate
	}
	return gate
}

// Wait replies with the gate's key once it is open.
func (g *Gate) Wait(key string, reply *string) error {
	g.mutex.Lock()
	gate := g.gate(key)
	g.waiting[key]++
	g.mutex.Unlock()
	<-gate
	g.mutex.Lock()
	g.waiting[key]--
	g.mutex.Unlock()
	*reply = key
	return nil
}

func (g *Gate) Open(key string, _ *struct{}) error {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	close(g.gate(key))
	return nil
}

// Waiting is how many calls wait at gates whose keys begin so.
func (g *Gate) Waiting(prefix string, reply *int64) error {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	for key, waiting := range g.waiting {
		if strings.HasPrefix(key, prefix) {
			*reply += waiting
		}
	}
	return nil
}

func register(server *rpc.Server) error {
	var err error
	name := func(name string, service interface{}) {
		if err == nil {
			err = server.RegisterName(name, service)
		}
	}
	name("Bool", Echo[bool]{})
	name("Int", Echo[int]{})
	name("Int8", Echo[int8]{})
	name("Int16", Echo[int16]{})
	name("Int32", Echo[int32]{})
	name("Int64", Echo[int64]{})
	name("Uint", Echo[uint]{})
	name("Uint8", Echo[uint8]{})
	name("Uint16", Echo[uint16]{})
	name("Uint32", Echo[uint32]{})
	name("Uint64", Echo[uint64]{})
	name("Float32", Echo[float32]{})
	name("Float64", Echo[float64]{})
	name("String", Echo[string]{})
	name("Bytes", Echo[[]byte]{})
	name("Celsius", Echo[Celsius]{})
	name("Label", Echo[Label]{})
	name("Level", Echo[Level]{})
	name("Labels", Echo[Labels]{})
	name("Board", Echo[Board]{})
	name("Named", Echo[Named]{})
	name("Bools", Echo[[]bool]{})
	name("Int8s", Echo[[]int8]{})
	name("Uint16s", Echo[[]uint16]{})
	name("Int64s", Echo[[]int64]{})
	name("Float32s", Echo[[]float32]{})
	name("Float64s", Echo[[]float64]{})
	name("Strings", Echo[[]string]{})
	name("Rows", Echo[[][]int64]{})
	name("Chunks", Echo[[][]byte]{})
	name("Points", Echo[[]Point]{})
	name("Triple", Echo[[3]int64]{})
	name("Two", Echo[[2]string]{})
	name("Address", Echo[[4]byte]{})
	name("Grid", Echo[[2][2]int64]{})
	name("Ages", Echo[map[string]int64]{})
	name("Names", Echo[map[int64]string]{})
	name("Flags", Echo[map[uint8]bool]{})
	name("Routes", Echo[map[string][]string]{})
	name("Tables", Echo[map[string]map[string]int64]{})
	name("Places", Echo[map[string]Point]{})
	name("ByBool", Echo[map[bool]string]{})
	name("ByPoint", Echo[map[Point]string]{})
	name("Point", Echo[Point]{})
	name("Nested", Echo[Nested]{})
	name("Links", Echo[Links]{})
	name("PointersList", Echo[[]Pointers]{})
	name("PointersMap", Echo[map[string]Pointers]{})
	name("Nodes", Echo[[]Node]{})
	name("Sparse", Echo[Sparse]{})
	name("SparseList", Echo[[]Sparse]{})
	name("Unit", Echo[struct{}]{})
	name("Braces", Echo[struct{}]{})
	name("Hash", Echo[[20]byte]{})
	name("Dynamic", Echo[map[string]interface{}]{})
	name("Derived", Echo[Derived]{})
	name("Flattened", Echo[Derived]{})
	name("Pointers", Echo[Pointers]{})
	name("User", Echo[User]{})
	name("LaxUser", Echo[User]{})
	name("Record", Echo[Record]{})
	name("Node", Echo[Node]{})
	name("List", Echo[List]{})
	name("Dir", Echo[Dir]{})
	name("Everything", Echo[Everything]{})
	name("Color", Echo[Color]{})
	name("Grade", Echo[Grade]{})
	name("Shape", Echo[Shape]{})
	name("Shapes", Echo[[]Shape]{})
	name("Carton", Cartons{})
	name("Time", Echo[time.Time]{})
	name("TimeText", Echo[time.Time]{})
	name("Complex", Echo[complex128]{})
	name("URL", Echo[url.URL]{})
	name("Moment", Echo[Moment]{})
	name("Arith", Arith{})
	name("net.rpc.Arith", Arith{})
	name("Pair", Pair{})
	name("Faults", Faults{})
	name("Nil", Nil{})
	name("Nothing", Nothing{})
	name("Tree", Tree{})
	name("Blob", Blob{})
	name("Slow", Slow{})
	name("Gate", &Gate{gates: map[string]chan struct{}{}, waiting: map[string]int64{}})
	return err
}

// noise is bytes that all runs agree on.
func noise(size int) []byte {
	bytes := make([]byte, size)
	state := uint32(size)
	for i := range bytes {
		state = state*1664525 + 1013904223
		bytes[i] = byte(state >> 24)
	}
	return bytes
}
