//! Runs the cases: who calls whom, where, and how many at once.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use netrpc::Client;
use tokio::{sync::Semaphore, time::timeout};

use super::{
    calls,
    client::{Conn, Target},
    matrix::{Case, Matrix, Outcome, Protocol, Way},
    mortal::{Mortal, Whose},
    peer::{GoServer, Peer, Plan},
    server::OurServers,
};

/// How long one of our cases may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// Lanes at once: more would hold too many times 16 MiB.
const AT_ONCE: usize = 3;

/// Cases that end their server.
const DEADLY: [&str; 2] = ["server-restart", "graceful-shutdown"];

/// The case that is run in all protocols at the same time.
const CROWD: &str = "crowd";

/// All that can be called.
struct World {
    peer: Arc<Peer>,
    go: GoServer,
    ours: OurServers,
}

/// A direction and a protocol.
#[derive(Clone, Copy)]
struct Lane {
    way: Way,
    protocol: Protocol,
}

/// Runs all cases, whatever comes of them.
pub async fn fill(peer: &Arc<Peer>, rows: &[Case], protocols: &[Protocol]) -> Result<Matrix> {
    let go = peer.serve(protocols).await?;
    let world = World { peer: peer.clone(), go, ours: OurServers::start().await? };
    let mut matrix = Matrix::default();
    let lanes = |way| protocols.iter().map(move |protocol| Lane { way, protocol: *protocol });
    let mut record =
        |lane: Lane, names: &[&'static str], mut outcomes: HashMap<String, Outcome>| {
            for name in names {
                if let Some(outcome) = outcomes.remove(*name) {
                    matrix.record(name, lane.way, lane.protocol, outcome);
                }
            }
        };

    let at_once = Semaphore::new(AT_ONCE);
    let runs = Way::ALL.into_iter().flat_map(lanes).map(async |lane| {
        let _permit = at_once.acquire().await?;
        let quiet = lane.cases(rows, |name| name != CROWD && !DEADLY.contains(&name));
        let deadly = lane.cases(rows, |name| DEADLY.contains(&name));
        let mut outcomes = world.run(lane, &quiet, world.addr(lane), None).await?;
        if !deadly.is_empty() {
            let whose = match lane.way {
                Way::GoCallsUs => Whose::Ours,
                Way::WeCallGo | Way::GoCallsGo => Whose::Gos(lane.protocol),
            };
            let (mortal, addr) = Mortal::start(peer.clone(), whose).await?;
            outcomes.extend(world.run(lane, &deadly, addr, Some(mortal)).await?);
        }
        anyhow::Ok((lane, [quiet, deadly].concat(), outcomes))
    });
    for (lane, names, outcomes) in try_join_all(runs).await? {
        record(lane, &names, outcomes);
    }

    // Everybody at once, on one port of ours.
    for way in Way::ALL {
        let runs = lanes(way).map(async |lane| {
            let names = lane.cases(rows, |name| name == CROWD);
            let outcomes = world.run(lane, &names, world.addr(lane), None).await?;
            anyhow::Ok((lane, names, outcomes))
        });
        let natives = async {
            match way {
                Way::GoCallsUs => native_crowd(world.ours.addr).await,
                Way::WeCallGo | Way::GoCallsGo => Ok(()),
            }
        };
        let (runs, ours) = tokio::join!(try_join_all(runs), natives);
        ours?;
        for (lane, names, outcomes) in runs? {
            record(lane, &names, outcomes);
        }
    }

    // Whatever they did, they are gone.
    let gone = async {
        while world.ours.server.connections() > 0 {
            tokio::task::yield_now().await;
        }
    };
    let left = timeout(PATIENCE, gone).await;
    ensure!(left.is_ok(), "{} connections are left", world.ours.server.connections());
    Ok(matrix)
}

/// Programs of ours, beside those in Go.
async fn native_crowd(addr: SocketAddr) -> Result<()> {
    calls::crowd_of(async || {
        let client = Client::dial(addr).await?;
        Ok(Conn { client, protocol: Protocol::Gob })
    })
    .await
}

impl Lane {
    fn cases(self, rows: &[Case], wanted: impl Fn(&str) -> bool) -> Vec<&'static str> {
        let here = rows.iter().filter(|case| case.exception(self.way, self.protocol).is_none());
        here.map(|case| case.name).filter(|name| wanted(name)).collect()
    }
}

impl World {
    fn addr(&self, lane: Lane) -> SocketAddr {
        match lane.way {
            Way::GoCallsUs => self.ours.addr,
            Way::WeCallGo | Way::GoCallsGo => self.go.addrs[&lane.protocol],
        }
    }

    async fn run(
        &self,
        lane: Lane,
        names: &[&'static str],
        addr: SocketAddr,
        mortal: Option<Arc<Mortal>>,
    ) -> Result<HashMap<String, Outcome>> {
        let Lane { way, protocol } = lane;
        if names.is_empty() {
            return Ok(HashMap::new());
        }
        if way == Way::WeCallGo {
            let target = Target { protocol, addr, cases: names.into(), mortal };
            let mut outcomes = HashMap::new();
            for name in names {
                outcomes.insert((*name).to_owned(), run_ours(name, target.clone()).await);
            }
            return Ok(outcomes);
        }
        let OurServers { other, restricted, limited, .. } = self.ours;
        // Go's server has all its services on both paths.
        let other = if way == Way::GoCallsUs { other } else { addr };
        let plan = Plan { protocol, addr, other, restricted, limited, cases: names, mortal };
        self.peer.run(&plan).await
    }
}

/// One case of our client, which may also panic or hang.
async fn run_ours(name: &'static str, target: Target) -> Outcome {
    let running = tokio::spawn(calls::run(name, target));
    let stop = running.abort_handle();
    match timeout(PATIENCE, running).await {
        Ok(Ok(ended)) => ended.map_err(|error| format!("{error:#}")),
        Ok(Err(panic)) => Err(format!("{panic}")),
        Err(_) => {
            stop.abort();
            Err(format!("not over after {} s", PATIENCE.as_secs()))
        }
    }
}
