//! The debug page: what a server's methods are, and what becomes of calls to them, in a browser.
//!
//! ```text
//! cargo run --example debug_page --features debug-page
//! ```
//!
//! prints an address to open, and calls three services of its own until you press Ctrl-C. With a
//! number behind it, `-- 10`, it ends after so many seconds.
//!
//! The page has a port of its own here. To put it into an HTTP server that you have already, see
//! `netrpc::debug`.

use std::{
    env,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context as _, bail};
use netrpc::{CallOptions, Client, Error, Server, service};
use serde::{Deserialize, Serialize};
use tokio::{
    net::TcpListener,
    time::{interval, sleep},
};

#[derive(Serialize, Deserialize)]
struct Args {
    a: i64,
    b: i64,
}

#[derive(Default, Serialize, Deserialize)]
struct Quotient {
    quo: i64,
    rem: i64,
}

/// Quick, and fails when asked to do what cannot be done.
struct Arith;

#[service]
impl Arith {
    /// Multiplies two numbers.
    #[method(alias = "Mul")]
    fn multiply(&self, args: Args, reply: &mut i64) {
        *reply = args.a.wrapping_mul(args.b);
    }

    /// Divides `a` by `b`, with the remainder. Dividing by zero is an error.
    fn divide(&self, Args { a, b }: Args, reply: &mut Quotient) -> anyhow::Result<()> {
        if b == 0 {
            bail!("divide by zero");
        }
        *reply = Quotient { quo: a / b, rem: a % b };
        Ok(())
    }

    /// Takes a logarithm, and panics where there is none.
    fn logarithm(&self, n: u64, reply: &mut u32) {
        *reply = n.ilog2();
    }
}

#[derive(Default)]
struct Inventory {
    stock: AtomicU64,
}

#[service]
impl Inventory {
    /// How many there are of an article.
    async fn look_up(&self, article: String, reply: &mut Option<u64>) {
        sleep(Duration::from_micros(300 + spread(article.len() as u64, 900))).await;
        *reply = Some(self.stock.load(Ordering::Relaxed));
    }

    /// Takes articles out, all or none.
    async fn reserve(&self, (articles, n): (Vec<String>, u64), _: &mut ()) -> anyhow::Result<()> {
        sleep(Duration::from_millis(2 + spread(n, 30))).await;
        if articles.len() as u64 * n > 40 {
            bail!("there are not so many");
        }
        self.stock.fetch_add(n, Ordering::Relaxed);
        Ok(())
    }

    /// Waits for the next delivery, longer than most callers do.
    async fn watch(&self, seconds: u64, reply: &mut u64) {
        sleep(Duration::from_millis(seconds * 1000)).await;
        *reply = self.stock.load(Ordering::Relaxed);
    }
}

struct Reports;

#[service]
impl Reports {
    /// Writes a report, which blocks its thread for a while.
    #[method(blocking)]
    fn render(&self, pages: u64, reply: &mut Vec<u8>) {
        std::thread::sleep(Duration::from_millis(20 + spread(pages, 200)));
        reply.resize(pages as usize * 100, b'.');
    }

    /// Nobody has asked for one yet.
    fn delete(&self, _: String, reply: &mut bool) {
        *reply = true;
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let seconds = match env::args().nth(1) {
        Some(seconds) => Some(seconds.parse().context("the argument is a number of seconds")?),
        None => None,
    };

    // The page counts them; here their texts would bury its address.
    std::panic::set_hook(Box::new(|_| {}));

    let server = Server::new();
    server.register(Arith)?;
    server.register(Inventory::default())?;
    server.register(Reports)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(server.serve(listener));

    // The page, on a port that only this machine reaches.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}{}", listener.local_addr()?, netrpc::debug::PATH);
    tokio::spawn(server.debug_page().title("warehouse").serve(listener));

    for _ in 0..3 {
        tokio::spawn(arithmetic(Client::dial(addr).await?));
        tokio::spawn(trade(Client::dial(addr).await?));
    }
    match seconds {
        Some(seconds) => sleep(Duration::from_secs(seconds)).await,
        None => tokio::signal::ctrl_c().await?,
    }
    Ok(())
}

/// Some hundred quick calls a second, more and less of them by turns.
async fn arithmetic(client: Client) {
    let arith = ArithClient::new(client);
    let mut ticks = interval(Duration::from_millis(20));
    for tick in 0.. {
        ticks.tick().await;
        for n in 0..2 + spread(tick / 100, 8) as i64 {
            // What goes wrong is on the page.
            let _ = arith.multiply(&Args { a: n, b: n }).await;
        }
        let _ = arith.divide(&Args { a: 1000, b: spread(tick, 60) as i64 }).await;
        if tick % 40 == 0 {
            let _ = arith.logarithm(spread(tick, 9)).await;
        }
    }
}

/// Slower calls: some wait, some are given up, some block.
async fn trade(client: Client) {
    let inventory = InventoryClient::new(client.clone());
    let hasty = inventory.with(CallOptions::new().timeout(Duration::from_millis(1500)));
    let reports = ReportsClient::new(client);
    let mut ticks = interval(Duration::from_millis(25));
    for tick in 0.. {
        ticks.tick().await;
        let article = "x".repeat(1 + spread(tick, 20) as usize);
        let _ = inventory.look_up(&article).await;
        inventory.reserve_go(&(vec![article; 3], spread(tick, 15))).detach();
        if tick % 10 == 0 {
            reports.render_go(spread(tick, 50)).detach();
        }
        if tick % 50 == 0 {
            let watching = hasty.watch_go(1 + spread(tick, 3));
            tokio::spawn(async move {
                match watching.await {
                    Ok(_) | Err(Error::Deadline { .. }) => {}
                    Err(error) => eprintln!("watching ended: {error}"),
                }
            });
        }
    }
}

/// A number below `n` that looks like chance, the same for the same `seed`.
fn spread(seed: u64, n: u64) -> u64 {
    // Knuth's generator.
    let mixed = (seed + 1).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    (mixed ^ (mixed >> 29)).wrapping_mul(1_442_695_040_888_963_407) % n.max(1)
}
