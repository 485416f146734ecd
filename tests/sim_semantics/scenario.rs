//! A run: a bank, clients that call it, and somebody who lets everything go wrong.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use netrpc::{
    CallOptions, Client, Context, Fault, Ledger, LogSync, Reconnect, Semantics, service,
    sim::{Counts, Crash, Faults, File, Host, Random, Simulation},
};
use netrpc_core::ledger::Store;
use tokio::time::sleep;

use crate::{
    record::{Ending, Happened, Promise, Record, Tag},
    watched::{WINDOW, Watched, Witness},
};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const CLIENTS: [&str; 2] = ["ann", "bob"];
/// Who may go on with ann's log.
const HEIR: &str = "heir";
const PORT: u16 = 1000;
/// Calls of a client, one after the other …
const CALLS: u64 = 12;
/// … in so many tasks.
const TASKS: u64 = 3;
/// What a run is over after at the latest.
const LIMIT: Duration = Duration::from_secs(3000);

/// What calls are made under, and against what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Maybe,
    AtLeastOnce,
    /// At most once, and the server's ledger is in memory.
    Volatile,
    /// At most once, and the server's ledger is on its disk.
    Durable,
    /// Exactly once, and the effect lies in that ledger.
    Exactly,
}

impl Mode {
    fn semantics(self) -> Semantics {
        match self {
            Mode::Maybe => Semantics::Maybe,
            Mode::AtLeastOnce => Semantics::AtLeastOnce,
            Mode::Volatile | Mode::Durable => Semantics::AtMostOnce,
            Mode::Exactly => Semantics::ExactlyOnce,
        }
    }

    fn promise(self) -> Promise {
        let (begins_once, once, lasts) = match self {
            // As the network of such a run doubles nothing.
            Mode::Maybe => (true, true, false),
            Mode::AtLeastOnce => (false, false, false),
            Mode::Volatile | Mode::Durable => (true, true, false),
            // A handler that a crash has interrupted begins again: what it did is undone.
            Mode::Exactly => (false, true, true),
        };
        Promise { begins_once, once, lasts }
    }

    /// Whether a server's crash is to change nothing.
    pub(crate) fn is_durable(self) -> bool {
        matches!(self, Mode::Durable | Mode::Exactly)
    }
}

/// A protection that is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Without {
    Nothing,
    /// Each life of the server is taken for the one before.
    Epochs,
    /// That a call has started is not kept.
    Starts,
    /// Outcomes are not kept.
    Outcomes,
    /// Floors are not kept, and yet confirmed.
    Floors,
    /// The disk acknowledges syncs, and does them too late.
    Sync,
    /// That a session was resumed is not kept.
    Fencing,
}

/// What came of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    pub(crate) faults: Counts,
    pub(crate) happened: Happened,
    pub(crate) hash: u64,
}

impl std::ops::AddAssign for Outcome {
    fn add_assign(&mut self, more: Outcome) {
        self.faults += more.faults;
        self.happened += more.happened;
        self.hash ^= more.hash;
    }
}

/// Runs a seed.
///
/// # Errors
/// What was promised and did not hold.
pub(crate) fn run(seed: u64, mode: Mode, without: Without) -> Result<Outcome, String> {
    let mut sim = Simulation::new(seed);
    sim.limit(LIMIT);
    let record = Record::new(mode.promise());
    let mut random = Random::new(!seed);
    sim.network().set_faults(weather(&mut random, mode));
    let over_datagrams = seed % 4 == 3;
    let (of_bank, witness) = (record.clone(), Witness::new(record.clone()));
    sim.host("bank", move |host| {
        serve(host, of_bank.clone(), witness.clone(), (mode, over_datagrams), without)
    });
    sim.network().let_disk_lie("bank", without == Without::Sync);
    let copied = Copied::default();
    for name in CLIENTS {
        let (record, copied) = (record.clone(), copied.clone());
        sim.host(name, move |host| {
            work(host, name, record.clone(), (mode, over_datagrams), copied.clone())
        });
    }
    let (of_heir, waits) = (record.clone(), copied.clone());
    sim.host(HEIR, move |host| {
        inherit(host, of_heir.clone(), (mode, over_datagrams), waits.clone())
    });
    let is_copied = mode == Mode::Exactly && random.below(3) == 0;
    let of_weather = record.clone();
    sim.run("weather", |host| {
        everything_goes_wrong(host, random, of_weather, is_copied.then_some(copied.clone()), copied)
    })
    .map_err(|error| error.to_string())?;
    let happened = record.judge()?;
    // A client gives up on a server whose first bytes are not those of one, also where they were corrupted.
    if happened.doubted > 0 && sim.counts().corrupted == 0 {
        return Err("an outcome that was known is unknown after a crash".to_owned());
    }
    Ok(Outcome { faults: sim.counts(), happened, hash: sim.trace_hash() })
}

