//! What all hosts share: the time, what is on its way, and what goes wrong with it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    task::Waker,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    Counts, Crash, Faults, Random, Traffic,
    connection::{Connection, Item},
    disk::Files,
    trace::Trace,
};

/// A host, by its place in the order in which they were added.
pub(super) type HostId = usize;

/// A time, in milliseconds since the simulation began.
pub(super) type Millis = u64;

/// The world, behind its lock. Whoever is to be woken is woken when it is free.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<World>>);

/// What the lock protects.
pub(super) struct World {
    pub(super) random: Random,
    clock: Clock,
    /// When the step ends that the hosts' clocks are in: nothing that is sent in it arrives earlier.
    pub(super) horizon: Millis,
    pub(super) machines: Vec<Machine>,
    pub(super) faults: Faults,
    /// Where they are others.
    pub(super) links: BTreeMap<(HostId, HostId), Faults>,
    /// What does not get through, from whom to whom.
    pub(super) blocked: BTreeSet<(HostId, HostId)>,
    pub(super) connections: BTreeMap<u64, Connection>,
    pub(super) next_connection: u64,
    /// Makes the order of what arrives at the same time that in which it was sent.
    order: u64,
    pub(super) counts: Counts,
    pub(super) trace: Trace,
    /// What is to become of hosts, when none of them runs.
    pub(super) wishes: Vec<Wish>,
    wakes: Vec<Waker>,
    /// What may run anything when it is dropped.
    trash: Vec<Waker>,
}

/// A host, as the network sees it.
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) ip: IpAddr,
    /// Counts its starts; 0 if it was never started.
    pub(super) life: u64,
    /// Whether its software runs.
    pub(super) is_up: bool,
    /// Whether its system answers.
    pub(super) has_power: bool,
    pub(super) doom: Option<Doom>,
    /// Whoever lets it run, while it is doomed.
    pub(super) keeper: Option<Waker>,
    events: BTreeMap<(Millis, u64), Event>,
    pub(super) listeners: BTreeMap<u16, Backlog>,
    pub(super) sockets: BTreeMap<u16, Mailbox>,
    pub(super) next_port: u16,
    pub(super) traffic: Traffic,
    pub(super) files: Files,
}

/// A host that crashes before it does something that can be seen from outside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doom {
    pub(super) acts: Acts,
    /// How many of them it still does.
    pub(super) left: u64,
    pub(super) crash: Crash,
}

/// What can be seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acts {
    /// What it sends, and what it writes to its disk.
    All,
    /// What it writes to its disk.
    Disk,
}

/// Connections that wait to be accepted.
#[derive(Default)]
pub(super) struct Backlog {
    pub(super) connections: VecDeque<u64>,
    pub(super) waker: Option<Waker>,
}

/// Datagrams that wait to be received.
#[derive(Default)]
pub(super) struct Mailbox {
    pub(super) datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    pub(super) waker: Option<Waker>,
}

/// Something that arrives at a host.
pub(super) enum Event {
    /// Somebody wants to connect.
    Syn { connection: u64, port: u16 },
    /// It is connected, or refused.
    SynAck { connection: u64, is_refused: bool },
    /// Something of a connection, at this end of it.
    Arrives { connection: u64, end: usize, item: Item },
    /// So many bytes more may be sent from this end.
    Credit { connection: u64, end: usize, bytes: usize },
    /// A datagram.
    Datagram { from: SocketAddr, port: u16, bytes: Vec<u8> },
}

/// What is to become of a host.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wish {
    Crash(HostId, Crash),
    Start(HostId),
}

/// Where the time is read.
#[derive(Clone, Copy)]
pub(super) enum Clock {
    /// No host runs.
    Stands(Millis),
    /// That of the host that runs.
    Runs { start: Instant, offset: Millis },
}

