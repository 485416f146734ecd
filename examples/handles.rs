//! Many calls at once on one connection: `go`, and what can be done with its handles.
//!
//! ```text
//! cargo run --example handles
//! ```
//!
//! prints
//!
//! ```text
//! 500 calls started, none awaited
//! 499 have finished, the first still runs
//! the sum of their replies is 41791749
//! the first replied 1, once it was let go
//! a call was dropped: its handler saw that and gave up
//! a call was detached: its handler wrote down 7
//! ```
//!
//! A [`Call`] is Go's `*rpc.Call` and its `Done` channel in one: a future of the reply. The call is
//! under way from the moment `go` returns, awaited or not, and replies come back in any order. Go
//! programs give many calls one `Done` channel; here they are collected in a `FuturesUnordered`.
//!
//! Dropping a handle cancels the call, and the server tells its handler. An `async` handler ends at
//! its next `.await`; one that computes looks at its [`Context`] now and then. Where nobody wants the
//! reply but the work shall be done, `detach` the handle.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{StreamExt, stream::FuturesUnordered};
use netrpc::{Call, Context, Server, service};
use tokio::sync::Notify;

#[derive(Default)]
struct Numbers {
    let_go: Notify,
    search_has_begun: Notify,
    search_gave_up: Notify,
    recorded: AtomicU64,
    has_recorded: Notify,
}

#[service]
impl Numbers {
    /// The square of a number; that of 1 only when it is let go.
    async fn square(&self, n: u64, reply: &mut u64) {
        if n == 1 {
            self.let_go.notified().await;
        }
        *reply = n * n;
    }

    fn let_go(&self, (): (), _: &mut ()) {
        self.let_go.notify_one();
    }

    /// Looks for a number whose square is 2, until nobody waits for it any more.
    fn search(&self, cx: &Context, (): (), found: &mut Option<u64>) {
        self.search_has_begun.notify_one();
        for n in 0u64.. {
            if n.wrapping_mul(n) == 2 {
                *found = Some(n);
                return;
            }
            if n % 1000 == 0 && cx.is_cancelled() {
                self.search_gave_up.notify_one();
                return;
            }
        }
    }

    async fn search_has_begun(&self, (): (), _: &mut ()) {
        self.search_has_begun.notified().await;
    }

    async fn search_gave_up(&self, (): (), _: &mut ()) {
        self.search_gave_up.notified().await;
    }

    /// Writes a number down, after a while.
    async fn record(&self, n: u64, _: &mut ()) {
        self.let_go.notified().await;
        self.recorded.store(n, Ordering::SeqCst);
        self.has_recorded.notify_one();
    }

    /// The number that was written down, once there is one.
    async fn recorded(&self, (): (), reply: &mut u64) {
        self.has_recorded.notified().await;
        *reply = self.recorded.load(Ordering::SeqCst);
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Server::new();
    server.register(Numbers::default())?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(server.serve(listener));
    let numbers = NumbersClient::dial(addr).await?;

    // Started in order …
    let first: Call<u64> = numbers.square_go(1);
    let mut others: FuturesUnordered<Call<u64>> = (2..=500).map(|n| numbers.square_go(n)).collect();
    println!("{} calls started, none awaited", 1 + others.len());

    // … and finished in any. The first holds nobody up.
    let (mut finished, mut sum) = (0, 0);
    while let Some(square) = others.next().await {
        finished += 1;
        sum += square?;
    }
    println!("{finished} have finished, the first still runs");
    println!("the sum of their replies is {sum}");
    numbers.let_go().await?;
    println!("the first replied {}, once it was let go", first.await?);

    // Dropped: the handler's `Context` tells it.
    let call = numbers.search_go();
    numbers.search_has_begun().await?;
    drop(call);
    numbers.search_gave_up().await?;
    println!("a call was dropped: its handler saw that and gave up");

    // Detached: it runs on though nobody waits.
    numbers.record_go(7).detach();
    numbers.let_go().await?;
    println!("a call was detached: its handler wrote down {}", numbers.recorded().await?);
    Ok(())
}