/// What goes wrong on the network all the time: another weather for each seed.
fn weather(random: &mut Random, mode: Mode) -> Faults {
    let mut some = |most: f64| if random.below(2) == 0 { 0.0 } else { most };
    let faults = Faults::new()
        .latency(millis(5)..millis(40))
        .drop(some(0.05))
        .delay(some(0.1), millis(10)..millis(3000))
        .corrupt(some(0.01))
        .cut(some(0.05))
        .silence(some(0.01))
        .refuse(some(0.1));
    if random.below(3) > 0 {
        return faults;
    }
    // Nothing keeps a `Maybe` that the network doubles from running twice.
    let doubles = if mode == Mode::Maybe { 0.0 } else { 0.1 };
    faults.by_message(true).duplicate(doubles).reorder(0.1)
}

struct Bank {
    record: Record,
    witness: Witness,
    random: Mutex<Random>,
}

#[service]
impl Bank {
    /// Takes some time, or none.
    async fn pay(&self, cx: &Context, tag: Tag, paid: &mut Tag) {
        self.runs(cx, tag);
        self.take_time().await;
        *paid = tag;
    }

    /// Runs where its request was read.
    fn pay_at_once(&self, cx: &Context, tag: Tag, paid: &mut Tag) {
        self.runs(cx, tag);
        *paid = tag;
    }

    /// The same, with an effect that is kept with the outcome.
    #[method(exactly_once)]
    async fn keep(&self, cx: &Context, tag: Tag, paid: &mut Tag) -> Result<(), Fault> {
        self.runs(cx, tag);
        self.take_time().await;
        add_one(cx, tag)?;
        self.take_time().await;
        *paid = tag;
        Ok(())
    }

    #[method(exactly_once)]
    fn keep_at_once(&self, cx: &Context, tag: Tag, paid: &mut Tag) -> Result<(), Fault> {
        self.runs(cx, tag);
        add_one(cx, tag)?;
        *paid = tag;
        Ok(())
    }
}

impl Bank {
    fn runs(&self, cx: &Context, tag: Tag) {
        self.record.runs(tag);
        if let Some(xid) = cx.xid() {
            self.witness.runs(xid, tag);
        }
    }

    async fn take_time(&self) {
        let time = self.random.lock().expect("nobody panics").time(millis(0)..millis(40));
        if time >= millis(20) {
            sleep(time).await;
        }
    }
}

const EFFECTS: &str = "effects";

fn add_one(cx: &Context, tag: Tag) -> Result<(), Fault> {
    let mut txn = cx.txn()?;
    let before = txn.get(EFFECTS, tag.to_be_bytes())?;
    let before = before.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("8 bytes")));
    txn.put(EFFECTS, tag.to_be_bytes(), (before + 1).to_le_bytes());
    Ok(())
}

/// What is on the disk of how often each call has had its effect.
fn effects(store: &dyn Store) -> netrpc::sim::Result<BTreeMap<Tag, u64>> {
    let txn = store.transactions().ok_or("handlers can write")?.begin()?;
    let number = |bytes: Vec<u8>| Some(u64::from_be_bytes(bytes.try_into().ok()?));
    let rows = txn.range(EFFECTS, &[0; 8], &[0xFF; 8])?;
    let effects = rows
        .into_iter()
        .map(|(tag, count)| Some((number(tag)?, u64::from_le_bytes(count.try_into().ok()?))));
    Ok(effects.collect::<Option<_>>().ok_or("rows are numbers")?)
}

