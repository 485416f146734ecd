package main

import "time"

// Types with names, which do not cross the wire.
type (
	Celsius float64
	Label   string
	Level   uint8
	Labels  []Label
	Board   map[Label]Celsius
)

// Named is made of them.
type Named struct {
	Celsius Celsius
	Label   Label
	Level   Level
	Labels  Labels
	Board   Board
}

type Point struct{ X, Y int64 }

// Nested has structs in all places.
type Nested struct {
	Title  string
	Origin Point
	Path   []Point
	ByName map[string]Point
	Far    *Point
	Matrix [][]float64
	Inner  struct{ Deep struct{ Value int32 } }
}

type Base struct {
	ID   int64
	Name string
}

// Derived embeds Base: gob makes it a field of that name, JSON and MessagePack put its fields in line.
type Derived struct {
	Base
	Extra string
}

// Pointers may all be nil.
type Pointers struct {
	Int    *int64
	String *string
	Bool   *bool
	Point  *Point
	List   *[]int64
}

// Links are only pointers.
type Links struct {
	Up   *Point
	Down *Links
}

// Sparse has a pointer and what is left out in Rust.
type Sparse struct {
	Number *int64
	Word   string
	List   []int64
	Last   int64
}

// User has names that are not as Rust's would be capitalised.
type User struct {
	UserID     int64
	HTTPServer string
	IsAdmin    bool
	Name       string
}

// Record is what the server has; the next three are what a client of another version may have.
type Record struct {
	A int64
	B string
	C []int64
	D map[string]bool
	E *Point
}

type RecordFewer struct {
	A int64
	C []int64
}

type RecordMore struct {
	A int64
	B string
	C []int64
	D map[string]bool
	E *Point
	F float64
	G *Nested
	H map[int64][]string
	I [2]Point
}

type RecordReordered struct {
	E *Point
	D map[string]bool
	C []int64
	B string
	A int64
}

// Node is a binary tree.
type Node struct {
	Value       int64
	Left, Right *Node
}

// List is a linked list.
type List struct {
	Head string
	Tail *List
}

// Dir contains itself in lists and in maps.
type Dir struct {
	Name    string
	Entries []Dir
	Links   map[string]Dir
}

// Everything has a field of every kind.
type Everything struct {
	Bool    bool
	Int     int
	Int8    int8
	Int16   int16
	Int32   int32
	Int64   int64
	Uint    uint
	Uint8   uint8
	Uint16  uint16
	Uint32  uint32
	Uint64  uint64
	Float32 float32
	Float64 float64
	String  string
	Bytes   []byte
	List    []int64
	Table   map[string]int64
	Array   [3]int64
	Point   Point
	Far     *Point
}

// Color is one of some words; in Rust it is an enum.
type Color string

// Grade is one of some numbers.
type Grade int

// Shape is one of its fields, the others being nil; in Rust it is an enum with data.
type Shape struct {
	Circle *Circle
	Square *Square
}

type Circle struct{ Radius float64 }

type Square struct{ Side float64 }

// Carton holds a value of any registered type.
type Carton struct {
	Label   string
	Content interface{}
}

type Moment struct {
	Label string
	At    time.Time
}

type Args struct{ A, B int64 }

type Reply struct{ C int64 }
