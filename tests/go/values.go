package main

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"
)

// values are the cases about values: each value must come back as it was, and the server must say of it
// what we say.
var values = map[string]func(*client) error{
	"bool":                    func(c *client) error { return same(c, "Bool", true, false) },
	"signed-integers":         signedIntegers,
	"unsigned-integers":       unsignedIntegers,
	"floats":                  floats,
	"floats-not-finite":       floatsNotFinite,
	"strings":                 stringValues,
	"bytes":                   byteValues,
	"named-types":             namedTypes,
	"slices":                  slices,
	"arrays":                  arrays,
	"maps":                    maps,
	"maps-odd-keys":           mapsOddKeys,
	"nested-structs":          nestedStructs,
	"embedded-as-field":       embeddedAsField,
	"embedded-flattened":      embeddedFlattened,
	"pointers":                pointers,
	"pointers-to-zero":        pointersToZero,
	"pointers-to-structs":     pointersToStructs,
	"pointers-in-collections": pointersInCollections,
	"skipped-fields":          skippedFields,
	"structs-without-fields":  structsWithoutFields,
	"newtypes-of-bytes":       newtypesOfBytes,
	"dynamic-values":          dynamicValues,
	"borrowed-arguments":      borrowedArguments,
	"recursive-structs":       recursiveStructs,
	"fewer-fields":            fewerFields,
	"more-fields":             moreFields,
	"reordered-fields":        reorderedFields,
	"field-names":             fieldNames,
	"field-names-in-rust":     func(c *client) error { return expect(c, "LaxUser.Text", user, text(user)) },
	"zero-values":             zeroValues,
	"every-kind-of-field":     everyKindOfField,
	"empty-collections":       emptyCollections,
	"empty-nested":            emptyNested,
	"nil-replies":             nilReplies,
	"nothing":                 nothing,
	"arrays-are-tuples":       func(c *client) error { return expect(c, "Pair.Array", [2]int64{3, -4}, [2]int64{-4, 3}) },
	"structs-are-tuples":      structsAreTuples,
	"string-constants":        stringConstants,
	"integer-constants":       integerConstants,
	"sum-types":               sumTypes,
	"interfaces":              interfaces,
	"interfaces-in-replies":   interfacesInReplies,
	"time":                    times,
	"complex-numbers":         complexNumbers,
	"a-type-that-marshals":    marshalsItself,
	"long-collections":        longCollections,
	"widths-of-integers":      widthsOfIntegers,
	"overflowing-integers":    overflowingIntegers,
	"a-string-not-in-utf-8":   stringNotInUTF8,
}

// same echoes values and has them described by the service for their type.
func same[T any](c *client, service string, values ...T) error {
	for _, value := range values {
		if err := all(expect(c, service+".Echo", value, value), expect(c, service+".Text", value, text(value))); err != nil {
			return err
		}
	}
	return nil
}

// The numbers around which encodings change their width.
var (
	signed = []int64{math.MinInt64, math.MinInt64 + 1, -1<<32 - 1, -1 << 32, -1<<31 - 1, math.MinInt32, -1<<24 - 1,
		math.MinInt16 - 1, math.MinInt16, -129, math.MinInt8, -65, -64, -33, -32, -1, 0, 1, 31, 32, 63, 64, math.MaxInt8, 128, 255,
		256, math.MaxInt16, 1 << 15, math.MaxUint16, 1 << 16, 1 << 24, math.MaxInt32, 1 << 31, math.MaxUint32, 1 << 32, 1 << 53,
		1<<53 + 1, math.MaxInt64 - 1, math.MaxInt64}
	unsigned = []uint64{0, 1, 31, 32, 63, 64, 127, 128, math.MaxUint8, 256, math.MaxInt16, 1 << 15, math.MaxUint16, 1 << 16, 1 << 24,
		math.MaxInt32, 1 << 31, math.MaxUint32, 1 << 32, 1<<53 + 1, math.MaxInt64, 1 << 63, math.MaxUint64 - 1, math.MaxUint64}
)

