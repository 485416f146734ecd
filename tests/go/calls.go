package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"strings"
	"sync/atomic"
)

// cases are those about calls and connections. They are maps' values, not methods found by name, so
// that an unknown name is an error and an unused one is seen.
var cases map[string]func(*target) error

func init() {
	cases = map[string]func(*target) error{
		"go's-own-test":              on(goTestRPC),
		"handler-errors":             on(handlerErrors),
		"empty-error-text":           on(emptyErrorText),
		"unknown-names":              on(unknownNames),
		"bad-arguments":              on(badArguments),
		"arguments-without-a-field":  on(argumentsWithoutAField),
		"a-panic":                    on(aPanic),
		"a-reply-not-encodable":      on(replyNotEncodable),
		"none-as-reply":              on(noneAsReply),
		"100-in-flight-reversed":     on(inFlightReversed),
		"100-in-flight-sleeping":     on(inFlightSleeping),
		"many-callers":               on(manyCallers),
		"all-values-on-a-connection": allValuesOnAConnection,
		"16-mib-each-way":            on(large),
		"more-than-may-wait":         moreThanMayWait,
		"over-the-limit":             overTheLimit,
		"too-deep":                   on(tooDeep),
		"half-close":                 halfClose,
		"after-close":                on(afterClose),
		"server-restart":             serverRestart,
		"client-goes-away":           clientGoesAway,
		"crowd":                      crowd,
		"graceful-shutdown":          gracefulShutdown,
		"restricted-server":          restrictedServer,
		"http-other-path":            httpOtherPath,
		"http-wrong-path":            httpWrongPath,
		"http-get":                   httpGet,
		"http-headers":               httpHeaders,
		"http-early-bytes":           httpEarlyBytes,
		"json-ids":                   jsonIDs,
		"json-no-id":                 jsonNoID,
		"json-params":                jsonParams,
		"json-two-params":            jsonTwoParams,
		"json-params-object":         jsonParamsObject,
		"json-empty-object":          jsonEmptyObject,
		"json-errors":                jsonErrors,
		"json-malformed":             jsonMalformed,
		"json-in-pieces":             jsonInPieces,
		"json-spellings":             jsonSpellings,
	}
}

// on is a case that needs a single connection.
func on(part func(*client) error) func(*target) error {
	return func(t *target) error { return t.with(part) }
}

// goTestRPC is TestRPC of Go's package.
func goTestRPC(c *client) error {
	args := &Args{7, 8}
	if err := all(
		expect(c, "Arith.Add", args, Reply{15}), refused(c, "Arith.BadOperation", args, "rpc: can't find method Arith.BadOperation"),
		refused(c, "Arith.Unknown", args, "rpc: can't find method Arith.Unknown")); err != nil {
		return err
	}
	// Out of order.
	mulReply, addReply := new(Reply), new(Reply)
	mulCall := c.Go("Arith.Mul", args, mulReply, nil)
	addCall := c.Go("Arith.Add", args, addReply, nil)
	<-addCall.Done
	<-mulCall.Done
	if err := all(addCall.Error, mulCall.Error); err != nil || addReply.C != 15 || mulReply.C != 56 {
		return fmt.Errorf("Go: %v, %d, %d", err, addReply.C, mulReply.C)
	}
	return all(
		refused(c, "Arith.Div", Args{7, 0}, "divide by zero"), expect(c, "Arith.Div", Args{7, 2}, Reply{3}),
		expect(c, "Arith.Scan", "123", Reply{123}), expect(c, "Arith.String", args, "7+8=15"), expect(c, "Arith.Mul", args, Reply{56}),
		expect(c, "Arith.Multiply", args, int64(56)), expect(c, "net.rpc.Arith.Add", args, Reply{15}))
}

func handlerErrors(c *client) error {
	for _, message := range []string{"x", "not found: ключ", "two\nlines", "\"quoted\" \\", "<&>", strings.Repeat("long ", 2000)} {
		if err := refused(c, "Faults.Fail", message, message); err != nil {
			return err
		}
	}
	return nil
}

// emptyErrorText may succeed: to Go's server and client it is no error.
func emptyErrorText(c *client) error {
	var reply string
	if err := c.Call("Faults.Fail", "", &reply); err == nil && reply != "not to be seen" {
		return fmt.Errorf("reply %q", reply)
	} else if _, is := err.(rpc.ServerError); err != nil && !is {
		return fmt.Errorf("%T: %w", err, err)
	}
	return alive(c)
}

