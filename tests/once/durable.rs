//! Calls at most once and exactly once, with a ledger and a log on disks whose power fails.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use netrpc::{
    Call, CallOptions, Client, ClientBuilder, Context, Error, Fault, Ledger, Reconnect, Refusal,
    Semantics, Server, service,
};
use netrpc_core::wire::Kind;
use tokio::sync::Semaphore;

use crate::{
    common::soon,
    disk::{Disk, Random},
    net::{Fate, Net, Way},
};

/// What it does outlives its servers, as an effect outside of the ledger's store does.
#[derive(Clone)]
struct Vault {
    /// How often a handler has begun.
    runs: Arc<AtomicUsize>,
    /// The sum of what was added outside of the store.
    outside: Arc<AtomicU64>,
    begun: Arc<Semaphore>,
    gate: Arc<Semaphore>,
}

impl Vault {
    fn new() -> Self {
        let closed = || Arc::new(Semaphore::new(0));
        let (begun, gate) = (closed(), closed());
        Vault { runs: Arc::default(), outside: Arc::default(), begun, gate }
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    async fn has_begun(&self) {
        soon(self.begun.acquire()).await.unwrap().forget();
    }

    fn serve(&self, disk: &Disk) -> Server {
        let ledger = Ledger::with_store(Arc::new(disk.open())).unwrap();
        let server = Server::builder().ledger(ledger).build();
        server.register(self.clone()).unwrap();
        server
    }

    /// An effect that nothing takes back.
    fn add_outside(&self, amount: u64) -> u64 {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.outside.fetch_add(amount, Ordering::SeqCst) + amount
    }

    /// One that is kept with the call's outcome.
    fn add_inside(&self, cx: &Context, amount: u64) -> Result<u64, Fault> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let mut txn = cx.txn()?;
        let sum = sum_of(txn.get("sums", "a")?) + amount;
        txn.put("sums", "a", sum.to_le_bytes());
        Ok(sum)
    }
}

fn sum_of(kept: Option<Vec<u8>>) -> u64 {
    kept.map_or(0, |it| u64::from_le_bytes(it.try_into().expect("eight bytes")))
}

#[service]
impl Vault {
    fn recorded(&self, amount: u64, sum: &mut u64) {
        *sum = self.add_outside(amount);
    }

    async fn recorded_later(&self, amount: u64, sum: &mut u64) {
        *sum = self.add_outside(amount);
        self.begun.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
    }

    #[method(exactly_once)]
    fn kept(&self, cx: &Context, amount: u64, sum: &mut u64) -> Result<(), Fault> {
        *sum = self.add_inside(cx, amount)?;
        Ok(())
    }

    #[method(exactly_once)]
    async fn kept_later(&self, cx: &Context, amount: u64, sum: &mut u64) -> Result<(), Fault> {
        *sum = self.add_inside(cx, amount)?;
        self.begun.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
        Ok(())
    }

    #[method(exactly_once)]
    fn sum(&self, cx: &Context, (): (), sum: &mut u64) -> Result<(), Fault> {
        *sum = sum_of(cx.txn()?.get("sums", "a")?);
        Ok(())
    }
}

/// How calls are made, and which methods they call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// `AtMostOnce`, and an effect that the ledger knows nothing of.
    Recorded,
    /// `ExactlyOnce`, and an effect in the ledger's store.
    Exactly,
}

const BOTH: [Kept; 2] = [Kept::Recorded, Kept::Exactly];

struct Setup {
    kept: Kept,
    vault: Vault,
    disk: Disk,
    net: Net,
    client: Client,
}

impl Setup {
    async fn new(kept: Kept) -> Self {
        let (vault, disk) = (Vault::new(), Disk::default());
        let net = Net::new(&vault.serve(&disk));
        let client = builder(kept).connect_with(net.clone()).await.unwrap();
        let setup = Setup { kept, vault, disk, net, client };
        assert_eq!(soon(setup.go("", 1)).await.unwrap(), 1);
        setup
    }

    fn go(&self, which: &str, amount: u64) -> Call<u64> {
        self.client.go(method(self.kept, which), &amount)
    }

    /// The power of the server fails, and comes back.
    fn crash(&mut self, seed: u64) {
        self.disk = self.disk.crash(&mut Random::new(seed));
        self.net.server(Some(&self.vault.serve(&self.disk)));
    }

