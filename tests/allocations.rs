//! Go's `TestCountMallocs`: how often a call allocates, on both sides together.

mod common;

use allocation_counter::measure;
use common::pipe;
use futures_util::future::join_all;
use netrpc::{CallInfo, Client, Server, ServerBuilder, SyncPolicy, service};

struct Arith;

#[service]
impl Arith {
    fn multiply(&self, (a, b): (i64, i64), reply: &mut i64) {
        *reply = a * b;
    }
}

async fn calls(client: &Client, n: i64) {
    for n in 0..n {
        assert_eq!(client.call::<_, i64>("Arith.Multiply", &(n, 2)).await.unwrap(), n * 2);
    }
}

/// Client and server on one thread, so that one counter sees both.
fn client(runtime: &tokio::runtime::Runtime, builder: ServerBuilder) -> Client {
    let server = builder.sync_policy(SyncPolicy::Inline).build();
    server.register(Arith).unwrap();
    runtime.block_on(async { pipe(&server) })
}

#[test]
fn a_call_allocates_nothing_once_the_buffers_are_there() {
    const CALLS: u64 = 1000;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = client(&runtime, Server::builder());
    runtime.block_on(calls(&client, 100));
    let counted = measure(|| runtime.block_on(calls(&client, CALLS as i64)));
    let each = counted.count_total as f64 / CALLS as f64;
    println!("one caller: {each} allocations a call");
    assert!(each <= 1.0, "{each} allocations a call");
}

#[test]
fn nor_does_one_of_many() {
    const ROUNDS: i64 = 100;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = client(&runtime, Server::builder());
    let all = || join_all((0..64).map(|_| calls(&client, ROUNDS)));
    runtime.block_on(all());
    let counted = measure(|| {
        runtime.block_on(all());
    });
    let each = counted.count_total as f64 / (64 * ROUNDS) as f64;
    println!("64 callers: {each} allocations a call");
    assert!(each <= 1.0, "{each} allocations a call");
}

/// What a call costs that passes something: the figure is no promise, but should not grow unnoticed.
#[test]
fn a_check_costs_a_handful() {
    const CALLS: u64 = 1000;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let check = |call: CallInfo| async move {
        assert!(call.exists());
        Ok(7u8)
    };
    let client = client(&runtime, Server::builder().authorize(check));
    runtime.block_on(calls(&client, 100));
    let counted = measure(|| runtime.block_on(calls(&client, CALLS as i64)));
    let each = counted.count_total as f64 / CALLS as f64;
    println!("with a check that leaves a value: {each} allocations a call");
    assert!(each <= 9.0, "{each} allocations a call");
}

#[cfg(feature = "tower")]
#[test]
fn so_does_a_stack_of_layers() {
    use tower::{limit::ConcurrencyLimitLayer, timeout::TimeoutLayer};

    const CALLS: u64 = 1000;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let stack = tower::ServiceBuilder::new()
        .layer(TimeoutLayer::new(std::time::Duration::from_secs(10)))
        .layer(ConcurrencyLimitLayer::new(10));
    let client = client(&runtime, Server::builder().layer(stack));
    runtime.block_on(calls(&client, 100));
    let counted = measure(|| runtime.block_on(calls(&client, CALLS as i64)));
    let each = counted.count_total as f64 / CALLS as f64;
    println!("with a timeout and a concurrency limit: {each} allocations a call");
    assert!(each <= 8.0, "{each} allocations a call");
}