async fn serve(
    host: Host,
    record: Record,
    witness: Witness,
    (mode, over_datagrams): (Mode, bool),
    without: Without,
) -> netrpc::sim::Result {
    let mut server = host.server();
    let ledger = match mode {
        Mode::Maybe | Mode::AtLeastOnce => None,
        Mode::Volatile => {
            let seed = if without == Without::Epochs { 7 } else { host.seed() };
            Some(Ledger::volatile().seed(seed))
        }
        Mode::Durable | Mode::Exactly => {
            let store = host.store("ledger")?;
            if mode == Mode::Exactly {
                record.finds(effects(&*store)?);
            }
            let store = Watched::new(store, witness.clone(), without)?;
            Some(Ledger::with_store(store)?.seed(host.seed()))
        }
    };
    if let Some(ledger) = ledger {
        server = server.ledger(ledger.window(WINDOW));
    }
    let server = server.build();
    server.register(Bank { record, witness, random: host.random().into() })?;
    if over_datagrams {
        server.serve_datagrams(host.datagram(PORT)?)?.await;
    } else {
        server.serve(host.listen(PORT)?).await;
    }
    Ok(())
}

/// What clients share beyond the network: a client's log, in the hands of another.
#[derive(Clone, Default)]
struct Copied {
    original: Arc<Mutex<Option<File>>>,
    /// Whoever writes it has its session, and need not resume it any more.
    is_settled: Arc<AtomicBool>,
    bytes: Arc<Mutex<Option<Vec<u8>>>>,
    /// Whoever has it has resumed the session.
    is_heir: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
}

const LOG: &str = "log";

/// The software of a client, which begins anew after a crash.
async fn work(
    host: Host,
    name: &'static str,
    record: Record,
    (mode, over_datagrams): (Mode, bool),
    copied: Copied,
) -> netrpc::sim::Result {
    let again = Reconnect::new().lazy(true).max_delay(Duration::from_secs(2)).seed(host.seed());
    let options = CallOptions::new().semantics(mode.semantics());
    let mut client = Client::builder()
        .reconnect(again)
        .options(options)
        .keep_alive(Duration::from_secs(2), Duration::from_secs(2));
    if mode == Mode::Exactly {
        client = client.log_with(host.log(LOG)?, LogSync::Inline);
        if name == CLIENTS[0] {
            copied.is_settled.store(false, Relaxed);
            *copied.original.lock().expect("nobody panics") = Some(host.disk().file(LOG));
        }
    }
    let client = if over_datagrams {
        let (here, bank) = (host.clone(), host.address("bank", PORT));
        client.datagrams(move || std::future::ready(here.datagram(0)), bank).await?
    } else {
        client.connect_with(host.connector("bank", PORT)).await?
    };
    let recovers = tokio::spawn(recover(client.clone(), record.clone()));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (client, settled) = (client.clone(), copied.is_settled.clone());
            let (record, random) = (record.clone(), host.random());
            tokio::spawn(calls(client, name, record, random, mode, settled))
        })
        .collect();
    recovers.await?;
    if name == HEIR {
        copied.is_heir.store(true, Relaxed);
    }
    for task in tasks {
        task.await?;
    }
    client.close().await;
    Ok(())
}

/// Learns what became of the calls of the life before.
async fn recover(client: Client, record: Record) {
    let recovered = client.recovered();
    while let Some(call) = recovered.next().await {
        let tag = Tag::from_be_bytes(call.tag().try_into().expect("the tag that it was given"));
        let (outcome, receipt) = call.outcome::<Tag>();
        let ending = match outcome {
            Ok(_) => Ending::Acknowledged,
            Err(error) if error.may_have_run() => Ending::Unknown,
            Err(_) => Ending::NotRun,
        };
        record.recovers(tag, ending);
        receipt.settle();
    }
}

/// The software of a host that waits for the log of a client, and goes on in its place.
async fn inherit(
    host: Host,
    record: Record,
    mode: (Mode, bool),
    copied: Copied,
) -> netrpc::sim::Result {
    loop {
        sleep(millis(50)).await;
        let bytes = copied.bytes.lock().expect("nobody panics").take();
        if let Some(bytes) = bytes {
            host.disk().file(LOG).replace(&bytes)?;
            return work(host, HEIR, record, mode, copied).await;
        }
        if copied.is_over.load(Relaxed) {
            return Ok(());
        }
    }
}

