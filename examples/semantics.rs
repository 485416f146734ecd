//! The same debits over the same bad network, under each of the semantics, and what they come to.
//!
//! `cargo run --example semantics --features sim,durable`
//!
//! A client takes 1 from an account of 500, 500 times. The network cuts connections or lets them fall silent, and
//! every two seconds somebody kills the server. Afterwards the account tells how often the method ran, and the
//! client what it was told: the difference is what the semantics are about. All of it is simulated, from one
//! seed, so that each run prints the same. `docs/DEBITS.md` walks through it.
//!
//! It prints:
//!
//! ```text
//!                        arrived  executed  acknowledged  unknown  suppressed  balance
//! Maybe                      500       479           466       34           0       21
//! AtLeastOnce                539       517           500        0           0      -17
//! AtMostOnce, volatile       539       496           490       10          13        4
//! AtMostOnce, durable        536       500           499        1          12        0
//! ExactlyOnce                539       502           500        0          13        0
//! ```

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use netrpc::{
    CallOptions, Context, Error, Ledger, Semantics, Server, service,
    sim::{Crash, Faults, Host, Result, Simulation},
};
use tokio::time::sleep;

const DEBITS: u64 = 500;

/// One that lets everything that is told here happen, as most do.
const SEED: u64 = 1984;

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What stands outside of the simulated world and sees what has really happened.
#[derive(Clone, Default)]
struct Truth {
    /// What is in the account.
    balance: Arc<AtomicI64>,
    /// How often a debit was made.
    executed: Arc<AtomicU64>,
    /// How many requests the ledger knew again, so that they did not run once more.
    suppressed: Arc<AtomicU64>,
}

impl Truth {
    fn debit(&self, amount: i64) -> i64 {
        self.executed.fetch_add(1, Relaxed);
        self.balance.fetch_sub(amount, Relaxed) - amount
    }
}

/// A bank whose account lies in a database of its own, which is never down: a debit that was made stays made.
struct Bank(Truth);

#[service]
impl Bank {
    async fn debit(&self, amount: i64, balance: &mut i64) {
        sleep(millis(3)).await; // the server may die here …
        *balance = self.0.debit(amount);
        sleep(millis(3)).await; // … or here
    }
}

/// A bank whose account lies in the ledger's own file: a debit is kept together with the call's outcome, or is
/// not made.
struct Vault(Truth);

#[service]
impl Vault {
    #[method(exactly_once)]
    async fn debit(&self, cx: &Context, amount: i64, balance: &mut i64) -> anyhow::Result<()> {
        sleep(millis(3)).await;
        let mut txn = cx.txn()?;
        *balance = match txn.get("accounts", "alice")? {
            Some(bytes) => i64::from_le_bytes(bytes.as_slice().try_into()?) - amount,
            None => DEBITS as i64 - amount,
        };
        txn.put("accounts", "alice", balance.to_le_bytes());
        self.0.executed.fetch_add(1, Relaxed);
        sleep(millis(3)).await;
        Ok(())
    }

    #[method(exactly_once)]
    fn balance(&self, cx: &Context, _: (), balance: &mut i64) -> anyhow::Result<()> {
        let bytes = cx.txn()?.get("accounts", "alice")?.unwrap_or_default();
        *balance = i64::from_le_bytes(bytes.as_slice().try_into()?);
        Ok(())
    }
}

/// What a server keeps of calls.
#[derive(Clone, Copy)]
enum Memory {
    /// Nothing.
    None,
    /// A ledger that ends with the process.
    Volatile,
    /// A ledger in a file.
    Durable,
}

/// The server's `main`, which is run again after each crash.
async fn serve(host: Host, memory: Memory, truth: Truth) -> Result {
    let server = match memory {
        Memory::None => host.server(),
        Memory::Volatile => host.server().ledger(Ledger::volatile().seed(host.seed())),
        Memory::Durable => host.server().ledger(host.ledger("calls")?),
    };
    let server = server.build();
    server.register(Bank(truth.clone()))?;
    server.register(Vault(truth.clone()))?;
    tokio::spawn(count_suppressed(server.clone(), truth));
    server.serve(host.listen(1000)?).await;
    Ok(())
}

