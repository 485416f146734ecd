//! Whole calls over loopback TCP, both ends in one process: Go's `BenchmarkEndToEnd` and
//! `BenchmarkEndToEndAsync`.
//!
//! `cargo bench --bench end_to_end`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use netrpc::{Client, Server, service};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, runtime::Runtime};

#[derive(Serialize, Deserialize)]
struct Args {
    a: i64,
    b: i64,
}

struct Arith;

#[service]
impl Arith {
    fn multiply(&self, args: Args, reply: &mut i64) {
        *reply = args.a * args.b;
    }

    async fn multiply_async(&self, args: Args, reply: &mut i64) {
        *reply = args.a * args.b;
    }

    fn echo(&self, bytes: &[u8], reply: &mut Vec<u8>) {
        reply.extend_from_slice(bytes);
    }
}

async fn connect() -> Client {
    let server = Server::new();
    server.register(Arith).expect("a new name");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    let addr = listener.local_addr().expect("it is bound");
    tokio::spawn(server.serve(listener));
    Client::dial(addr).await.expect("it listens")
}

/// One call after the other.
fn serial(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let client = runtime.block_on(connect());
    let mut group = c.benchmark_group("serial");
    for method in ["Arith.Multiply", "Arith.MultiplyAsync"] {
        group.bench_function(method, |b| {
            b.to_async(&runtime).iter(|| async {
                let reply: i64 = client.call(method, &Args { a: 7, b: 8 }).await.expect("a reply");
                black_box(reply)
            });
        });
    }
    group.finish();
}

/// Many started with `go`, then awaited.
fn in_flight(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let client = runtime.block_on(connect());
    let mut group = c.benchmark_group("in flight");
    for calls in [16u64, 64, 256, 1024] {
        group.throughput(Throughput::Elements(calls));
        group.bench_with_input(BenchmarkId::from_parameter(calls), &calls, |b, calls| {
            b.to_async(&runtime).iter(|| async {
                let args = Args { a: 7, b: 8 };
                join_all((0..*calls).map(|_| client.go::<_, i64>("Arith.Multiply", &args))).await
            });
        });
    }
    group.finish();
}

/// Bytes there and back.
fn payload(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let client = runtime.block_on(connect());
    let mut group = c.benchmark_group("echo");
    for size in [1 << 10, 64 << 10, 1 << 20] {
        let bytes = vec![7u8; size];
        group.throughput(Throughput::Bytes(2 * size as u64));
        group.bench_with_input(BenchmarkId::from_parameter(size), &bytes, |b, bytes| {
            b.to_async(&runtime).iter(|| async {
                let reply: Vec<u8> = client.call("Arith.Echo", &bytes[..]).await.expect("a reply");
                black_box(reply)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, serial, in_flight, payload);
criterion_main!(benches);