type integer interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// fitting is the numbers that a T can be.
func fitting[T, W integer](numbers []W) (fits []T) {
	for _, number := range numbers {
		if W(T(number)) == number {
			fits = append(fits, T(number))
		}
	}
	return fits
}

func signedIntegers(c *client) error {
	return all(
		same(c, "Int", fitting[int](signed)...), same(c, "Int8", fitting[int8](signed)...),
		same(c, "Int16", fitting[int16](signed)...), same(c, "Int32", fitting[int32](signed)...),
		same(c, "Int64", signed...), same(c, "Int64s", signed))
}

func unsignedIntegers(c *client) error {
	return all(
		same(c, "Uint", fitting[uint](unsigned)...), same(c, "Uint8", fitting[uint8](unsigned)...),
		same(c, "Uint16", fitting[uint16](unsigned)...), same(c, "Uint32", fitting[uint32](unsigned)...),
		same(c, "Uint64", unsigned...))
}

func floats(c *client) error {
	numbers := []float64{0, math.Copysign(0, -1), 1, -1, 2, 0.5, 0.1, 0.1 + 0.2, 1.0 / 3, 17, -17.5, math.Pi, 1e20, 1e21, 1e-6, 1e-7,
		1<<53 + 2, 123456789.123456789, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 2.2250738585072014e-308,
		2.2250738585072011e-308}
	singles := []float32{0, float32(math.Copysign(0, -1)), 1, -1, 0.1, 1.0 / 3, 16777217, 1e21, 1e-7, math.MaxFloat32,
		-math.MaxFloat32, math.SmallestNonzeroFloat32, 1.17549435e-38}
	if err := all(same(c, "Float64", numbers...), same(c, "Float32", singles...)); err != nil {
		return err
	}
	// And some of all the others.
	state := uint64(1)
	for i := 0; i < 2000; i++ {
		state = state*6364136223846793005 + 1442695040888963407
		if number := math.Float64frombits(state); !math.IsNaN(number) && !math.IsInf(number, 0) {
			numbers = append(numbers, number)
		}
		if number := math.Float32frombits(uint32(state >> 32)); number == number && !math.IsInf(float64(number), 0) {
			singles = append(singles, number)
		}
	}
	return all(same(c, "Float64s", numbers), same(c, "Float32s", singles))
}

func floatsNotFinite(c *client) error {
	numbers := []float64{math.NaN(), math.Inf(1), math.Inf(-1)}
	singles := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}
	return all(same(c, "Float64", numbers...), same(c, "Float32", singles...), same(c, "Float64s", numbers))
}

func stringValues(c *client) error {
	texts := []string{"", "a", "Grüße, 世界 🎈", "\x00\x01\x1f\x7f", "\"quoted\" \\ / \n\r\t", "<a href='x'>&amp;</a>",
		"\u2028\u2029\ufeff\uffff\U0010ffff", "e\u0301", strings.Repeat("é世🎈x", 60_000)}
	for _, length := range []int{15, 16, 31, 32, 127, 128, 255, 256, 65535, 65536} {
		texts = append(texts, strings.Repeat("x", length))
	}
	return all(same(c, "String", texts...), same(c, "Strings", texts))
}

func byteValues(c *client) error {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	lists := [][]byte{{}, nil, {0}, {0xff}, every}
	for _, length := range []int{15, 16, 31, 32, 127, 128, 255, 257, 65535, 65536} {
		lists = append(lists, noise(length))
	}
	if err := all(same(c, "Bytes", lists...), same(c, "Chunks", lists)); err != nil {
		return err
	}
	mebibyte := noise(1 << 20)
	back, err := call[[]byte](c, "Bytes.Echo", mebibyte)
	if err != nil || !bytes.Equal(back, mebibyte) {
		return fmt.Errorf("Bytes.Echo of 1 MiB: %d bytes, %v", len(back), err)
	}
	return all(expect(c, "Blob.Digest", mebibyte, digest(mebibyte)), expect(c, "Blob.Make", int64(1<<20), mebibyte))
}

