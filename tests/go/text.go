package main

import (
	"fmt"
	"hash/crc32"
	"math"
	"net/url"
	"reflect"
	"sort"
	"strings"
	"time"
)

// text describes a value so that both languages can say the same of it. An echo alone would not notice
// an encoder and a decoder that are wrong in the same way.
//
// Numbers are decimal, floats are their bits, nil lists and maps are empty ones, maps are sorted, times are
// seconds since 1970 and those east of UTC.
func text(value interface{}) string {
	var out strings.Builder
	describe(&out, reflect.ValueOf(value))
	return out.String()
}

func describe(out *strings.Builder, value reflect.Value) {
	if !value.IsValid() {
		out.WriteString("nil")
		return
	}
	switch special := value.Interface().(type) {
	case time.Time:
		_, offset := special.Zone()
		fmt.Fprintf(out, "%d.%09d%+d", special.Unix(), special.Nanosecond(), offset)
		return
	case url.URL:
		out.WriteString(special.String())
		return
	}
	switch value.Kind() {
	case reflect.Bool:
		fmt.Fprint(out, value.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		fmt.Fprint(out, value.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		fmt.Fprint(out, value.Uint())
	case reflect.Float32, reflect.Float64:
		switch {
		case math.IsNaN(value.Float()):
			out.WriteString("NaN")
		case value.Kind() == reflect.Float32:
			fmt.Fprintf(out, "%08x", math.Float32bits(float32(value.Float())))
		default:
			fmt.Fprintf(out, "%016x", math.Float64bits(value.Float()))
		}
	case reflect.Complex128:
		describe(out, reflect.ValueOf([2]float64{real(value.Complex()), imag(value.Complex())}))
	case reflect.String:
		fmt.Fprintf(out, `"%s"`, value.String())
	case reflect.Slice, reflect.Array:
		out.WriteByte('[')
		for i := 0; i < value.Len(); i++ {
			if i > 0 {
				out.WriteByte(' ')
			}
			describe(out, value.Index(i))
		}
		out.WriteByte(']')
	case reflect.Map:
		var entries []string
		for _, key := range value.MapKeys() {
			var entry strings.Builder
			describe(&entry, key)
			entry.WriteByte(':')
			describe(&entry, value.MapIndex(key))
			entries = append(entries, entry.String())
		}
		sort.Strings(entries)
		fmt.Fprintf(out, "{%s}", strings.Join(entries, " "))
	case reflect.Ptr:
		if value.IsNil() {
			out.WriteString("nil")
			return
		}
		out.WriteByte('&')
		describe(out, value.Elem())
	case reflect.Interface:
		describe(out, value.Elem())
	case reflect.Struct:
		out.WriteByte('(')
		for i := 0; i < value.NumField(); i++ {
			if i > 0 {
				out.WriteByte(' ')
			}
			out.WriteString(value.Type().Field(i).Name)
			out.WriteByte(':')
			describe(out, value.Field(i))
		}
		out.WriteByte(')')
	default:
		panic("no description of " + value.Kind().String())
	}
}

// digest describes bytes that are too many for text.
func digest(bytes []byte) string {
	return fmt.Sprintf("%d:%08x", len(bytes), crc32.Checksum(bytes, crc32.MakeTable(crc32.Castagnoli)))
}

// brief is a text that fits into a line.
func brief(long string) string {
	const most = 160
	if len(long) <= most {
		return long
	}
	return fmt.Sprintf("%s… (%d bytes)", long[:most], len(long))
}
