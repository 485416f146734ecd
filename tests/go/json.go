package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
)

// raw writes requests, some bytes at a time, closes its half, and reads all lines that come.
func raw(t *target, pieces ...string) ([]string, error) {
	conn, err := net.Dial("tcp", t.addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	for _, piece := range pieces {
		if _, err := io.WriteString(conn, piece); err != nil {
			return nil, err
		}
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return nil, err
	}
	all, err := io.ReadAll(conn)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(string(all), "\n")
	if last := len(lines) - 1; lines[last] != "" {
		return nil, fmt.Errorf("no new line after %q", lines[last])
	}
	return lines[:len(lines)-1], nil
}

// answered sends one request and compares the answer to it, to the byte.
func answered(t *target, request, want string) error {
	got, err := raw(t, request)
	if err != nil || len(got) != 1 || got[0] != want {
		return fmt.Errorf("%s: %q, %v, want %s", request, got, err, want)
	}
	return nil
}

// answer is a parsed one.
type answer struct {
	ID     *json.RawMessage `json:"id"`
	Result *json.RawMessage `json:"result"`
	Error  *string          `json:"error"`
}

// failed sends one request, which gets an error of whatever text.
func failed(t *target, request, id string) error {
	got, err := raw(t, request)
	if err != nil || len(got) != 1 {
		return fmt.Errorf("%s: %q, %v", request, got, err)
	}
	if !strings.HasPrefix(got[0], `{"id":`+id+`,"result":null,"error":"`) {
		return fmt.Errorf("%s: %s", request, got[0])
	}
	var a answer
	if err := json.Unmarshal([]byte(got[0]), &a); err != nil || a.Error == nil || *a.Error == "" {
		return fmt.Errorf("%s: %s: %v", request, got[0], err)
	}
	return nil
}

func jsonIDs(t *target) error {
	for _, id := range []string{`0`, `"abc"`, `""`, `"\u0041\"\\"`, `1.5`, `-1`, `18446744073709551616`, `true`, `[1,{"a":null}]`, `{"a":[]}`} {
		request := `{"method":"Arith.Multiply","params":[{"A":7,"B":8}],"id":` + id + `}`
		if err := answered(t, request, `{"id":`+id+`,"result":56,"error":null}`); err != nil {
			return err
		}
	}
	return nil
}

// jsonNoID is a notification, if JSON-RPC is asked; Go's server answers it with null.
func jsonNoID(t *target) error {
	const want = `{"id":null,"result":56,"error":null}`
	return all(
		answered(t, `{"method":"Arith.Multiply","params":[{"A":7,"B":8}],"id":null}`, want),
		answered(t, `{"method":"Arith.Multiply","params":[{"A":7,"B":8}]}`, want))
}

func jsonParams(t *target) error {
	const missing = `{"id":1,"result":null,"error":"jsonrpc: request body missing params"}`
	return all(
		answered(t, `{"method":"Arith.Multiply","id":1}`, missing),
		answered(t, `{"method":"Arith.Multiply","params":null,"id":1}`, missing),
		answered(t, `{"method":"Arith.Multiply","params":[],"id":1}`, `{"id":1,"result":0,"error":null}`),
		answered(t, `{"method":"Arith.Multiply","params":[null],"id":1}`, `{"id":1,"result":0,"error":null}`),
		answered(t, `{"method":"Arith.Multiply","params":[{}],"id":1}`, `{"id":1,"result":0,"error":null}`),
		answered(t, `{"method":"Arith.Multiply","params":[{"A":7,"B":null}],"id":1}`, `{"id":1,"result":0,"error":null}`),
		answered(t, `{"method":"Arith.Multiply","params":[{"b":8,"a":7}],"id":1}`, `{"id":1,"result":56,"error":null}`))
}

// jsonTwoParams is answered by Go as if there were only the first; to refuse it is as good.
func jsonTwoParams(t *target) error {
	const request = `{"method":"Arith.Multiply","params":[{"A":7,"B":8},{"A":1}],"id":1}`
	if answered(t, request, `{"id":1,"result":56,"error":null}`) == nil {
		return nil
	}
	return failed(t, request, "1")
}

func jsonParamsObject(t *target) error {
	return all(
		failed(t, `{"jsonrpc":"2.0","method":"Arith.Multiply","params":{"A":7,"B":8},"id":1}`, "1"),
		failed(t, `{"method":"Arith.Multiply","params":"7 8","id":"x"}`, `"x"`))
}

func jsonEmptyObject(t *target) error {
	return answered(t, `{}`, `{"id":null,"result":null,"error":"rpc: service/method request ill-formed: "}`)
}

// jsonErrors have no result.
func jsonErrors(t *target) error {
	return all(
		answered(t, `{"method":"Arith.Div","params":[{"A":7}],"id":5}`, `{"id":5,"result":null,"error":"divide by zero"}`),
		answered(t, `{"method":"Nope.M","params":[1],"id":5}`, `{"id":5,"result":null,"error":"rpc: can't find service Nope.M"}`),
		failed(t, `{"method":"Arith.Add","params":["seven"],"id":5}`, "5"))
}

// jsonMalformed ends the connection, but not the call before it, which takes its time. Go says nothing
// about it; to say why is better.
func jsonMalformed(t *target) error {
	const reply = `{"id":1,"result":20000,"error":null}`
	for _, garbage := range []string{`{id:1}`, `{"method":"Arith.Add",,}`, `{"method":"Arith.Add"}}`, `}`, `x`} {
		got, err := raw(t, `{"method":"Slow.Sleep","params":[20000],"id":1}`+garbage)
		if err != nil {
			return fmt.Errorf("%s: %q, %w", garbage, got, err)
		}
		replies := 0
		for _, line := range got {
			var a answer
			if line == reply {
				replies++
			} else if err := json.Unmarshal([]byte(line), &a); err != nil || a.Error == nil || *a.Error == "" {
				return fmt.Errorf("%s: %q", garbage, got)
			}
		}
		if replies != 1 {
			return fmt.Errorf("%s: %q", garbage, got)
		}
	}
	return t.with(alive)
}

func jsonInPieces(t *target) error {
	const request = `{"method":"Arith.Multiply","params":[{"A":7,"B":8}],"id":"{\"]"}`
	const want = `{"id":"{\"]","result":56,"error":null}`
	var bytes []string
	for i := range request {
		bytes = append(bytes, request[i:i+1])
	}
	for _, sent := range [][]string{bytes, {request + request + request}, {request[:20], request[20:] + " \n\t\r " + request[:50], request[50:]}} {
		got, err := raw(t, sent...)
		if err != nil || len(got) == 0 {
			return fmt.Errorf("%q: %q, %v", sent, got, err)
		}
		for _, line := range got {
			if line != want {
				return fmt.Errorf("%q: %q", sent, got)
			}
		}
	}
	// Two calls of one number.
	got, err := raw(t, request+"\n"+request+"\n")
	if err != nil || len(got) != 2 {
		return fmt.Errorf("two of one number: %q, %v", got, err)
	}
	return nil
}

func jsonSpellings(t *target) error {
	const want = `{"id":1,"result":56,"error":null}`
	return all(
		answered(t, "\r\n\t { \"id\" : 1 ,\n\"params\":[ { \"B\" : 8 , \"A\" : 7 } ], \"method\" : \"Arith\\u002eMultiply\" } \n", want),
		answered(t, `{"jsonrpc":"2.0","id":1,"extra":{"a":[1,"}"]},"method":"Arith.Multiply","params":[{"A":7,"C":"?","B":8}]}`, want),
		answered(t, `{"id":1,"method":"String.Echo","params":["\ud83c\udf88\u00e9"]}`, `{"id":1,"result":"🎈é","error":null}`))
}
