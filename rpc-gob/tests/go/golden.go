// Values of every kind, as Go encodes them.
//
//	golden         prints a line for each value: its name and its gob, in a stream of its own
//	golden check   reads such lines and says of each whether it is that value
package main

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"net/url"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"time"
)

type Args struct{ A, B int }

type Empty struct{}

type Pair struct {
	F0 string
	F1 int
}

type Everything struct {
	Flag   bool
	Small  int8
	Byte   uint8
	Big    uint64
	Ratio  float32
	Name   string
	Data   []byte
	UserID uint32
}

type Nested struct {
	Args Args
	Ptr  *Args
	List []Args
	Map  map[string]Args
	Two  [2]Args
	Num  *int
}

type Tree struct {
	Value    int
	Children []Tree
	Left     *Tree
}

type Link struct {
	Value int
	Next  *Link
}

type Color string

type Weekday int

type Shape struct {
	Circle *Circle
	Square *float64
	Line   *[2]float64
}

type Circle struct{ Radius float64 }

type Square struct{ Side float64 }

type Any struct {
	Name  string
	Shape interface{}
	Last  int
}

type Inner struct{ Shape interface{} }

type Times struct {
	Created time.Time
	Updated time.Time
}

type Page struct {
	Items []string
	Next  *Page
}

type Lists struct {
	Names [][]string
	ByKey map[string][]int
}

type embedded struct{ Hidden int }

type Unexported struct {
	Shown  int
	hidden int
	embedded
}

func number(n int) *int { return &n }

func float(f float64) *float64 { return &f }

func parse(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return u
}

var values = []struct {
	name  string
	value interface{}
}{
	{"true", true},
	{"false", false},
	{"int 0", 0},
	{"int 7", 7},
	{"int -1", -1},
	{"int 63", 63},
	{"int 64", 64},
	{"int -64", -64},
	{"int -65", -65},
	{"int max", int64(math.MaxInt64)},
	{"int min", int64(math.MinInt64)},
	{"int8 min", int8(-128)},
	{"uint 0", uint(0)},
	{"uint 127", uint8(127)},
	{"uint 128", uint8(128)},
	{"uint max", uint64(math.MaxUint64)},
	{"float 0", 0.0},
	{"float 1.5", 1.5},
	{"float 17", 17.0},
	{"float -0", math.Copysign(0, -1)},
	{"float inf", math.Inf(1)},
	{"float -inf", math.Inf(-1)},
	{"float NaN", math.NaN()},
	{"float least", math.SmallestNonzeroFloat64},
	{"float32 0.1", float32(0.1)},
	{"complex", complex(1.5, -2)},
	{"string empty", ""},
	{"string hi", "hi"},
	{"string utf8", "日本"},
	{"string not utf8", "\xff\xfe"},
	{"bytes empty", []byte{}},
	{"bytes", []byte{0, 1, 127, 128, 255}},
	{"rune", 'ß'},
	{"[]int", []int{1, -2, 3}},
	{"[]int empty", []int{}},
	{"[]uint16", []uint16{1, 65535}},
	{"[]string", []string{"a", "", "b"}},
	{"[]bool", []bool{true, false}},
	{"[]float64", []float64{0, 0.5}},
	{"[][]byte", [][]byte{{1}, {}, {2, 3}}},
	{"[][]int", [][]int{{1}, {}, {2, 3}}},
	{"[3]int", [3]int{0, 1, 0}},
	{"[4]byte", [4]byte{0, 1, 128, 255}},
	{"map", map[string]int{"go": 2}},
	{"map empty", map[string]int{}},
	{"map of lists", map[int][]string{-1: {"a", "b"}}},
	{"map of bool", map[bool]uint{true: 1}},
	{"args", Args{7, 8}},
	{"args zero", Args{}},
	{"args b", Args{0, -3}},
	{"[]args", []Args{{1, 2}, {}, {0, 3}}},
	{"empty", Empty{}},
	{"pair", Pair{"a", 1}},
	{"everything", Everything{true, -128, 255, math.MaxUint64, 0.25, "n", []byte{1}, 7}},
	{"everything zero", Everything{}},
	{"nested", Nested{Args{1, 2}, &Args{3, 0}, []Args{{4, 5}}, map[string]Args{"k": {6, 7}}, [2]Args{{}, {8, 9}}, number(1)}},
	{"nested zero", Nested{}},
	{"tree", Tree{1, []Tree{{2, nil, nil}, {3, []Tree{{4, nil, nil}}, nil}}, &Tree{5, nil, &Tree{6, nil, nil}}}},
	{"link", Link{1, &Link{2, &Link{3, nil}}}},
	{"color", Color("Red")},
	{"weekday", Weekday(2)},
	{"shape circle", Shape{Circle: &Circle{2}}},
	{"shape square", Shape{Square: float(3)}},
	{"shape line", Shape{Line: &[2]float64{1, 0}}},
	{"any nil", Any{"n", nil, 1}},
	{"any int", Any{"n", 7, 1}},
	{"any string", Any{"n", "s", 1}},
	{"any circle", Any{"n", Circle{2}, 1}},
	{"any any", Any{"n", Inner{Circle{2}}, 1}},
	{"any any any", Any{"n", Inner{Inner{Square{3}}}, 1}},
	{"[]any", []interface{}{1, "a", Circle{2}, Square{3}, Circle{4}, []int{5}}},
	{"time utc", time.Unix(1700000000, 5).UTC()},
	{"time zone", time.Unix(1700000000, 0).In(time.FixedZone("", 3600))},
	{"time seconds", time.Unix(1700000000, 0).In(time.FixedZone("", 12601))},
	{"times", Times{Created: time.Unix(1, 2).UTC()}},
	{"big", big.NewInt(-1 << 40)},
	{"url", parse("https://go.dev/")},
	{"page", Page{[]string{"a"}, &Page{nil, &Page{[]string{"b"}, nil}}}},
	{"page empty", Page{}},
	{"lists", Lists{[][]string{{}, {"a"}}, map[string][]int{"k": {}}}},
	{"unexported", Unexported{Shown: 1}},
}