async fn calls(
    client: Client,
    name: &'static str,
    record: Record,
    mut random: Random,
    mode: Mode,
    settled: Arc<AtomicBool>,
) {
    for _ in 0..CALLS {
        let tag = record.begins(name);
        let timeout = random.time(millis(200)..millis(20_000));
        let options = CallOptions::new().timeout(timeout).tag(tag.to_be_bytes());
        let client = client.with(options);
        let methods = match mode {
            Mode::Exactly => ["Bank.Keep", "Bank.KeepAtOnce"],
            _ => ["Bank.Pay", "Bank.PayAtOnce"],
        };
        let method = methods[random.below(2) as usize];
        let call = client.go::<_, Tag>(method, &tag);
        let answer = if random.below(10) == 0 {
            tokio::time::timeout(random.time(millis(5)..millis(200)), call).await.ok()
        } else {
            Some(call.await)
        };
        let ending = match answer {
            Some(Ok(answer)) if answer == tag => Ending::Acknowledged,
            Some(Ok(answer)) => {
                record.broken(format!("call {tag} got the answer of {answer}"));
                Ending::Acknowledged
            }
            Some(Err(error)) if error.may_have_run() => Ending::Unknown,
            Some(Err(_)) => Ending::NotRun,
            None => Ending::Dropped,
        };
        record.ends(tag, ending);
        if name == CLIENTS[0] && ending == Ending::Acknowledged {
            settled.store(true, Relaxed);
        }
        sleep(random.time(millis(0)..millis(300))).await;
    }
}

/// What goes wrong from time to time; in the end everything is well, and everybody has time to finish.
async fn everything_goes_wrong(
    host: Host,
    mut random: Random,
    record: Record,
    mut copies: Option<Copied>,
    copied: Copied,
) -> netrpc::sim::Result {
    let network = host.network();
    for round in 0..8 {
        sleep(random.time(millis(50)..millis(900))).await;
        let crash = [Crash::Kill, Crash::PowerLoss][random.below(2) as usize];
        if round == 3
            && let Some(copied) = copies.take()
        {
            copy(&host, &record, &copied).await?;
        }
        // Whose log another has, does not begin anew with it.
        let client = CLIENTS[if record.is_copied() { 1 } else { random.below(2) as usize }];
        match random.below(8) {
            0..3 => {
                network.crash("bank", crash);
                sleep(random.time(millis(10)..millis(600))).await;
                network.restart("bank");
            }
            3..5 => {
                network.crash(client, crash);
                sleep(random.time(millis(60)..millis(300))).await;
                network.restart(client);
            }
            5 => network.partition(&[client], &["bank"]),
            6 => {
                let one_way = [[client, "bank"], ["bank", client]][random.below(2) as usize];
                network.partition_one_way(&one_way[..1], &one_way[1..]);
            }
            _ => network.heal(),
        }
    }
    network.heal();
    network.set_faults(Faults::new().latency(millis(5)..millis(40)));
    copied.is_over.store(true, Relaxed);
    while CLIENTS.iter().chain([&HEIR]).any(|client| network.is_up(client)) {
        sleep(Duration::from_secs(1)).await;
    }
    // What is still on its way arrives.
    sleep(Duration::from_secs(10)).await;
    // Only what is on the disk is there in the end.
    network.crash("bank", Crash::PowerLoss);
    network.restart("bank");
    sleep(Duration::from_secs(1)).await;
    Ok(())
}

/// Gives another host the log of a client, as if that had been cloned while it stood still. It goes on when the
/// other has resumed its session.
async fn copy(host: &Host, record: &Record, copied: &Copied) -> netrpc::sim::Result {
    // One who is still to resume it would shut the heir out, and rightly so.
    if !copied.is_settled.load(Relaxed) {
        return Ok(());
    }
    let network = host.network();
    network.isolate(CLIENTS[0]);
    let original = copied.original.lock().expect("nobody panics").clone();
    // It may have finished, or be between two lives.
    if let Some(Ok(bytes)) = original.map(|file| file.read_all()) {
        record.copied(CLIENTS[0]);
        *copied.bytes.lock().expect("nobody panics") = Some(bytes);
        for _ in 0..100 {
            sleep(millis(50)).await;
            if copied.is_heir.load(Relaxed) {
                break;
            }
        }
    }
    network.rejoin(CLIENTS[0]);
    Ok(())
}
