//! The same in a simulated network, where a seed decides what goes wrong and the server crashes.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::join_all;
use netrpc::{
    CallOptions, Ledger, Semantics, service,
    sim::{Crash, Faults, Host, Network, Simulation, for_seeds},
};
use tokio::time::sleep;

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Remembers what has run beyond its host's crashes.
#[derive(Clone, Default)]
struct Runs(Arc<Mutex<HashMap<u64, u32>>>);

#[service]
impl Runs {
    async fn note(&self, n: u64, reply: &mut u64) {
        *self.0.lock().unwrap().entry(n).or_default() += 1;
        sleep(millis(n % 70)).await;
        *reply = n;
    }
}

async fn serve(host: Host, runs: Runs) -> netrpc::sim::Result {
    let server = host.server().ledger(Ledger::volatile().seed(host.seed())).build();
    server.register(runs)?;
    server.serve_datagrams(host.datagram(1000)?)?.await;
    Ok(())
}

/// Kills the server once, starts it again, and cuts it off for a while.
async fn trouble(network: Network) {
    sleep(millis(4000)).await;
    network.crash("server", Crash::Kill);
    sleep(millis(2500)).await;
    network.restart("server");
    sleep(millis(5000)).await;
    network.partition(&["client"], &["server"]);
    sleep(millis(15_000)).await;
    network.heal();
}

/// Each call's number, and whether it was answered, if it may have run otherwise.
type Outcomes = Vec<(u64, Result<(), bool>)>;

async fn calls(host: Host) -> netrpc::sim::Result<Outcomes> {
    let options = CallOptions::new().semantics(Semantics::AtMostOnce);
    let server = host.address("server", 1000);
    let here = host.clone();
    let bind = move || std::future::ready(here.datagram(0));
    let client =
        host.client().options(options.timeout(Duration::from_secs(600))).datagrams(bind, server);
    let client = client.await?;
    tokio::spawn(trouble(host.network()));
    let next = AtomicU64::new(0);
    let caller = || async {
        let mut outcomes = Vec::new();
        loop {
            let n = next.fetch_add(1, Relaxed);
            if n >= 150 {
                return outcomes;
            }
            let outcome = client.call::<_, u64>("Runs.Note", &n).await;
            outcomes.push((n, outcome.map(drop).map_err(|error| error.may_have_run())));
            sleep(millis(300)).await;
        }
    };
    Ok(join_all((0..5).map(|_| caller())).await.into_iter().flatten().collect())
}

#[test]
fn no_call_runs_twice_whatever_becomes_of_datagrams_and_server() {
    let mut unknown = 0;
    for_seeds(0..20, |seed| {
        let mut sim = Simulation::new(seed);
        let faults = Faults::new().latency(millis(5)..millis(40)).drop(0.15).duplicate(0.1);
        sim.network().set_faults(faults.reorder(0.1).corrupt(0.02));
        let runs = Runs::default();
        let kept = runs.clone();
        sim.host("server", move |host| serve(host, kept.clone()));
        let outcomes = sim.run("client", calls).unwrap();
        assert_eq!(outcomes.len(), 150);
        for (n, outcome) in outcomes {
            let runs = runs.0.lock().unwrap().get(&n).copied().unwrap_or(0);
            match outcome {
                Ok(()) => assert_eq!(runs, 1, "call {n}"),
                Err(true) => {
                    assert!(runs <= 1, "call {n}");
                    unknown += 1;
                }
                Err(false) => assert_eq!(runs, 0, "call {n}"),
            }
        }
        let counts = sim.counts();
        let happened = [
            counts.dropped,
            counts.duplicated,
            counts.reordered,
            counts.corrupted,
            counts.partitioned,
            counts.killed,
        ];
        assert!(happened.iter().all(|count| *count > 0), "{counts:?}");
    });
    assert!(unknown < 20 * 15, "only what the crash has caught: {unknown}");
}