func unknownNames(c *client) error {
	for _, name := range []struct{ method, want string }{
		{"NoDot", "rpc: service/method request ill-formed: NoDot"},
		{"", "rpc: service/method request ill-formed: "},
		{".", "rpc: can't find service ."},
		{".M", "rpc: can't find service .M"},
		{"Nope.M", "rpc: can't find service Nope.M"},
		{"arith.Add", "rpc: can't find service arith.Add"},
		{"net.rpc.Nope.Add", "rpc: can't find service net.rpc.Nope.Add"},
		{"Arith.", "rpc: can't find method Arith."},
		{"Arith.Nope", "rpc: can't find method Arith.Nope"},
		{"Arith.Nöpe", "rpc: can't find method Arith.Nöpe"},
	} {
		if err := refused(c, name.method, Args{7, 8}, name.want); err != nil {
			return err
		}
	}
	return nil
}

func badArguments(c *client) error {
	return all(
		refused(c, "Arith.Add", "seven and eight", ""), refused(c, "Arith.Scan", Args{7, 8}, ""), refused(c, "Ages.Echo", []string{"a"}, ""),
		refused(c, "Strings.Echo", map[string]int64{"a": 1}, ""), refused(c, "Bool.Echo", "true", ""))
}

// argumentsWithoutAField have nothing that the server looks for. To gob that is an error, to the others
// all zeros.
func argumentsWithoutAField(c *client) error {
	type Wrong struct{ X string }
	if c.protocol == "gob" || c.protocol == "http" {
		return refused(c, "Arith.Add", Wrong{"x"}, "")
	}
	return all(expect(c, "Arith.Add", Wrong{"x"}, Reply{0}), alive(c))
}

func aPanic(c *client) error {
	return refusedSaying(c, "Faults.Panic", "out of coffee", "out of coffee")
}

func replyNotEncodable(c *client) error {
	return refusedSaying(c, "Faults.Unencodable", struct{}{}, "out of ink")
}

// noneAsReply is no reply that Go could have a type for.
func noneAsReply(c *client) error {
	var reply Point
	if err := c.Call("Maybe.Echo", Point{1, 2}, &reply); err != nil || reply.X != 1 {
		return fmt.Errorf("Maybe.Echo: %v, %w", reply, err)
	}
	// It may be an error or zero, but one of its call alone.
	nothing := func(method string, reply interface{}) error {
		err := c.Call(method, struct{}{}, reply)
		if _, is := err.(rpc.ServerError); err != nil && !is {
			return fmt.Errorf("%s: %w", method, err)
		}
		return alive(c)
	}
	return all(
		nothing("Maybe.NoPoint", new(Point)), nothing("Maybe.NoNumber", new(int64)), nothing("Maybe.NoText", new(string)))
}

var keys int64

// key is one that no other case on this server has.
func (c *client) key(name string) string {
	return fmt.Sprintf("%s %s %d %d ", name, c.protocol, os.Getpid(), atomic.AddInt64(&keys, 1))
}

// waiting returns when so many calls wait at gates whose keys begin so.
func (c *client) waiting(prefix string, atLeast, atMost int64) error {
	for {
		waiting, err := call[int64](c, "Gate.Waiting", prefix)
		if err != nil || (atLeast <= waiting && waiting <= atMost) {
			return err
		}
	}
}

// inFlightReversed has 100 calls finish in exactly the opposite order.
func inFlightReversed(c *client) error {
	const calls = 100
	prefix := c.key("reversed")
	var started [calls]*rpc.Call
	for i := range started {
		started[i] = c.Go("Gate.Wait", fmt.Sprint(prefix, i), new(string), nil)
	}
	if err := c.waiting(prefix, calls, calls); err != nil {
		return err
	}
	for i := calls - 1; i >= 0; i-- {
		for j := 0; j <= i; j++ {
			select {
			case call := <-started[j].Done:
				return fmt.Errorf("call %d ended before call %d: %v", j, i, call.Error)
			default:
			}
		}
		key := fmt.Sprint(prefix, i)
		if err := expect(c, "Gate.Open", key, struct{}{}); err != nil {
			return err
		}
		call := <-started[i].Done
		if reply := *call.Reply.(*string); call.Error != nil || reply != key {
			return fmt.Errorf("call %d: reply %q, %v", i, reply, call.Error)
		}
	}
	return nil
}