func namedTypes(c *client) error {
	board := Board{"Rome": 31.5, "Oslo": -4}
	return all(
		same(c, "Celsius", Celsius(-273.15), 0), same(c, "Label", Label("ß"), ""), same(c, "Level", Level(0), 255),
		same(c, "Labels", Labels{"a", "", "b"}), same(c, "Board", board),
		same(c, "Named", Named{36.6, "fever", 7, Labels{"x"}, board}, Named{}))
}

func slices(c *client) error {
	return all(
		same(c, "Bools", []bool{true, false, true}),
		same(c, "Int8s", []int8{-128, 0, 127}), same(c, "Uint16s", []uint16{0, 255, 65535}),
		same(c, "Strings", []string{"", "b", "ü"}),
		same(c, "Rows", [][]int64{{1, 2}, {}, {3}}), same(c, "Chunks", [][]byte{{1}, {}, {255, 0}}),
		same(c, "Points", []Point{{1, 2}, {}, {0, -1}}))
}

func arrays(c *client) error {
	return all(
		same(c, "Triple", [3]int64{1, 0, -1}, [3]int64{}), same(c, "Two", [2]string{"", "b"}),
		same(c, "Address", [4]byte{127, 0, 0, 1}), same(c, "Grid", [2][2]int64{{1, 2}, {0, 4}}))
}

func maps(c *client) error {
	return all(
		same(c, "Ages", map[string]int64{"": 0, "Ann": 41, "Jürgen": -1}),
		same(c, "Names", map[int64]string{math.MinInt64: "least", -1: "", 0: "zero", math.MaxInt64: "most"}),
		same(c, "Flags", map[uint8]bool{0: true, 255: false}),
		same(c, "Routes", map[string][]string{"a": {"b", "c"}, "d": {""}}),
		same(c, "Tables", map[string]map[string]int64{"x": {"y": 1, "z": 0}, "w": {"": -9}}),
		same(c, "Places", map[string]Point{"origin": {}, "far": {1 << 40, -1 << 40}}))
}

func mapsOddKeys(c *client) error {
	return all(
		same(c, "ByBool", map[bool]string{true: "yes", false: ""}),
		same(c, "ByPoint", map[Point]string{{1, 2}: "a", {}: "origin"}))
}

func nested() Nested {
	n := Nested{
		Title:  "trip",
		Origin: Point{1, 2},
		Path:   []Point{{0, 0}, {3, 4}},
		ByName: map[string]Point{"home": {5, 6}, "nowhere": {}},
		Far:    &Point{7, 8},
		Matrix: [][]float64{{1.5, 0}, {-2}},
	}
	n.Inner.Deep.Value = 9
	return n
}

func nestedStructs(c *client) error {
	return all(same(c, "Point", Point{3, -4}, Point{0, 1}), same(c, "Nested", nested(), Nested{Title: "hardly anything"}))
}

func embeddedAsField(c *client) error {
	return same(c, "Derived", Derived{Base{5, "base"}, "extra"}, Derived{Extra: "no base"}, Derived{Base: Base{ID: 1}})
}

func embeddedFlattened(c *client) error {
	return same(c, "Flattened", Derived{Base{5, "base"}, "extra"}, Derived{Extra: "no base"}, Derived{Base: Base{ID: 1}})
}

func pointers(c *client) error {
	number, word, yes, list := int64(-5), "word", true, []int64{0, 1}
	return same(c, "Pointers", Pointers{}, Pointers{Int: &number}, Pointers{&number, &word, &yes, &Point{1, 0}, &list},
		Pointers{Point: &Point{}})
}

// pointersToZero arrive as nil pointers by gob, which leaves out what is zero.
func pointersToZero(c *client) error {
	number, word, yes := int64(0), "", false
	sent := Pointers{Int: &number, String: &word, Bool: &yes}
	if c.protocol == "gob" || c.protocol == "http" {
		return all(expect(c, "Pointers.Echo", sent, Pointers{}), expect(c, "Pointers.Text", sent, text(Pointers{})))
	}
	return same(c, "Pointers", sent)
}