/// Notes what the ledger has done in this life of the server, as long as that lasts.
async fn count_suppressed(server: Server, truth: Truth) {
    let mut noted = 0;
    while let Some(stats) = server.ledger_stats() {
        let suppressed = stats.replayed + stats.joined;
        truth.suppressed.fetch_add(suppressed - noted, Relaxed);
        noted = suppressed;
        sleep(millis(1)).await;
    }
}

/// What the client was told.
#[derive(Default)]
struct Told {
    acknowledged: u64,
    unknown: u64,
    refused: u64,
    balance: Option<i64>,
}

/// The client's `main`: one debit after the other.
async fn debit(host: Host, semantics: Semantics) -> Result<Told> {
    let options =
        CallOptions::new().semantics(semantics).wait_for_ready(true).timeout(millis(60_000));
    let builder = host.client().options(options).keep_alive(millis(500), millis(500));
    let client = builder.connect_with(host.connector("bank", 1000)).await?;
    let is_transactional = semantics == Semantics::ExactlyOnce;
    let method = if is_transactional { "Vault.Debit" } else { "Bank.Debit" };
    let mut told = Told::default();
    for _ in 0..DEBITS {
        match client.call::<i64, i64>(method, &1).await {
            Ok(_balance) => told.acknowledged += 1,
            Err(error) => note(&mut told, &error),
        }
    }
    if is_transactional {
        told.balance = Some(client.call("Vault.Balance", &()).await?);
    }
    Ok(told)
}

fn note(told: &mut Told, error: &Error) {
    match error.may_have_run() {
        true => told.unknown += 1,
        false => told.refused += 1,
    }
}

/// The whole of it under one of the semantics; prints a line of the table.
fn simulate(name: &str, semantics: Semantics, memory: Memory) -> Result {
    let truth = Truth::default();
    truth.balance.store(DEBITS as i64, Relaxed);
    let mut sim = Simulation::new(SEED);
    sim.network()
        .set_faults(Faults::new().cut(0.02).silence(0.005).delay(0.05, millis(10)..millis(300)));
    let seen = truth.clone();
    sim.host("bank", move |host| serve(host, memory, seen.clone()));
    sim.host("fate", |host| async move {
        loop {
            sleep(millis(2000)).await;
            host.network().crash("bank", Crash::Kill);
            sleep(millis(100)).await;
            host.network().restart("bank");
        }
    });
    let told = sim.run("client", move |host| debit(host, semantics))?;
    let Told { acknowledged, unknown, refused, balance } = told;
    assert_eq!(acknowledged + unknown + refused, DEBITS);
    let arrived = sim.network().traffic("bank").calls;
    let (executed, suppressed) = (truth.executed.load(Relaxed), truth.suppressed.load(Relaxed));
    let balance = balance.unwrap_or_else(|| truth.balance.load(Relaxed));
    println!(
        "{name:<22}{arrived:>8}{executed:>10}{acknowledged:>14}{unknown:>9}{suppressed:>12}{balance:>9}"
    );
    Ok(())
}

fn main() -> Result {
    println!(
        "{:<22}{:>8}{:>10}{:>14}{:>9}{:>12}{:>9}",
        "", "arrived", "executed", "acknowledged", "unknown", "suppressed", "balance"
    );
    simulate("Maybe", Semantics::Maybe, Memory::None)?;
    simulate("AtLeastOnce", Semantics::AtLeastOnce, Memory::None)?;
    simulate("AtMostOnce, volatile", Semantics::AtMostOnce, Memory::Volatile)?;
    simulate("AtMostOnce, durable", Semantics::AtMostOnce, Memory::Durable)?;
    simulate("ExactlyOnce", Semantics::ExactlyOnce, Memory::Durable)
}