func find(name string) interface{} {
	for _, v := range values {
		if v.name == name {
			return v.value
		}
	}
	panic(name)
}

// Type ids are numbered in a process, so each value has one of its own.
func print() {
	for _, v := range values {
		out, err := exec.Command(os.Args[0], "one", v.name).Output()
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s: %s\n", v.name, out)
	}
}

func encode(value interface{}) []byte {
	var buf bytes.Buffer
	if err := gob.NewEncoder(&buf).Encode(value); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

func one(name string) {
	fmt.Print(hex.EncodeToString(encode(find(name))))
}

func same(a, b interface{}) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	switch a := a.(type) {
	case time.Time:
		return a.Equal(b.(time.Time)) && a.Format(time.RFC3339) == b.(time.Time).Format(time.RFC3339)
	case float64:
		return a != a && b.(float64) != b.(float64)
	}
	// What is empty may be nil.
	return bytes.Equal(encode(a), encode(b))
}

func check() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), ": ")
		stream, err := hex.DecodeString(text)
		if err != nil {
			panic(err)
		}
		want := find(name)
		got := reflect.New(reflect.TypeOf(want))
		if err := gob.NewDecoder(bytes.NewReader(stream)).DecodeValue(got); err != nil {
			fmt.Printf("%s: %v\n", name, err)
		} else if !same(want, got.Elem().Interface()) {
			fmt.Printf("%s: %#v instead of %#v\n", name, got.Elem().Interface(), want)
		} else {
			fmt.Printf("%s: ok\n", name)
		}
	}
}

func main() {
	gob.Register(Circle{})
	gob.Register(Square{})
	gob.Register(Inner{})
	gob.Register([]int{})
	switch {
	case len(os.Args) == 3:
		one(os.Args[2])
	case len(os.Args) == 2:
		check()
	default:
		print()
	}
}