func pointersToStructs(c *client) error {
	up := Links{Up: &Point{1, 2}}
	return same(c, "Links", Links{}, up, Links{Down: &up}, Links{Down: &Links{}})
}

// pointersInCollections are nil in one element and not in the next.
func pointersInCollections(c *client) error {
	number, word, list := int64(5), "x", []int64{7}
	some := []Pointers{{}, {Int: &number}, {Point: &Point{1, 2}}, {String: &word, List: &list}, {}}
	return all(
		same(c, "PointersList", some, []Pointers{{}}, []Pointers{}),
		same(c, "PointersMap", map[string]Pointers{"none": {}, "one": some[1], "other": some[3]}),
		same(c, "Nodes", []Node{{Value: 1}, {Value: 2, Left: &Node{Value: 3}}, {}}))
}

func skippedFields(c *client) error {
	number := int64(2)
	some := []Sparse{{}, {Last: 1}, {Word: "w"}, {&number, "w", []int64{3}, 4}}
	return all(same(c, "Sparse", some...), same(c, "SparseList", some))
}

func structsWithoutFields(c *client) error {
	return all(same(c, "Unit", struct{}{}), same(c, "Braces", struct{}{}), alive(c))
}

func newtypesOfBytes(c *client) error {
	var full [20]byte
	for i := range full {
		full[i] = 255
	}
	return same(c, "Hash", [20]byte{}, full)
}

func dynamicValues(c *client) error {
	return same(c, "Dynamic", map[string]interface{}{
		"user_id": 1.5, "Nested": map[string]interface{}{"a": []interface{}{nil, true, "text", map[string]interface{}{}}}, "": 7.0,
		"list": []interface{}{},
	})
}

// borrowedArguments are read where they lie in the request, also if it has them escaped.
func borrowedArguments(c *client) error {
	for _, plain := range []string{"", "plain", "Grüße 🎈", "<a & b>", "\"quoted\"\n", "\u2028"} {
		if err := all(
			expect(c, "Borrowed.String", plain, plain), expect(c, "Borrowed.Bytes", []byte(plain), []byte(plain)),
			expect(c, "Borrowed.User", User{UserID: 3, Name: plain}, "3 "+plain)); err != nil {
			return err
		}
	}
	return nil
}

func tree(depth int) *Node {
	if depth == 0 {
		return nil
	}
	return &Node{int64(depth), tree(depth - 1), tree(depth - 2 + depth%2)}
}

func recursiveStructs(c *client) error {
	var list *List
	for i := 0; i < 25; i++ {
		list = &List{fmt.Sprint(i), list}
	}
	dir := Dir{"/", []Dir{{Name: "etc", Entries: []Dir{{Name: "ssh"}}}, {Name: "tmp"}}, map[string]Dir{"up": {Name: "/"}}}
	big := tree(7)
	return all(
		same(c, "Node", Node{}, Node{Value: 1}, Node{Right: &Node{}}, *big), same(c, "List", *list), same(c, "Dir", dir, Dir{}),
		expect(c, "Tree.Sum", big, sum(big)), expect(c, "Tree.Mirror", big, *mirror(big)))
}

var record = Record{-1, "b", []int64{1, 2}, map[string]bool{"yes": true, "no": false}, &Point{3, 4}}

// crossed sends what another version of the program has, and asks for it.
func crossed[T any](c *client, sent T, arrives Record, back T) error {
	return all(
		expect(c, "Record.Text", sent, text(arrives)), expect(c, "Record.Echo", sent, arrives),
		expect(c, "Record.Echo", sent, back), expect(c, "Record.Echo", record, back))
}

func fewerFields(c *client) error {
	fewer := RecordFewer{record.A, record.C}
	return crossed(c, fewer, Record{A: record.A, C: record.C}, fewer)
}