impl Shared {
    pub(super) fn new(seed: u64) -> Self {
        Shared(Arc::new(Mutex::new(World {
            random: Random::new(seed),
            clock: Clock::Stands(0),
            horizon: 0,
            machines: Vec::new(),
            faults: Faults::new(),
            links: BTreeMap::new(),
            blocked: BTreeSet::new(),
            connections: BTreeMap::new(),
            next_connection: 1,
            order: 0,
            counts: Counts::default(),
            trace: Trace::default(),
            wishes: Vec::new(),
            wakes: Vec::new(),
            trash: Vec::new(),
        })))
    }

    /// Does something to the world, and wakes whoever it concerns.
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        let (value, wakes, trash) = {
            let mut world = self.0.lock();
            let value = f(&mut world);
            (value, std::mem::take(&mut world.wakes), std::mem::take(&mut world.trash))
        };
        wakes.into_iter().for_each(Waker::wake);
        drop(trash);
        value
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl World {
    pub(super) fn now(&self) -> Millis {
        match self.clock {
            Clock::Stands(now) => now,
            Clock::Runs { start, offset } => offset + start.elapsed().as_millis() as u64,
        }
    }

    pub(super) fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    pub(super) fn add_machine(&mut self, name: &str) -> HostId {
        let id = self.machines.len();
        let number = u16::try_from(id + 1).expect("fewer than 65,535 hosts");
        let [high, low] = number.to_be_bytes();
        self.machines.push(Machine {
            name: name.to_owned(),
            ip: Ipv4Addr::new(10, 0, high, low).into(),
            life: 0,
            is_up: false,
            has_power: false,
            doom: None,
            keeper: None,
            events: BTreeMap::new(),
            listeners: BTreeMap::new(),
            sockets: BTreeMap::new(),
            next_port: 49_152,
            traffic: Traffic::default(),
            files: Files::default(),
        });
        id
    }

    /// # Panics
    /// If there is no such host.
    pub(super) fn host(&self, name: &str) -> HostId {
        let found = self.machines.iter().position(|machine| machine.name == name);
        found.unwrap_or_else(|| panic!("there is no host {name:?} in this simulation"))
    }

    pub(super) fn host_at(&self, ip: IpAddr) -> Option<HostId> {
        self.machines.iter().position(|machine| machine.ip == ip)
    }

    pub(super) fn faults(&self, from: HostId, to: HostId) -> &Faults {
        self.links.get(&(from, to)).unwrap_or(&self.faults)
    }

    pub(super) fn is_blocked(&self, from: HostId, to: HostId) -> bool {
        self.blocked.contains(&(from, to))
    }

    /// The shortest way from any host to another: for so long none of them can have heard of what another does.
    pub(super) fn lookahead(&self) -> Millis {
        let all = self.links.values().chain([&self.faults]);
        let shortest = all.map(|faults| faults.latency.start.as_millis() as u64).min();
        shortest.unwrap_or(1).max(1)
    }

    /// How long a message takes from one host to another.
    pub(super) fn latency(&mut self, from: HostId, to: HostId) -> Millis {
        let range = self.faults(from, to).latency.clone();
        self.random.time(range).as_millis() as u64
    }

    /// Has something arrive at a host at a time, which is not before the end of the step.
    pub(super) fn schedule(&mut self, to: HostId, at: Millis, event: Event) {
        self.order += 1;
        let at = at.max(self.horizon);
        self.machines[to].events.insert((at, self.order), event);
    }

    /// When the next thing arrives at a host.
    pub(super) fn next_arrival(&self, host: HostId) -> Option<Millis> {
        self.machines[host].events.keys().next().map(|(at, _)| *at)
    }

    /// Hands over what has arrived at a host by now.
    pub(super) fn deliver(&mut self, host: HostId) {
        let now = self.now();
        while let Some(entry) = self.machines[host].events.first_entry() {
            if entry.key().0 > now {
                return;
            }
            match entry.remove() {
                Event::Syn { connection, port } => self.syn_arrives(host, connection, port),
                Event::SynAck { connection, is_refused } => {
                    self.answer_arrives(host, connection, is_refused);
                }
                Event::Arrives { connection, end, item } => self.arrives(connection, end, item),
                Event::Credit { connection, end, bytes } => {
                    self.credit_arrives(connection, end, bytes);
                }
                Event::Datagram { from, port, bytes } => {
                    self.datagram_arrives(host, from, port, bytes);
                }
            }
        }
    }

    /// Notes something that happens between two hosts.
    pub(super) fn note(&mut self, what: &str, from: HostId, to: HostId, bytes: &[u8]) {
        let now = self.now();
        let (from, to) = (&self.machines[from].name, &self.machines[to].name);
        let length = bytes.len();
        self.trace.note(now, bytes, format_args!("{from} → {to}: {what}, {length} bytes"));
    }

    /// Notes something that happens to a datagram. What is in it is not looked at: a server's passes, which nobody
    /// may guess, do not come from the seed, and nothing depends on them.
    pub(super) fn note_datagram(&mut self, what: &str, from: HostId, to: HostId, bytes: &[u8]) {
        let now = self.now();
        let (from, to) = (&self.machines[from].name, &self.machines[to].name);
        let length = bytes.len();
        let text = format_args!("{from} → {to}: a datagram {what}, {length} bytes");
        self.trace.note(now, &length.to_le_bytes(), text);
    }

    /// Notes something that happens to one host.
    pub(super) fn note_of(&mut self, host: HostId, what: &str) {
        let now = self.now();
        let name = &self.machines[host].name;
        self.trace.note(now, what.as_bytes(), format_args!("{name}: {what}"));
    }

    /// Has somebody woken when the lock is free.
    pub(super) fn wake(&mut self, waker: Option<Waker>) {
        self.wakes.extend(waker);
    }

    /// Drops a waker when the lock is free.
    pub(super) fn discard(&mut self, waker: Option<Waker>) {
        self.trash.extend(waker);
    }

    /// A host is about to do something that can be seen from outside.
    ///
    /// # Errors
    /// If it has crashed instead.
    pub(super) fn act(&mut self, host: HostId, acts: Acts) -> std::io::Result<()> {
        let Some(doom) = &mut self.machines[host].doom else { return Ok(()) };
        if doom.acts == Acts::Disk && acts != Acts::Disk {
            return Ok(());
        }
        if doom.left > 0 {
            doom.left -= 1;
            return Ok(());
        }
        let crash = doom.crash;
        self.stop(host, crash);
        Err(has_crashed())
    }

    /// A host's process ends now. What it had sent is on its way.
    pub(super) fn stop(&mut self, host: HostId, crash: Crash) {
        self.note_of(host, if crash == Crash::Kill { "is killed" } else { "loses its power" });
        let machine = &mut self.machines[host];
        machine.is_up = false;
        machine.doom = None;
        let keeper = machine.keeper.take();
        self.wake(keeper);
        let machine = &mut self.machines[host];
        machine.has_power = crash == Crash::Kill;
        let listeners = std::mem::take(&mut machine.listeners);
        let sockets = std::mem::take(&mut machine.sockets);
        let mut backlog = Vec::new();
        for (_, listener) in listeners {
            self.discard(listener.waker);
            backlog.extend(listener.connections);
        }
        for (_, socket) in sockets {
            self.discard(socket.waker);
        }
        self.lose_connections(host, crash);
        match crash {
            Crash::Kill => self.counts.killed += 1,
            Crash::PowerLoss => {
                self.counts.power_lost += 1;
                let World { random, counts, machines, .. } = self;
                machines[host].files.lose_power(random, counts);
            }
        }
    }

    /// A host's process begins.
    pub(super) fn start(&mut self, host: HostId) -> u64 {
        let machine = &mut self.machines[host];
        machine.is_up = true;
        machine.has_power = true;
        machine.doom = None;
        machine.life += 1;
        let life = machine.life;
        self.note_of(host, "starts");
        life
    }

    /// Whether what belongs to this life of a host still does something.
    pub(super) fn is_alive(&self, host: HostId, life: u64) -> bool {
        let machine = &self.machines[host];
        machine.is_up && machine.life == life
    }
}

/// What is said to software that goes on for a moment.
pub(super) fn has_crashed() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::NotConnected, "the host has crashed")
}

/// A time as users see it.
pub(super) fn duration(millis: Millis) -> Duration {
    Duration::from_millis(millis)
}
