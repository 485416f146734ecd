// Reads values that were encoded elsewhere, says what it read, and encodes it again.
//
// The types are in a file that the test writes beside this one:
// var types = []reflect.Type{...}
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"io"
	"math"
	"os"
	"reflect"
	"sort"
	"strings"
)

func describe(out *strings.Builder, v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		fmt.Fprint(out, v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		fmt.Fprint(out, v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		fmt.Fprint(out, v.Uint())
	case reflect.Float32, reflect.Float64:
		f := v.Float()
		if f != f {
			out.WriteString("NaN")
		} else if f == 0 {
			out.WriteString("0")
		} else {
			fmt.Fprintf(out, "%016x", math.Float64bits(f))
		}
	case reflect.String:
		fmt.Fprintf(out, "%q:%x", "", v.String())
	case reflect.Slice, reflect.Array:
		out.WriteString("[")
		for i := 0; i < v.Len(); i++ {
			describe(out, v.Index(i))
			out.WriteString(",")
		}
		out.WriteString("]")
	case reflect.Map:
		var entries []string
		for _, key := range v.MapKeys() {
			var entry strings.Builder
			describe(&entry, key)
			entry.WriteString("=")
			describe(&entry, v.MapIndex(key))
			entries = append(entries, entry.String())
		}
		sort.Strings(entries)
		fmt.Fprintf(out, "{%s}", strings.Join(entries, ","))
	case reflect.Struct:
		out.WriteString("(")
		for i := 0; i < v.NumField(); i++ {
			describe(out, v.Field(i))
			out.WriteString(",")
		}
		out.WriteString(")")
	case reflect.Ptr:
		if v.IsNil() {
			out.WriteString("nil")
		} else {
			out.WriteString("&")
			describe(out, v.Elem())
		}
	default:
		panic(v.Kind())
	}
}

func answer(kind, count uint32, stream []byte) (text string, encoded []byte) {
	var out strings.Builder
	var buf bytes.Buffer
	dec, enc := gob.NewDecoder(bytes.NewReader(stream)), gob.NewEncoder(&buf)
	for i := uint32(0); i < count; i++ {
		v := reflect.New(types[kind])
		if err := dec.DecodeValue(v); err != nil {
			return fmt.Sprintf("%s! value %d: %v", out.String(), i, err), nil
		}
		describe(&out, v.Elem())
		out.WriteString("\n")
		if err := enc.EncodeValue(v); err != nil {
			return fmt.Sprintf("%s! value %d: %v", out.String(), i, err), nil
		}
	}
	return out.String(), buf.Bytes()
}

func main() {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	for {
		var head [3]uint32
		if binary.Read(in, binary.LittleEndian, &head) != nil {
			return
		}
		stream := make([]byte, head[2])
		if _, err := io.ReadFull(in, stream); err != nil {
			panic(err)
		}
		text, encoded := answer(head[0], head[1], stream)
		for _, block := range [][]byte{[]byte(text), encoded} {
			binary.Write(out, binary.LittleEndian, uint32(len(block)))
			out.Write(block)
		}
		out.Flush()
	}
}