func moreFields(c *client) error {
	n := nested()
	more := RecordMore{record.A, record.B, record.C, record.D, record.E, 1.5, &n, map[int64][]string{1: {"x"}}, [2]Point{{1, 2}, {3, 4}}}
	return crossed(c, more, record, RecordMore{A: record.A, B: record.B, C: record.C, D: record.D, E: record.E})
}

func reorderedFields(c *client) error {
	reordered := RecordReordered{record.E, record.D, record.C, record.B, record.A}
	return crossed(c, reordered, record, reordered)
}

var user = User{12, "example.org", true, "Ann"}

func fieldNames(c *client) error {
	return same(c, "User", user, User{})
}

func zeroValues(c *client) error {
	return all(
		same(c, "Bool", false), same(c, "Int64", int64(0)), same(c, "Uint8", uint8(0)), same(c, "Float64", 0.0), same(c, "String", ""),
		same(c, "Point", Point{}), same(c, "Triple", [3]int64{}), same(c, "Points", []Point{{}, {}}),
		same(c, "Nested", Nested{}), same(c, "Record", Record{}), same(c, "Everything", Everything{}))
}

func everyKindOfField(c *client) error {
	return same(c, "Everything", Everything{
		true, math.MinInt64, math.MinInt8, math.MinInt16, math.MinInt32, math.MaxInt64,
		math.MaxUint64, math.MaxUint8, math.MaxUint16, math.MaxUint32, 1 << 63,
		-0.1, math.Pi, "text", []byte{0, 255}, []int64{5, 0, -5}, map[string]int64{"k": 6}, [3]int64{0, 7, 0}, Point{8, 9}, &Point{10, 11},
	})
}

func emptyCollections(c *client) error {
	return all(
		same(c, "Strings", []string{}, nil), same(c, "Bytes", []byte{}, nil), same(c, "Points", []Point{}, nil),
		same(c, "Ages", map[string]int64{}, nil), same(c, "Names", map[int64]string{}, nil), same(c, "Rows", [][]int64{}, nil),
		same(c, "Routes", map[string][]string{}, nil))
}

func emptyNested(c *client) error {
	return all(
		same(c, "Routes", map[string][]string{"none": {}, "nil": nil, "one": {"x"}}),
		same(c, "Tables", map[string]map[string]int64{"none": {}, "nil": nil}),
		same(c, "Rows", [][]int64{{}, nil, {}}), same(c, "Chunks", [][]byte{{}, nil}),
		same(c, "Record", Record{C: []int64{}, D: map[string]bool{}}, Record{E: &Point{}}),
		same(c, "Nested", Nested{Path: []Point{}, ByName: map[string]Point{}, Matrix: [][]float64{{}, nil}}),
		same(c, "Dir", Dir{Entries: []Dir{{}}, Links: map[string]Dir{"": {}}}))
}

// nilReplies are what Go's own servers avoid: they begin with empty lists and maps.
func nilReplies(c *client) error {
	return all(
		expect(c, "Nil.Strings", struct{}{}, []string{}), expect(c, "Nil.Ages", struct{}{}, map[string]int64{}),
		expect(c, "Nil.Bytes", struct{}{}, []byte{}), alive(c))
}

func nothing(c *client) error {
	return all(
		expect(c, "Nothing.Nothing", struct{}{}, struct{}{}), expect(c, "Nothing.Answer", struct{}{}, int64(42)),
		expect(c, "Nothing.Discard", int64(7), struct{}{}), alive(c))
}

func structsAreTuples(c *client) error {
	return all(
		expect(c, "Pair.Struct", Args{7, 8}, Args{8, 7}), expect(c, "Pair.Struct", Args{A: 7}, Args{B: 7}),
		expect(c, "Pair.Struct", Args{B: 8}, Args{A: 8}), expect(c, "Pair.Struct", Args{}, Args{}))
}

