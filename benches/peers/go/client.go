package main

import (
	"encoding/json"
	"fmt"
	"net/rpc"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

type workload struct {
	Connections int
	Callers     int
	Payload     int
	Blockers    int
	Latencies   bool
	Idle        bool
	Window      int64 // in milliseconds
}

type findings struct {
	Calls       uint64  `json:"calls"`
	Seconds     float64 `json:"seconds"`
	P50         float64 `json:"p50"`
	P99         float64 `json:"p99"`
	Worst       float64 `json:"worst"`
	Allocations uint64  `json:"allocations"`
}

const (
	block  = 100 * time.Millisecond
	warmUp = 100 * time.Millisecond
)

func drive(addr string, spec string) error {
	var w workload
	if err := json.Unmarshal([]byte(spec), &w); err != nil {
		return err
	}
	measure := load
	if w.Idle {
		measure = idle
	}
	found, err := measure(addr, w)
	if err != nil {
		return err
	}
	line, err := json.Marshal(found)
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	lines.Scan() // the driver looks at what this process has used
	return nil
}

// control is what the callers and the goroutine that counts their calls share.
type control struct {
	measuring int32 // calls are timed once it is 1
	over      int32 // no call begins once it is 1
}

// caller is one goroutine's.
type caller struct {
	calls     uint64
	latencies []time.Duration
	err       error
	_         [128]byte // cache lines of its own
}

func load(addr string, w workload) (findings, error) {
	var control control
	var running sync.WaitGroup
	var callers []*caller
	start := func(call func(*caller) error) {
		c := new(caller)
		callers = append(callers, c)
		running.Add(1)
		go func() {
			defer running.Done()
			for c.err == nil && atomic.LoadInt32(&control.over) == 0 {
				c.err = call(c)
			}
		}()
	}
	payload := make([]byte, w.Payload)
	for connection := 0; connection < w.Connections; connection++ {
		client, err := rpc.Dial("tcp", addr)
		if err != nil {
			return findings{}, err
		}
		for i := 0; i < w.Callers; i++ {
			factor := int64(0)
			start(func(c *caller) error {
				var began time.Time
				if w.Latencies {
					began = time.Now()
				}
				factor++
				if err := call(client, factor, payload); err != nil {
					return err
				}
				atomic.StoreUint64(&c.calls, c.calls+1)
				if w.Latencies && atomic.LoadInt32(&control.measuring) != 0 {
					c.latencies = append(c.latencies, time.Since(began))
				}
				return nil
			})
		}
		for i := 0; connection == 0 && i < w.Blockers; i++ {
			start(func(*caller) error {
				return client.Call("Arith.Block", block.Nanoseconds(), new(bool))
			})
		}
	}
	sum := func() (calls uint64) {
		for _, c := range callers {
			calls += atomic.LoadUint64(&c.calls)
		}
		return calls
	}

	time.Sleep(warmUp)
	fmt.Println("warm")
	lines.Scan()
	atomic.StoreInt32(&control.measuring, 1)
	allocated := allocations()
	began, calls := time.Now(), sum()
	time.Sleep(time.Duration(w.Window) * time.Millisecond)
	found := findings{Calls: sum() - calls, Seconds: time.Since(began).Seconds(), Allocations: allocations() - allocated}
	atomic.StoreInt32(&control.over, 1)
	fmt.Println("over")

	running.Wait()
	var latencies []time.Duration
	for _, c := range callers {
		if c.err != nil {
			return found, c.err
		}
		latencies = append(latencies, c.latencies...)
	}
	if last := len(latencies) - 1; last >= 0 {
		sort.Slice(latencies, func(i, j int) bool { return latencies[i] < latencies[j] })
		found.P50 = latencies[last/2].Seconds()
		found.P99 = latencies[last*99/100].Seconds()
		found.Worst = latencies[last].Seconds()
	}
	return found, nil
}

// call echoes the payload, or multiplies if there is none.
func call(client *rpc.Client, factor int64, payload []byte) error {
	if len(payload) > 0 {
		var reply []byte
		if err := client.Call("Arith.Echo", payload, &reply); err != nil {
			return err
		}
		if len(reply) != len(payload) {
			return fmt.Errorf("%d bytes came back of %d", len(reply), len(payload))
		}
		return nil
	}
	var product int64
	if err := client.Call("Arith.Multiply", &Args{factor, 7}, &product); err != nil {
		return err
	}
	if product != factor*7 {
		return fmt.Errorf("%d times 7 is not %d", factor, product)
	}
	return nil
}

// held are connections that stay open until the process ends.
var held []*rpc.Client

func idle(addr string, w workload) (findings, error) {
	payload := make([]byte, w.Payload)
	open := func() error {
		client, err := rpc.Dial("tcp", addr)
		if err != nil {
			return err
		}
		held = append(held, client)
		return call(client, 6, payload)
	}
	if err := open(); err != nil {
		return findings{}, err
	}
	fmt.Println("warm")
	lines.Scan()
	began := time.Now()
	for i := 0; i < w.Connections; i++ {
		if err := open(); err != nil {
			return findings{}, err
		}
	}
	found := findings{Calls: uint64(w.Connections), Seconds: time.Since(began).Seconds()}
	fmt.Println("over")
	return found, nil
}
