//! A bank whose server and whose customer are killed at random moments, again and again: what it has in the end
//! is what its customer was told, to the unit.
//!
//! ```sh
//! NETRPC_KILLS=300 cargo test --test bank --all-features -- --nocapture
//! ```
//!
//! The customer's process makes debits of four kinds at once, and notes in a file each that it is about to make and
//! what it was told of it. What a process has written stays written when it is killed. Calls exactly once are in
//! its log, are recovered by its next life, and their receipts are settled when their outcome is noted. The effect of
//! the other kinds is a note in a file of the server's, which its ledger knows nothing of.
//!
//! | kind | effect | what has to hold |
//! |---|---|---|
//! | `ExactlyOnce`, logged | in the ledger's store | each debit that was acknowledged is there once, each that was not is not; none is unknown |
//! | `AtMostOnce` | outside | none is there twice; acknowledged ≤ there ≤ acknowledged + unknown + interrupted |
//! | `AtLeastOnce` | outside | some are there twice: the kills do hit calls |
//! | `Maybe` | outside | some are unknown |
#![cfg(target_os = "linux")]
#![allow(unreachable_pub)] // its processes are in files of their own

mod common;
mod process;

mod bank {
    pub mod customer;
    pub mod server;
}

use std::{
    collections::BTreeMap,
    env, fs,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::{Path, PathBuf},
    time::Duration,
};

use bank::{
    customer::{Kind, Story},
    server::notes,
};
use common::{Random, soon};
use netrpc::{CallOptions, Client, Reconnect, Semantics};
use process::Process;
use tokio::{runtime::Runtime, time::sleep};

/// A free port of an address that nobody else uses: it stays free while the server is dead.
const ALONE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 3), 0));

/// How many processes are killed, unless said otherwise.
const KILLS: u64 = 10;

/// What both processes are told.
const DIR: &str = "NETRPC_BANK";
const AT: &str = "NETRPC_AT";
/// Which life of the customer this is.
const LIFE: &str = "NETRPC_LIFE";

/// A client that comes back soon.
fn reconnect() -> Reconnect {
    let soon = Duration::from_millis(10);
    Reconnect::new().first_delay(soon).max_delay(soon)
}

struct Town {
    dir: PathBuf,
    server: Option<Process>,
    customer: Option<Process>,
    at: SocketAddr,
    lives: u64,
}