    /// What has been added in the end.
    async fn sum(&self) -> u64 {
        match self.kept {
            Kept::Recorded => self.vault.outside.load(Ordering::SeqCst),
            Kept::Exactly => soon(self.client.call("Vault.Sum", &())).await.unwrap(),
        }
    }
}

fn method(kept: Kept, which: &str) -> String {
    let kind = if kept == Kept::Recorded { "Recorded" } else { "Kept" };
    format!("Vault.{kind}{which}")
}

fn builder(kept: Kept) -> ClientBuilder {
    let semantics = match kept {
        Kept::Recorded => Semantics::AtMostOnce,
        Kept::Exactly => Semantics::ExactlyOnce,
    };
    let soon = Duration::from_millis(5);
    let reconnect = Reconnect::new().seed(7).first_delay(soon).max_delay(soon);
    Client::builder().reconnect(reconnect).options(CallOptions::new().semantics(semantics))
}

/// Waits until it is so.
async fn until(is_so: impl Fn() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    soon(looking).await;
}

#[tokio::test]
async fn what_is_lost_or_comes_twice_runs_once() {
    for kept in BOTH {
        for (way, kind, fate) in [
            (Way::FromClient, Kind::Request, Fate::Cut),
            (Way::FromServer, Kind::Reply, Fate::Cut),
            (Way::FromClient, Kind::Request, Fate::PassAndCut),
            (Way::FromClient, Kind::Request, Fate::Copy),
            (Way::FromClient, Kind::Request, Fate::Twice),
        ] {
            let setup = Setup::new(kept).await;
            setup.net.once(way, kind, fate);
            assert_eq!(soon(setup.go("", 10)).await.unwrap(), 11, "{kept:?}, {fate:?}");
            setup.net.release();
            assert_eq!(soon(setup.go("", 100)).await.unwrap(), 111, "{kept:?}, {fate:?}");
            let counts = setup.net.counts();
            assert!(counts.cut + counts.held + counts.doubled > 0, "{counts:?}");
            assert_eq!((setup.sum().await, setup.vault.runs()), (111, 3), "{kept:?}, {fate:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_crashed_before_it_ran_runs_it_once_when_it_is_back() {
    for kept in BOTH {
        let mut setup = Setup::new(kept).await;
        setup.net.once(Way::FromClient, Kind::Request, Fate::Lose);
        let calling = setup.go("", 10);
        until(|| setup.net.counts().lost == 1).await;
        setup.crash(1);
        assert_eq!(soon(calling).await.unwrap(), 11);
        assert_eq!((setup.sum().await, setup.vault.runs()), (11, 2));
    }
}

/// Crash while it ran: what the ledger's store knows is rolled back and runs again, anything else is unknown and
/// never does.
#[tokio::test]
async fn a_server_that_crashed_while_it_ran_rolls_back_or_does_not_know() {
    for kept in BOTH {
        let mut setup = Setup::new(kept).await;
        let calling = setup.go("Later", 10);
        setup.vault.has_begun().await;
        setup.crash(2);
        if kept == Kept::Exactly {
            setup.vault.has_begun().await;
            setup.vault.gate.add_permits(2);
            assert_eq!(soon(calling).await.unwrap(), 11);
            assert_eq!(
                (setup.sum().await, setup.vault.runs()),
                (11, 3),
                "once as far as anybody sees"
            );
        } else {
            let error = soon(calling).await.unwrap_err();
            assert!(matches!(error, Error::OutcomeUnknown(_)) && error.may_have_run(), "{error:?}");
            assert_eq!(soon(setup.go("", 100)).await.unwrap(), 111);
            assert_eq!(setup.vault.runs(), 3, "it did not run again");
        }
    }
}

#[tokio::test]
async fn a_server_that_crashed_after_the_effect_answers_what_it_would_have_answered() {
    for kept in BOTH {
        let mut setup = Setup::new(kept).await;
        setup.net.once(Way::FromServer, Kind::Reply, Fate::Lose);
        let calling = setup.go("", 10);
        until(|| setup.net.counts().lost == 1).await;
        assert_eq!(setup.vault.runs(), 2);
        setup.crash(3);
        assert_eq!(soon(calling).await.unwrap(), 11);
        assert_eq!((setup.sum().await, setup.vault.runs()), (11, 2));
    }
}

/// Partition past the deadline: unknown. A handle that was kept asks again, in the server's next life too.
#[tokio::test]
async fn after_a_partition_whoever_kept_the_handle_learns_the_outcome() {
    for kept in BOTH {
        let mut setup = Setup::new(kept).await;
        setup.net.fates(|way, _| match way {
            Way::FromClient => Fate::Pass,
            Way::FromServer => Fate::Lose,
        });
        let hurried = setup.client.with(CallOptions::new().timeout(Duration::from_millis(50)));
        let error = soon(hurried.go::<_, u64>(&method(kept, ""), &10u64)).await.unwrap_err();
        assert!(matches!(error, Error::Deadline { may_have_run: true }), "{error:?}");
        let handle = setup.go("", 100);
        until(|| setup.vault.runs() == 3 && setup.net.counts().lost >= 2).await;
        setup.net.heal();
        setup.crash(4);
        assert_eq!(soon(handle).await.unwrap(), 111);
        assert_eq!((setup.sum().await, setup.vault.runs()), (111, 3));
    }
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let dir = dir.join(format!("once-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Client crash, log kept: what had run is answered, what had not runs, once each. And the client of before, which is
/// not as dead as it seemed, is shut out.
#[tokio::test]
async fn a_client_that_crashed_learns_what_became_of_its_calls_and_its_past_is_shut_out() {
    let dir = Scratch::new("crashed");
    let mut setup = Setup::new(Kept::Exactly).await;
    let (log, image) = (dir.file("client.log"), dir.file("image.log"));
    let dial = |log: &PathBuf| builder(Kept::Exactly).log(log).connect_with(setup.net.clone());
    let before = dial(&log).await.unwrap();
    let add = |client: &Client, amount: u64| {
        let client = client.with(CallOptions::new().tag(amount.to_le_bytes()));
        client.go::<_, u64>("Vault.Kept", &amount)
    };
    assert_eq!(soon(add(&before, 10)).await.unwrap(), 11);
    // One runs and is not answered, one does not arrive.
    setup.net.once(Way::FromServer, Kind::Reply, Fate::Lose);
    let ran = add(&before, 100);
    until(|| setup.net.counts().lost == 1).await;
    setup.net.once(Way::FromClient, Kind::Request, Fate::Lose);
    let lost = add(&before, 1000);
    until(|| setup.net.counts().lost == 2).await;
    std::fs::copy(&log, &image).unwrap();

    let after = dial(&image).await.unwrap();
    let mut told = Vec::new();
    while let Some(call) = soon(after.recovered().next()).await {
        let tag = u64::from_le_bytes(call.tag().try_into().unwrap());
        let (outcome, receipt) = call.outcome::<u64>();
        told.push((tag, outcome.unwrap()));
        receipt.settle();
    }
    told.sort_unstable();
    // The first was answered before; whether that was noted in time is a matter of chance.
    told.retain(|(tag, _)| *tag != 10);
    assert_eq!(told, [(100, 111), (1000, 1111)]);

    // It comes back, and asks for its calls.
    setup.net.cut();
    for call in [ran, lost] {
        let error = soon(call).await.unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown(_)), "{error:?}");
        assert!(error.to_string().contains("another incarnation"), "{error}");
    }
    let error = soon(add(&before, 10_000)).await.unwrap_err();
    assert!(matches!(error, Error::Refused { refusal: Refusal::Fenced, .. }), "{error:?}");
    setup.crash(5);
    assert_eq!((setup.sum().await, setup.vault.runs()), (1111, 4));
}

/// Client crash, no log: nobody asks again, and it has run or not.
#[tokio::test]
async fn a_client_that_crashed_without_a_log_leaves_nothing_that_could_run_twice() {
    for kept in BOTH {
        let mut setup = Setup::new(kept).await;
        let calling = setup.go("Later", 10);
        setup.vault.has_begun().await;
        let other = builder(kept).connect_with(setup.net.clone()).await.unwrap();
        drop(calling);
        setup.client = other;
        setup.net.cut();
        setup.vault.gate.add_permits(1);
        let sum = soon(setup.go("", 100)).await.unwrap();
        assert!([101, 111].contains(&sum), "{kept:?}: {sum}");
        assert_eq!((setup.sum().await, setup.vault.runs()), (sum, 3));
    }
}