// inFlightSleeping is the same by the clock: the earlier a call, the longer it takes.
func inFlightSleeping(c *client) error {
	const calls = 100
	done := make(chan *rpc.Call, calls)
	for i := int64(0); i < calls; i++ {
		c.Go("Slow.Sleep", (calls-i)*200, new(int64), done)
	}
	for i := 0; i < calls; i++ {
		call := <-done
		if reply := *call.Reply.(*int64); call.Error != nil || reply != call.Args.(int64) {
			return fmt.Errorf("Slow.Sleep(%d) = %d, %v", call.Args, reply, call.Error)
		}
	}
	return nil
}

// busy is many calls of all kinds by one caller.
func busy(c *client, caller, calls int) error {
	for i := 0; i < calls; i++ {
		a, b := int64(caller), int64(i)
		var err error
		switch i % 4 {
		case 0:
			err = expect(c, "Arith.Multiply", Args{a, b}, a*b)
		case 1:
			err = expect(c, "String.Echo", fmt.Sprint(a, " ", b), fmt.Sprint(a, " ", b))
		case 2:
			err = expect(c, "Record.Echo", record, record)
		case 3:
			var reply string
			if got := c.Call("Faults.Fail", fmt.Sprint(a, b), &reply); got == nil || got.Error() != fmt.Sprint(a, b) {
				err = fmt.Errorf("Faults.Fail(%q): %v", fmt.Sprint(a, b), got)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func manyCallers(c *client) error {
	return inParallel(32, func(caller int) error { return busy(c, caller, 40) })
}

// allValuesOnAConnection runs all cases about values at the same time on one connection, so that types
// are described in every order.
func allValuesOnAConnection(t *target) error {
	return t.with(func(c *client) error {
		var names []string
		for _, name := range t.cases {
			if values[name] != nil {
				names = append(names, name)
			}
		}
		if len(names) < 20 {
			return fmt.Errorf("only %d cases about values are to be run", len(names))
		}
		return inParallel(len(names), func(i int) error {
			if err := values[names[i]](c); err != nil {
				return fmt.Errorf("%s: %w", names[i], err)
			}
			return nil
		})
	})
}

func large(c *client) error {
	const size = 16 << 20
	sent := noise(size)
	if err := expect(c, "Blob.Digest", sent, digest(sent)); err != nil {
		return err
	}
	made, err := call[[]byte](c, "Blob.Make", int64(size))
	if err != nil || !bytes.Equal(made, sent) {
		return fmt.Errorf("Blob.Make: %d bytes, %v", len(made), err)
	}
	return alive(c)
}

// moreThanMayWait has many calls with long arguments wait for a gate that is opened over another connection.
func moreThanMayWait(t *target) error {
	return t.with(func(waits *client) error {
		const calls = 1000
		key := waits.key("more") + strings.Repeat("x", 4000)
		done := make(chan *rpc.Call, calls)
		go func() {
			for i := 0; i < calls; i++ {
				waits.Go("Gate.Wait", key, new(string), done)
			}
		}()
		if err := t.with(func(opens *client) error {
			return all(opens.waiting(key, 200, calls), expect(opens, "Gate.Open", key, struct{}{}))
		}); err != nil {
			return err
		}
		for i := 0; i < calls; i++ {
			if call := <-done; call.Error != nil || *call.Reply.(*string) != key {
				return fmt.Errorf("reply %q, %v", brief(*call.Reply.(*string)), call.Error)
			}
		}
		return alive(waits)
	})
}

// overTheLimit is an error that says so, of its call alone.
func overTheLimit(t *target) error {
	there := *t
	there.addr = t.limited
	return there.with(func(c *client) error {
		return all(
			alive(c), refusedSaying(c, "Blob.Make", int64(20_000), "10000"),
			refusedSaying(c, "Blob.Digest", noise(20_000), "10000"), alive(c))
	})
}

// tooDeep is a list that is too long to be nested: an error of its call alone.
func tooDeep(c *client) error {
	return all(
		expect(c, "Tree.Length", listed(50), int64(50)), refused(c, "Tree.Length", listed(1000), ""),
		expect(c, "Tree.Listed", int64(50), *listed(50)), refused(c, "Tree.Listed", int64(1000), ""))
}

// halfClose says that it has no more to say while calls are on their way, and gets their replies.
func halfClose(t *target) error {
	const calls = 10
	conn, err := net.Dial("tcp", t.addr)
	if err != nil {
		return err
	}
	c, err := t.over(conn)
	if err != nil {
		return err
	}
	defer c.Close()
	key := c.key("half-close")
	done := make(chan *rpc.Call, calls)
	for i := 0; i < calls; i++ {
		c.Go("Gate.Wait", key, new(string), done)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	if err := t.with(func(other *client) error {
		if err := other.waiting(key, calls, calls); err != nil {
			return err
		}
		// Time enough for the server to see the end of the stream.
		for i := 0; i < 20; i++ {
			if err := alive(other); err != nil {
				return err
			}
		}
		return expect(other, "Gate.Open", key, struct{}{})
	}); err != nil {
		return err
	}
	for i := 0; i < calls; i++ {
		if call := <-done; call.Error != nil || *call.Reply.(*string) != key {
			return fmt.Errorf("reply %q, %v", *call.Reply.(*string), call.Error)
		}
	}
	// All has been said; the server closes.
	if err := c.Call("Arith.Add", Args{1, 1}, new(Reply)); err == nil {
		return errors.New("a call after CloseWrite succeeds")
	}
	return nil
}

func afterClose(c *client) error {
	if err := alive(c); err != nil {
		return err
	}
	if err := c.Close(); err != nil {
		return err
	}
	if err := c.Call("Arith.Add", Args{7, 9}, new(Reply)); err != rpc.ErrShutdown {
		return fmt.Errorf("a call after Close: %v", err)
	}
	return nil
}

// serverRestart sees the server die in mid-call, and goes on with the next one.
func serverRestart(t *target) error {
	const calls = 10
	if err := t.with(func(c *client) error {
		key := c.key("restart")
		done := make(chan *rpc.Call, calls)
		for i := 0; i < calls; i++ {
			c.Go("Gate.Wait", key, new(string), done)
		}
		if err := c.waiting(key, calls, calls); err != nil {
			return err
		}
		addr, err := t.ask("restart the server")
		if err != nil {
			return err
		}
		t.addr = addr
		for i := 0; i < calls; i++ {
			if call := <-done; call.Error != io.ErrUnexpectedEOF {
				return fmt.Errorf("a pending call: %v", call.Error)
			}
		}
		if err := c.Call("Arith.Add", Args{7, 8}, new(Reply)); err != rpc.ErrShutdown {
			return fmt.Errorf("a call after the end: %v", err)
		}
		return nil
	}); err != nil {
		return err
	}
	return t.with(alive)
}

// gracefulShutdown sees a server end that finishes what it has begun.
func gracefulShutdown(t *target) error {
	const calls = 10
	return t.with(func(c *client) error {
		done := make(chan *rpc.Call, calls)
		for i := int64(0); i < calls; i++ {
			c.Go("Slow.Sleep", 200_000+i, new(int64), done)
		}
		// What was sent before this has begun when it is answered.
		if err := alive(c); err != nil {
			return err
		}
		if _, err := t.ask("shut the server down"); err != nil {
			return err
		}
		for i := 0; i < calls; i++ {
			if call := <-done; call.Error != nil || *call.Reply.(*int64) != call.Args.(int64) {
				return fmt.Errorf("Slow.Sleep(%d) = %d, %v", call.Args, *call.Reply.(*int64), call.Error)
			}
		}
		for {
			// Refused until the connection ends.
			err := c.Call("Arith.Add", Args{7, 8}, new(Reply))
			if err == nil {
				return errors.New("a call after the end succeeds")
			} else if _, refused := err.(rpc.ServerError); !refused {
				return nil
			}
		}
	})
}

// clientGoesAway leaves more calls behind than a server runs at once.
func clientGoesAway(t *target) error {
	return t.with(func(stays *client) error {
		leaves, err := t.dial()
		if err != nil {
			return err
		}
		key := leaves.key("goes-away")
		for i := 0; i < 300; i++ {
			leaves.Go("Gate.Wait", key, new(string), nil)
		}
		if err := stays.waiting(key, 200, 300); err != nil {
			return err
		}
		if err := leaves.Close(); err != nil {
			return err
		}
		if err := busy(stays, 1, 40); err != nil {
			return err
		}
		return all(expect(stays, "Gate.Open", key, struct{}{}), stays.waiting(key, 0, 0), alive(stays), t.with(alive))
	})
}

// crowd is one process' part of one: others do the same at the same time.
func crowd(t *target) error {
	const connections, callers, calls = 8, 4, 50
	return inParallel(connections, func(connection int) error {
		return t.with(func(c *client) error {
			return inParallel(callers, func(caller int) error { return busy(c, connection*callers+caller, calls) })
		})
	})
}

// restrictedServer is told that the protocol is not spoken there, or at least not left waiting.
func restrictedServer(t *target) error {
	there := &target{protocol: t.protocol, addr: t.restricted}
	err := there.with(alive)
	if t.protocol == "gob" {
		return err
	}
	if err == nil {
		return errors.New("it speaks " + t.protocol)
	}
	return nil
}