impl Town {
    fn settings(&self) -> [(&'static str, String); 3] {
        let dir = self.dir.to_str().expect("a path in UTF-8").to_owned();
        [(DIR, dir), (AT, self.at.to_string()), (LIFE, self.lives.to_string())]
    }

    async fn start(&mut self, role: &str) -> Process {
        let settings = self.settings();
        let settings = settings.each_ref().map(|(name, value)| (*name, &**value));
        soon(Process::again(role, &settings)).await
    }

    async fn open(&mut self) {
        let server = self.start(bank::server::ROLE).await;
        self.at = server.addr();
        self.server = Some(server);
    }

    async fn wake(&mut self) {
        self.lives += 1;
        let customer = self.start(bank::customer::ROLE).await;
        self.customer = Some(customer);
    }

    /// Waits until calls of each kind have been answered again.
    async fn is_busy(&self) {
        let before = self.story().answered();
        let busy = async {
            loop {
                let now = self.story().answered();
                if Kind::ALL.iter().all(|kind| now.get(kind) > before.get(kind)) {
                    return;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        soon(busy).await;
    }

    fn story(&self) -> Story {
        Story::read(&self.dir)
    }
}

fn scratch() -> PathBuf {
    let dir = format!("bank-{}", std::process::id());
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(dir);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("there is room");
    dir
}

#[test]
fn what_the_bank_has_is_what_its_customer_was_told() {
    let kills = env::var("NETRPC_KILLS").map_or(KILLS, |text| text.parse().expect("a number"));
    let seed = std::process::id().into();
    println!("seed {seed}");
    let dir = scratch();
    Runtime::new().expect("a runtime").block_on(run(&dir, kills, Random::new(seed)));
    let _ = fs::remove_dir_all(dir);
}

async fn run(dir: &Path, kills: u64, mut random: Random) {
    let mut town = Town { dir: dir.to_owned(), server: None, customer: None, at: ALONE, lives: 0 };
    town.open().await;
    town.wake().await;
    let mut killed = [0u64; 2];
    for round in 0.. {
        if killed.iter().sum::<u64>() >= kills {
            break;
        }
        town.is_busy().await;
        sleep(Duration::from_micros(random.next() % 60_000)).await;
        // The server, the customer, or both, one right after the other.
        let (server, customer) =
            [(true, false), (false, true), (true, false), (true, true)][round % 4];
        if server {
            town.server.as_mut().expect("it is open").kill().await;
            killed[0] += 1;
        }
        if customer {
            town.customer.as_mut().expect("it is awake").kill().await;
            killed[1] += 1;
        }
        sleep(Duration::from_micros(random.next() % 30_000)).await;
        if customer {
            town.wake().await;
        }
        if server {
            sleep(Duration::from_micros(random.next() % 30_000)).await;
            town.open().await;
        }
    }
    // One last time, in the middle of it; what it leaves behind is for us to recover.
    town.is_busy().await;
    town.customer.as_mut().expect("it is awake").kill().await;
    killed[1] += 1;
    let client = Client::builder()
        .reconnect(reconnect())
        .log(bank::customer::log(dir))
        .options(CallOptions::new().semantics(Semantics::ExactlyOnce))
        .dial(town.at)
        .await
        .expect("the log is whole, and nobody else has it");
    soon(bank::customer::recover(&client, dir)).await;
    let kept: Vec<(u64, u64)> = soon(client.call("Bank.Debits", &())).await.expect("an answer");
    let balance: i64 = soon(client.call("Bank.Balance", &())).await.expect("an answer");
    client.close().await;

    let story = town.story();
    let mut there: BTreeMap<u64, u64> = kept.into_iter().collect();
    let debited: u64 = there.values().sum();
    assert_eq!(balance, -i64::try_from(debited).expect("not so much"), "the balance is its debits");
    there.extend(notes(dir));
    let found = story.compare(&there);
    println!("{} servers and {} customers killed:", killed[0], killed[1]);
    for (what, count) in &found {
        println!("{count:>8} {what}");
    }
    check(&found, kills);
}

/// What has to have happened, and what must not have.
fn check(found: &BTreeMap<String, u64>, kills: u64) {
    let count = |what: &str| found.get(what).copied().unwrap_or(0);
    // Exactly once: what was told is so, and there is nothing else.
    for what in found.keys() {
        let Some(what) = what.strip_prefix("exactly once: ") else { continue };
        let expected = [
            "acknowledged, there 1 times",
            "has not run, there 0 times",
            "never told, there 0 times",
        ];
        assert!(expected.contains(&what), "exactly once: {what}");
    }
    assert!(count("exactly once: acknowledged, there 1 times") > kills);
    assert!(
        count("recovered by another life of the customer") > 0,
        "no customer left a call behind"
    );
    // At most once: never twice; what is not acknowledged is unknown, or its customer was interrupted.
    for what in found.keys() {
        let Some(what) = what.strip_prefix("at most once: ") else { continue };
        let (told, times) = what.split_once(", there ").expect("as it is written");
        let possible = match told {
            "acknowledged" => ["1 times"].as_slice(),
            "has not run" => &["0 times"],
            "unknown" | "never told" => &["0 times", "1 times"],
            other => panic!("{other}"),
        };
        assert!(possible.contains(&times), "at most once: {what}");
    }
    assert!(count("at most once: acknowledged, there 1 times") > kills);
    // The controls: the same kills, without numbers.
    let twice = found.iter().filter(|(what, _)| {
        what.starts_with("at least once: ")
            && !what.contains(", there 0")
            && !what.contains(", there 1 ")
    });
    assert!(twice.map(|(_, count)| count).sum::<u64>() > 0, "no kill has hit a call: {found:?}");
    let maybe = ["maybe: unknown, there 0 times", "maybe: unknown, there 1 times"];
    assert!(maybe.iter().map(|what| count(what)).sum::<u64>() > 0, "no call was lost: {found:?}");
    assert!(!found.keys().any(|what| what.starts_with("maybe: ") && what.contains(", there 2")));
}
