//! The network, for whoever lets things go wrong.

use std::time::Duration;

use super::{
    Counts, Faults, Traffic,
    world::{HostId, Shared, Wish, World, duration},
};

/// How a host's software ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Its process is killed, as by `kill -9`. The system stays: it resets the connections, and what was written
    /// to the disk is there, synced or not.
    Kill,
    /// Its power fails. Nobody is told, and of what was written to the disk and not synced any part is there, or
    /// nothing.
    PowerLoss,
}

/// The network, and the hosts' power switches; a clone is the same network.
///
/// From [`Simulation::network`](super::Simulation::network), or inside a host from
/// [`Host::network`](super::Host::network). Its methods panic where a host is named that is not there.
#[derive(Debug, Clone)]
pub struct Network {
    shared: Shared,
}

impl Network {
    pub(super) fn new(shared: Shared) -> Self {
        Network { shared }
    }

    /// What goes wrong between any two hosts from now on, where nothing else is set.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.with(|world| {
            world.faults = faults;
        });
    }

    /// What goes wrong on the way from one host to another; the way back is another.
    pub fn set_faults_between(&self, from: &str, to: &str, faults: Faults) {
        self.shared.with(|world| {
            let link = (world.host(from), world.host(to));
            world.links.insert(link, faults);
        });
    }

    /// Lets nothing through between any host of the one side and any of the other, in either direction.
    ///
    /// Datagrams and messages of connections [by message](Faults::by_message) are lost. Of other connections
    /// the systems keep what is sent, and send it when the partition is healed.
    pub fn partition(&self, one: &[&str], other: &[&str]) {
        self.block(one, other);
        self.block(other, one);
    }

    /// Lets nothing through from any host of the one side to any of the other; the other direction works.
    pub fn partition_one_way(&self, from: &[&str], to: &[&str]) {
        self.block(from, to);
    }

    /// Lets nothing through between a host and all others.
    pub fn isolate(&self, host: &str) {
        self.shared.with(|world| {
            let (host, all) = (world.host(host), 0..world.machines.len());
            for other in all.filter(|other| *other != host) {
                world.blocked.extend([(host, other), (other, host)]);
            }
            world.note_of(host, "is isolated");
        });
    }

    /// Ends every partition that a host is in.
    pub fn rejoin(&self, host: &str) {
        self.shared.with(|world| {
            let host = world.host(host);
            world.blocked.retain(|(from, to)| *from != host && *to != host);
            world.note_of(host, "rejoins");
            world.unblock();
        });
    }

    /// Ends every partition.
    pub fn heal(&self) {
        self.shared.with(|world| {
            world.blocked.clear();
            world.unblock();
        });
    }

    /// Crashes a host at a random moment within 50 ms (or the network's shortest latency, if that is more): between
    /// two polls of its tasks, all of which are dropped, or within one, before it writes to its disk or sends
    /// something. Nothing happens if it does not run then.
    pub fn crash(&self, host: &str, crash: Crash) {
        self.wish(host, |host| Wish::Crash(host, crash));
    }

    /// Starts a host's software again, at once or, if it is to crash, right after that. Nothing happens if it runs.
    pub fn restart(&self, host: &str) {
        self.wish(host, Wish::Start);
    }

    /// Has syncs of a host's disk be acknowledged and done later, in order, from now on, as by a disk with a cache
    /// that a power failure empties: of the last eight syncs then only some were done, and not the last.
    pub fn let_disk_lie(&self, host: &str, lies: bool) {
        self.shared.with(|world| {
            let host = world.host(host);
            world.machines[host].files.lie(lies);
        });
    }

    /// Whether a host's software runs.
    pub fn is_up(&self, host: &str) -> bool {
        self.shared.with(|world| world.machines[world.host(host)].is_up)
    }

    /// How long the simulation has gone on.
    pub fn now(&self) -> Duration {
        self.shared.with(|world| duration(world.now()))
    }

    /// How often what has gone wrong so far.
    pub fn counts(&self) -> Counts {
        self.shared.with(|world| world.counts)
    }

    /// What has been sent to a host, and by it.
    pub fn traffic(&self, host: &str) -> Traffic {
        self.shared.with(|world| world.machines[world.host(host)].traffic)
    }

    fn block(&self, from: &[&str], to: &[&str]) {
        self.shared.with(|world| {
            let ids = |world: &World, names: &[&str]| -> Vec<HostId> {
                names.iter().map(|name| world.host(name)).collect()
            };
            let (from, to) = (ids(world, from), ids(world, to));
            for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to))) {
                world.blocked.insert((from, to));
                world.note("is partitioned", from, to, &[]);
            }
        });
    }

    fn wish(&self, host: &str, wish: impl FnOnce(HostId) -> Wish) {
        self.shared.with(|world| {
            let wish = wish(world.host(host));
            world.wishes.push(wish);
        });
    }
}
