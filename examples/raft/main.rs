//! Raft on five simulated hosts, whose network loses, delays and reorders calls, and whose power fails.
//!
//! ```text
//! cargo run --example raft --features sim
//! ```
//!
//! prints
//!
//! ```text
//! five nodes, and a network that loses a tenth of all requests and answers and delays some for seconds
//! 20 writes, one after the other, are done
//! the leader and another node are cut off from the three others
//! 20 writes are done by the three
//! the old leader took a write, and could not promise it
//! the five are together again, and 20 writes are done
//! the leader loses its power, and 20 writes are done by the others
//! it is back, and 20 writes are done
//! every node has the same 100 values
//! no term had two leaders
//! messages were lost, late, overtaken and met partitions; with the same seed the same happens again
//! ```
//!
//! With `--seed 7` another run, and with `--trace` who led when. This is what the labs of MIT's course 6.5840 have
//! their students build, on what stands here for their `labrpc`: [`netrpc::sim`], with connections taken apart
//! [by message](netrpc::sim::Faults::by_message). The node is in `raft.rs`; it is made of one `#[service]` for
//! its peers, one for clients, and two kinds of tasks.

mod raft;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use netrpc::{
    CallOptions, Client,
    sim::{Counts, Crash, Faults, Host, Simulation},
};
use raft::{Node, PORT, Table, TableClient};
use tokio::time::sleep;

const NAMES: [&str; 5] = ["ann", "bob", "cat", "dan", "eve"];

/// Who led in which term.
type Leaders = Arc<Mutex<BTreeMap<u64, usize>>>;

fn main() -> anyhow::Result<()> {
    let (mut seed, mut prints) = (1, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match &argument[..] {
            "--seed" => seed = arguments.next().unwrap_or_default().parse()?,
            "--trace" => prints = true,
            other => anyhow::bail!("--seed NUMBER and --trace are known, not {other}"),
        }
    }
    let (counts, hash) =
        run(seed, prints, |line| println!("{line}")).map_err(anyhow::Error::msg)?;
    let (_, again) = run(seed, false, |_| {}).map_err(anyhow::Error::msg)?;
    assert_eq!(hash, again);
    assert!(counts.dropped > 0 && counts.delayed > 0 && counts.reordered > 0);
    assert!(counts.partitioned > 0 && counts.power_lost == 1);
    println!(
        "messages were lost, late, overtaken and met partitions; with the same seed the same happens again"
    );
    Ok(())
}

fn run(seed: u64, prints: bool, tell: fn(&str)) -> Result<(Counts, u64), String> {
    tell(
        "five nodes, and a network that loses a tenth of all requests and answers and delays some for seconds",
    );
    let leaders = Leaders::default();
    let mut sim = Simulation::new(seed);
    let millis = Duration::from_millis;
    let late = Faults::unreliable()
        .latency(millis(5)..millis(27))
        .reorder(0.1)
        .delay(0.05, millis(200)..millis(2400));
    sim.network().set_faults(late);
    for (me, name) in NAMES.into_iter().enumerate() {
        let leaders = leaders.clone();
        sim.host(name, move |host| node(host, me, leaders.clone(), prints));
    }
    let known = leaders.clone();
    sim.run("client", move |host| scenario(host, known, tell))
        .map_err(|error| error.to_string())?;
    Ok((sim.counts(), sim.trace_hash()))
}

/// The software of a node.
async fn node(host: Host, me: usize, leaders: Leaders, prints: bool) -> netrpc::sim::Result {
    let clock = host.clone();
    let leads = move |term, me| {
        let before = leaders.lock().unwrap().insert(term, me);
        assert!(before.is_none_or(|before| before == me), "term {term} has two leaders");
        if prints {
            println!("  {:7.3} s: {} leads, in term {term}", clock.now().as_secs_f64(), NAMES[me]);
        }
    };
    let node = Node::start(&host, me, &NAMES, leads).await?;
    let server = host.server().build();
    server.register(Table(node.clone()))?;
    server.register(node)?;
    server.serve(host.listen(PORT)?).await;
    Ok(())
}

async fn scenario(host: Host, leaders: Leaders, tell: fn(&str)) -> netrpc::sim::Result {
    let network = host.network();
    let mut tables = Vec::new();
    for name in NAMES {
        let options = CallOptions::new().timeout(Duration::from_millis(800));
        let client =
            host.client().options(options).connect_with(host.connector(name, PORT)).await?;
        tables.push(client);
    }
    let leader = || *leaders.lock().unwrap().last_key_value().expect("somebody leads").1;
    let all: Vec<usize> = (0..NAMES.len()).collect();

    write(&tables, &all, 0..20).await;
    tell("20 writes, one after the other, are done");

    let old = leader();
    let (minority, majority): (Vec<_>, Vec<_>) =
        all.iter().partition(|node| **node == old || **node == (old + 1) % NAMES.len());
    let names = |nodes: &[usize]| nodes.iter().map(|node| NAMES[*node]).collect::<Vec<_>>();
    network.partition(&names(&minority), &names(&majority));
    tell("the leader and another node are cut off from the three others");
    write(&tables, &majority, 20..40).await;
    tell("20 writes are done by the three");
    assert_ne!(leader(), old);
    let lonely = TableClient::new(tables[old].clone());
    for _ in 0..10 {
        lonely.put(&("lost".to_owned(), "lost".to_owned())).await.expect_err("nobody agrees");
    }
    tell("the old leader took a write, and could not promise it");

    network.heal();
    write(&tables, &all, 40..60).await;
    tell("the five are together again, and 20 writes are done");

    let dark = leader();
    network.crash(NAMES[dark], Crash::PowerLoss);
    write(&tables, &all, 60..80).await;
    tell("the leader loses its power, and 20 writes are done by the others");
    assert_ne!(leader(), dark);
    network.restart(NAMES[dark]);
    write(&tables, &all, 80..100).await;
    tell("it is back, and 20 writes are done");

    let written: BTreeMap<_, _> = (0..100).map(pair).collect();
    for client in tables {
        let table = TableClient::new(client);
        while !matches!(table.all().await, Ok(found) if found == written) {
            sleep(Duration::from_millis(100)).await;
        }
    }
    tell("every node has the same 100 values");
    tell("no term had two leaders");
    Ok(())
}

fn pair(number: u32) -> (String, String) {
    (format!("key {number}"), format!("value {number}"))
}

/// Writes until each is done, wherever the leader is among these nodes.
async fn write(tables: &[Client], nodes: &[usize], numbers: std::ops::Range<u32>) {
    let mut guess = 0;
    for number in numbers {
        loop {
            let table = TableClient::new(tables[nodes[guess % nodes.len()]].clone());
            if table.put(&pair(number)).await.is_ok() {
                break;
            }
            guess += 1;
            sleep(Duration::from_millis(20)).await;
        }
    }
}