func stringConstants(c *client) error {
	return same(c, "Color", Color("Red"), "Green", "DarkBlue")
}

func integerConstants(c *client) error {
	return all(expect(c, "Grade.Text", Grade(0), "0"), expect(c, "Grade.Text", Grade(2), "2"))
}

func sumTypes(c *client) error {
	some := []Shape{{Circle: &Circle{1.5}}, {Square: &Square{2}}, {Square: &Square{}}}
	return all(same(c, "Shape", some...), same(c, "Shapes", some))
}

func init() {
	gob.RegisterName("interop.Point", Point{})
}

func interfaces(c *client) error {
	empty, full := Carton{"empty", nil}, Carton{"full", Point{1, 2}}
	return all(expect(c, "Carton.Text", empty, text(empty)), expect(c, "Carton.Text", full, text(full)))
}

func interfacesInReplies(c *client) error {
	return all(expect(c, "Carton.Of", "", Carton{}), expect(c, "Carton.Of", "full", Carton{"full", Point{1, 2}}))
}

func times(c *client) error {
	at := time.Date(2021, 12, 31, 23, 59, 59, 123456789, time.UTC)
	some := []time.Time{at, at.Add(-1_000_000 * time.Hour), at.In(time.FixedZone("", 2*60*60)), {}}
	if c.protocol == "jsonrpc" {
		// A text, to those who have no type for it.
		for _, one := range some {
			if err := expect(c, "TimeText.Echo", one, one); err != nil {
				return err
			}
		}
		return nil
	}
	some = append(some, at.In(time.FixedZone("", 60*60+1)))
	return all(same(c, "Time", some...), same(c, "Moment", Moment{"now", at}, Moment{"never", time.Time{}}))
}

func complexNumbers(c *client) error {
	return same(c, "Complex", complex(1.5, -2), 0, 1i, complex(math.Inf(1), math.NaN()))
}

func marshalsItself(c *client) error {
	for _, text := range []string{"https://example.org/a?b=c#d", ""} {
		there, err := url.Parse(text)
		if err := all(err, expect(c, "URL.Echo", there, *there), expect(c, "URL.Text", there, text)); err != nil {
			return err
		}
	}
	return nil
}

func longCollections(c *client) error {
	var numbers []int64
	table := map[string]int64{}
	for i := int64(0); i < 20_000; i++ {
		numbers = append(numbers, i*i*i-1<<40)
		table[fmt.Sprint("key ", i)] = -i
	}
	return all(same(c, "Int64s", numbers), same(c, "Ages", table))
}

// widthsOfIntegers sends numbers as other types than the server's, which they fit.
func widthsOfIntegers(c *client) error {
	return all(
		expect(c, "Int8.Echo", int64(-5), int64(-5)), expect(c, "Int64.Echo", int8(-5), int16(-5)),
		expect(c, "Uint8.Echo", uint64(200), uint(200)), expect(c, "Uint64.Echo", uint8(200), uint16(200)),
		expect(c, "Float64.Echo", float32(1.5), float32(1.5)), expect(c, "Float32.Echo", float64(1.5), float64(1.5)),
		expect(c, "Int8s.Echo", []int64{1, -2}, []int32{1, -2}))
}

func overflowingIntegers(c *client) error {
	return all(
		refused(c, "Int8.Echo", int64(128), ""), refused(c, "Uint8.Echo", uint64(256), ""),
		refused(c, "Int8s.Echo", []int64{1, -129, 2}, ""), refused(c, "Int32.Echo", int64(math.MinInt64), ""))
}

func stringNotInUTF8(c *client) error {
	const notUTF8 = "a\xffz"
	var back string
	// To Go it is a string like any other; to Rust it cannot be one.
	if err := c.Call("String.Echo", notUTF8, &back); err == nil && back != notUTF8 && back != "a\ufffdz" {
		return fmt.Errorf("String.Echo(%q) = %q", notUTF8, back)
	}
	return all(alive(c), same(c, "Bytes", []byte(notUTF8)))
}
