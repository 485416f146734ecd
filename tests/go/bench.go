package main

import (
	"flag"
	"fmt"
	"net/rpc"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
	"testing"
)

// bench runs the benchmarks of Go's package (BenchmarkEndToEnd and its sisters) against two servers in
// turn, and prints how many calls each answers. Ratios are formed within a round, so that a machine that
// is slower for a while is slower for both.
func bench(args []string) error {
	testing.Init()
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	goGob := flags.String("go", "", "Go's server, gob")
	goHTTP := flags.String("go-http", "", "Go's server, HTTP")
	ours := flags.String("ours", "", "netrpc's server, gob and HTTP")
	rounds := flags.Int("rounds", 10, "rounds")
	window := flags.String("benchtime", "500ms", "how long a benchmark takes, about")
	flags.Parse(args)
	flag.Set("test.benchtime", *window)

	overHTTP := func(addr string) (*rpc.Client, error) { return rpc.DialHTTP("tcp", addr) }
	direct := func(addr string) (*rpc.Client, error) { return rpc.Dial("tcp", addr) }
	shapes := []struct {
		name    string
		dial    func(addr string) (*rpc.Client, error)
		run     func(*rpc.Client, *testing.B)
		servers [2]string // Go's, ours
	}{
		{"EndToEnd", direct, endToEnd, [2]string{*goGob, *ours}},
		{"EndToEndHTTP", overHTTP, endToEnd, [2]string{*goHTTP, *ours}},
		{"EndToEndAsync", direct, endToEndAsync, [2]string{*goGob, *ours}},
		{"EndToEndAsyncHTTP", overHTTP, endToEndAsync, [2]string{*goHTTP, *ours}},
	}
	rates := make([][2][]float64, len(shapes))
	for round := 0; round < *rounds; round++ {
		for i, shape := range shapes {
			for turn := 0; turn < 2; turn++ {
				server := (round + turn) % 2
				client, err := shape.dial(shape.servers[server])
				if err != nil {
					return err
				}
				result := testing.Benchmark(func(b *testing.B) { shape.run(client, b) })
				client.Close()
				if result.N == 0 {
					return fmt.Errorf("%s failed with server %d", shape.name, server)
				}
				rates[i][server] = append(rates[i][server], float64(result.N)/result.T.Seconds())
			}
		}
	}
	fmt.Printf("%d rounds of %s, GOMAXPROCS %d, %s\n", *rounds, *window, runtime.GOMAXPROCS(0), runtime.Version())
	fmt.Printf("%-18s %12s %12s   %s\n", "Go's client with", "Go's server", "netrpc's", "ratio: median (least – greatest)")
	for i, shape := range shapes {
		var ratios []float64
		for round := range rates[i][0] {
			ratios = append(ratios, rates[i][1][round]/rates[i][0][round])
		}
		sort.Float64s(ratios)
		fmt.Printf("%-18s %10.0f/s %10.0f/s   %.2f (%.2f – %.2f)\n", shape.name, median(rates[i][0]), median(rates[i][1]),
			median(ratios), ratios[0], ratios[len(ratios)-1])
	}
	return nil
}

func median(numbers []float64) float64 {
	sorted := append([]float64(nil), numbers...)
	sort.Float64s(sorted)
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

// endToEnd is benchmarkEndToEnd of Go's package: each processor makes one call after the other.
func endToEnd(client *rpc.Client, b *testing.B) {
	args := &Args{7, 8}
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		reply := new(Reply)
		for pb.Next() {
			if err := client.Call("Arith.Add", args, reply); err != nil || reply.C != args.A+args.B {
				b.Errorf("Add: %d, %v", reply.C, err)
				return
			}
		}
	})
}

// endToEndAsync is benchmarkEndToEndAsync: 100 calls on their way.
func endToEndAsync(client *rpc.Client, b *testing.B) {
	const maxConcurrentCalls = 100
	args := &Args{7, 8}
	procs := 4 * runtime.GOMAXPROCS(-1)
	send, recv := int32(b.N), int32(b.N)
	var wg sync.WaitGroup
	wg.Add(procs)
	gate := make(chan bool, maxConcurrentCalls)
	res := make(chan *rpc.Call, maxConcurrentCalls)
	b.ResetTimer()
	for p := 0; p < procs; p++ {
		go func() {
			for atomic.AddInt32(&send, -1) >= 0 {
				gate <- true
				client.Go("Arith.Add", args, new(Reply), res)
			}
		}()
		go func() {
			for call := range res {
				if sum := call.Reply.(*Reply).C; call.Error != nil || sum != args.A+args.B {
					b.Errorf("Add: %d, %v", sum, call.Error)
				}
				<-gate
				if atomic.AddInt32(&recv, -1) == 0 {
					close(res)
				}
			}
			wg.Done()
		}()
	}
	wg.Wait()
}
