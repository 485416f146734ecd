//! A simulated TCP connection: what each end has sent, and what has become of it.

use std::{collections::VecDeque, task::Waker};

use super::{
    Crash,
    framing::{Framing, Piece},
    world::{Event, HostId, Millis, World},
};

/// Bytes that may be on their way, or unread at the other end; as many as Linux has at first, about.
const WINDOW: usize = 256 << 10;

/// When the system sends again what was lost: the first time, and at most.
const RETRANSMIT: (Millis, Millis) = (200, 60_000);

/// How much later those may come that are to be overtaken.
const OVERTAKEN: Millis = 100;

/// How often somebody who wants to connect knocks.
const KNOCK: Millis = 250;

/// Connections that may wait to be accepted.
const BACKLOG: usize = 4096;

/// A connection. End 0 is who has connected, end 1 who has accepted.
pub(super) struct Connection {
    pub(super) ends: [End; 2],
    /// Whether its requests and answers take their own ways.
    by_message: bool,
}

/// One end of it, and the way from here to the other.
pub(super) struct End {
    pub(super) host: HostId,
    pub(super) port: u16,
    pub(super) state: Opening,
    /// What has arrived and is not read.
    pub(super) inbound: VecDeque<Vec<u8>>,
    /// How much of the first of them is read.
    pub(super) read: usize,
    /// Nothing more arrives.
    pub(super) is_ended: bool,
    /// The connection is gone.
    pub(super) is_reset: bool,
    /// Whether there is still somebody.
    is_held: bool,
    /// Nothing more is sent from here.
    is_shut: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    framing: Framing,
    /// Bytes sent from here that are not read.
    unread: usize,
    /// Bytes read here, of which the other end does not know.
    uncredited: usize,
    /// When the preface arrives, before which nothing does.
    opened: Option<Millis>,
    /// When what was sent last in order arrives.
    in_order: Millis,
    /// When the last of all that was sent arrives.
    last: Millis,
    /// Nothing arrives at the other end any more, and nobody knows.
    is_silent: bool,
    /// What waits for a partition to be healed.
    stuck: VecDeque<(Item, bool)>,
}

/// How far a connection is made, as an end knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    Waits,
    Open,
    Refused,
}

/// What is sent from one end to the other.
#[derive(Debug)]
pub(super) enum Item {
    Data(Vec<u8>),
    /// No more data.
    End,
    Reset,
}

impl End {
    fn new(host: HostId, port: u16, state: Opening) -> Self {
        End {
            host,
            port,
            state,
            inbound: VecDeque::new(),
            read: 0,
            is_ended: false,
            is_reset: false,
            is_held: true,
            is_shut: false,
            reader: None,
            writer: None,
            framing: Framing::default(),
            unread: 0,
            uncredited: 0,
            opened: None,
            in_order: 0,
            last: 0,
            is_silent: false,
            stuck: VecDeque::new(),
        }
    }

    /// How many bytes may be sent from here now.
    pub(super) fn room(&self) -> usize {
        WINDOW.saturating_sub(self.unread)
    }

    pub(super) fn is_shut(&self) -> bool {
        self.is_shut
    }
}

impl World {
    /// Begins to connect.
    pub(super) fn connect(&mut self, from: HostId, to: HostId, port: u16) -> u64 {
        let connection = self.next_connection;
        self.next_connection += 1;
        let own = self.machines[from].next_port;
        self.machines[from].next_port = own.checked_add(1).unwrap_or(49_152);
        let by_message = self.faults(from, to).by_message || self.faults(to, from).by_message;
        let ends = [End::new(from, own, Opening::Waits), End::new(to, port, Opening::Waits)];
        self.connections.insert(connection, Connection { ends, by_message });
        let at = self.now() + self.latency(from, to);
        self.schedule(to, at, Event::Syn { connection, port });
        connection
    }

    pub(super) fn syn_arrives(&mut self, host: HostId, connection: u64, port: u16) {
        let Some(it) = self.connections.get_mut(&connection) else { return };
        let from = it.ends[0].host;
        if !it.ends[0].is_held {
            it.ends[1].is_held = false;
            return self.forget(connection);
        }
        if self.is_blocked(from, host) || !self.machines[host].has_power {
            self.counts.partitioned += u64::from(self.machines[host].has_power);
            let at = self.now() + KNOCK;
            return self.schedule(host, at, Event::Syn { connection, port });
        }
        let is_unlucky = {
            let refuse = self.faults(from, host).refuse;
            self.random.chance(refuse)
        };
        let mut waker = None;
        let accepted = match self.machines[host].listeners.get_mut(&port) {
            Some(backlog) if backlog.connections.len() < BACKLOG && !is_unlucky => {
                backlog.connections.push_back(connection);
                waker = backlog.waker.take();
                true
            }
            _ => false,
        };
        self.wake(waker);
        self.counts.refused += u64::from(!accepted);
        self.note(if accepted { "connects" } else { "is refused" }, from, host, &[]);
        let at = self.now() + self.latency(host, from);
        if let Some(it) = self.connections.get_mut(&connection) {
            it.ends[1].state = if accepted { Opening::Open } else { Opening::Refused };
            // What is accepted at once and answered arrives no earlier than that.
            it.ends[1].in_order = at;
            it.ends[1].is_held = accepted;
        }
        self.schedule(from, at, Event::SynAck { connection, is_refused: !accepted });
    }

    pub(super) fn answer_arrives(&mut self, host: HostId, connection: u64, is_refused: bool) {
        let Some(it) = self.connections.get(&connection) else { return };
        let from = it.ends[1].host;
        if self.is_blocked(from, host) {
            self.counts.partitioned += 1;
            let at = self.now() + KNOCK;
            return self.schedule(host, at, Event::SynAck { connection, is_refused });
        }
        let Some(it) = self.connections.get_mut(&connection) else { return };
        let end = &mut it.ends[0];
        end.state = if is_refused { Opening::Refused } else { Opening::Open };
        let waker = end.reader.take();
        self.wake(waker);
    }

    /// Sends bytes from an end.
    pub(super) fn send(&mut self, connection: u64, end: usize, bytes: &[u8]) {
        let Some(it) = self.connections.get_mut(&connection) else { return };
        let (from, to) = (it.ends[end].host, it.ends[1 - end].host);
        it.ends[end].unread += bytes.len();
        self.machines[from].traffic.bytes_out += bytes.len() as u64;
        if it.by_message {
            let pieces = it.ends[end].framing.pieces(bytes);
            for Piece { bytes, is_free } in pieces {
                self.dispatch(connection, end, Item::Data(bytes), is_free);
            }
        } else {
            if end == 0 {
                self.machines[to].traffic.calls += it.ends[end].framing.count(bytes);
            }
            self.dispatch(connection, end, Item::Data(bytes.to_vec()), false);
        }
    }

    /// Sends no more from an end.
    pub(super) fn shut(&mut self, connection: u64, end: usize) {
        let Some(it) = self.connections.get_mut(&connection) else { return };
        if !std::mem::replace(&mut it.ends[end].is_shut, true) {
            self.dispatch(connection, end, Item::End, false);
        }
    }

    /// An end is let go. Who lets go with something unread resets the connection, as systems do.
    pub(super) fn let_go(&mut self, connection: u64, end: usize) {
        let Some(it) = self.connections.get_mut(&connection) else { return };
        let this = &mut it.ends[end];
        this.is_held = false;
        let wakers = [this.reader.take(), this.writer.take()];
        let unread = !this.inbound.is_empty() && !this.is_reset;
        wakers.into_iter().for_each(|waker| self.discard(waker));
        if unread {
            self.dispatch(connection, end, Item::Reset, false);
        } else {
            self.shut(connection, end);
        }
        self.forget(connection);
    }

    /// A connection that waited to be accepted never will be.
    pub(super) fn refuse(&mut self, connection: u64) {
        self.dispatch(connection, 1, Item::Reset, false);
        self.let_go(connection, 1);
    }

    /// Forgets a connection that nobody has any more.
    fn forget(&mut self, connection: u64) {
        let Some(it) = self.connections.get(&connection) else { return };
        if it.ends.iter().all(|end| !end.is_held) {
            self.connections.remove(&connection);
        }
    }

    /// Has something take its way from an end to the other, with all that can go wrong there.
    fn dispatch(&mut self, connection: u64, end: usize, item: Item, is_free: bool) {
        let Some(it) = self.connections.get_mut(&connection) else { return };
        let (from, to) = (it.ends[end].host, it.ends[1 - end].host);
        if it.ends[end].is_silent {
            return;
        }
        let is_blocked = self.blocked.contains(&(from, to));
        if is_blocked || (!is_free && !it.ends[end].stuck.is_empty()) {
            self.counts.partitioned += u64::from(is_blocked);
            if is_free {
                self.lose(connection, end, &item);
                return self.note("meets a partition", from, to, &[]);
            }
            it.ends[end].stuck.push_back((item, is_free));
            return;
        }
        let by_message = it.by_message;
        let faults = self.faults(from, to).clone();
        let now = self.now();
        let mut at = now + self.latency(from, to);
        let Item::Data(mut bytes) = item else {
            let Some(it) = self.connections.get_mut(&connection) else { return };
            // Behind everything that was sent before.
            at = at.max(it.ends[end].last);
            (it.ends[end].in_order, it.ends[end].last) = (at, at);
            let event = Event::Arrives { connection, end: 1 - end, item };
            return self.schedule(to, at, event);
        };
        if self.random.chance(faults.silence) {
            self.counts.silenced += 1;
            self.note("goes silent", from, to, &bytes);
            if let Some(it) = self.connections.get_mut(&connection) {
                it.ends[end].is_silent = true;
            }
            return;
        }
        // The calls are what is to be tested, not what is said between them.
        let is_exempt = by_message && !is_free;
        if !is_exempt && self.random.chance(faults.drop) {
            self.counts.dropped += 1;
            self.note("is lost", from, to, &bytes);
            if is_free {
                return self.lose(connection, end, &Item::Data(bytes));
            }
            let mut wait = RETRANSMIT.0;
            at += wait;
            while self.random.chance(faults.drop) && wait < RETRANSMIT.1 {
                wait *= 2;
                at += wait;
            }
        }
        if self.random.chance(faults.corrupt) {
            self.counts.corrupted += 1;
            self.note("is corrupted", from, to, &bytes);
            let place = self.random.below(bytes.len() as u64 * 8);
            bytes[place as usize / 8] ^= 1 << (place % 8);
        }
        if !is_exempt && self.random.chance(faults.delay.0) {
            self.counts.delayed += 1;
            at += self.random.time(faults.delay.1.clone()).as_millis() as u64;
        }
        if is_free && self.random.chance(faults.reorder) {
            self.counts.reordered += 1;
            at += 1 + self.random.below(OVERTAKEN);
        }
        let copy = is_free && self.random.chance(faults.duplicate);
        let is_cut = self.random.chance(faults.cut);
        let Some(it) = self.connections.get_mut(&connection) else { return };
        let this = &mut it.ends[end];
        if is_free {
            at = at.max(this.opened.unwrap_or(this.in_order));
        } else {
            at = at.max(this.in_order);
            this.in_order = at;
            this.opened.get_or_insert(at);
        }
        this.last = this.last.max(at);
        if is_cut {
            bytes.truncate(self.random.below(bytes.len() as u64) as usize);
            self.counts.cut += 1;
            self.note("is cut", from, to, &bytes);
        }
        if copy {
            self.counts.duplicated += 1;
            let later = at + 1 + self.random.below(OVERTAKEN);
            let item = Item::Data(bytes.clone());
            self.schedule(to, later, Event::Arrives { connection, end: 1 - end, item });
        }
        let item = Item::Data(bytes);
        self.schedule(to, at, Event::Arrives { connection, end: 1 - end, item });
        if is_cut {
            let (there, here) = (1 - end, end);
            let reset = |end| Event::Arrives { connection, end, item: Item::Reset };
            self.schedule(to, at, reset(there));
            self.schedule(from, at, reset(here));
        }
    }

    /// Something of an end's does not arrive, and takes no room any more.
    fn lose(&mut self, connection: u64, end: usize, item: &Item) {
        let Item::Data(bytes) = item else { return };
        if let Some(it) = self.connections.get_mut(&connection) {
            it.ends[end].unread -= bytes.len().min(it.ends[end].unread);
        }
    }

    /// Something arrives at an end.
    pub(super) fn arrives(&mut self, connection: u64, end: usize, item: Item) {
        let Some(it) = self.connections.get_mut(&connection) else { return };
        let by_message = it.by_message;
        let (host, peer) = (it.ends[end].host, it.ends[1 - end].host);
        let this = &mut it.ends[end];
        if !this.is_held {
            // Nobody is there to take it. A system that is there says so.
            let says_so = matches!(item, Item::Data(_)) && self.machines[host].has_power;
            if says_so && !std::mem::replace(&mut this.is_reset, true) {
                self.dispatch(connection, end, Item::Reset, false);
            }
            return;
        }
        if this.is_reset {
            return;
        }
        match item {
            Item::Data(bytes) => {
                self.machines[host].traffic.bytes_in += bytes.len() as u64;
                let is_request = |bytes: &[u8]| bytes.get(8) == Some(&1) && bytes.len() > 8;
                if by_message && end == 1 && is_request(&bytes) {
                    self.machines[host].traffic.calls += 1;
                }
                if !bytes.is_empty() {
                    this.inbound.push_back(bytes.clone());
                }
                let waker = this.reader.take();
                self.wake(waker);
                self.note("arrives", peer, host, &bytes);
            }
            Item::End => {
                this.is_ended = true;
                let waker = this.reader.take();
                self.wake(waker);
                self.note("ends", peer, host, &[]);
            }
            Item::Reset => {
                this.is_reset = true;
                this.inbound.clear();
                let wakers = [this.reader.take(), this.writer.take()];
                wakers.into_iter().for_each(|waker| self.wake(waker));
                self.note("is reset", peer, host, &[]);
            }
        }
    }

    /// An end has read so many bytes; when it is worth while the other is told.
    pub(super) fn has_read(&mut self, connection: u64, end: usize, bytes: usize) {
        let Some(it) = self.connections.get_mut(&connection) else { return };
        let (host, peer) = (it.ends[end].host, it.ends[1 - end].host);
        it.ends[end].uncredited += bytes;
        if it.ends[end].uncredited >= WINDOW / 8 {
            let bytes = std::mem::take(&mut it.ends[end].uncredited);
            let at = self.now() + self.latency(host, peer);
            self.schedule(peer, at, Event::Credit { connection, end: 1 - end, bytes });
        }
    }

    pub(super) fn credit_arrives(&mut self, connection: u64, end: usize, bytes: usize) {
        let Some(it) = self.connections.get_mut(&connection) else { return };
        let this = &mut it.ends[end];
        // What came twice was sent once.
        this.unread = this.unread.saturating_sub(bytes);
        let waker = this.writer.take();
        self.wake(waker);
    }

    /// Lets what a partition has held go on.
    pub(super) fn unblock(&mut self) {
        let ids: Vec<u64> = self.connections.keys().copied().collect();
        for id in ids {
            for end in 0..2 {
                let Some(it) = self.connections.get_mut(&id) else { continue };
                let (from, to) = (it.ends[end].host, it.ends[1 - end].host);
                if it.ends[end].stuck.is_empty() || self.blocked.contains(&(from, to)) {
                    continue;
                }
                let stuck = std::mem::take(&mut it.ends[end].stuck);
                // The system does not know at once that it can send again.
                let wait = self.random.below(RETRANSMIT.0);
                let now = self.now();
                if let Some(it) = self.connections.get_mut(&id) {
                    it.ends[end].in_order = it.ends[end].in_order.max(now + wait);
                    it.ends[end].last = it.ends[end].last.max(now + wait);
                }
                for (item, is_free) in stuck {
                    self.dispatch(id, end, item, is_free);
                }
            }
        }
    }

    /// A host's ends are gone. The system of one whose process was killed says so.
    pub(super) fn lose_connections(&mut self, host: HostId, crash: Crash) {
        let ids: Vec<u64> = self.connections.keys().copied().collect();
        for id in ids {
            for end in 0..2 {
                let Some(it) = self.connections.get_mut(&id) else { continue };
                let this = &mut it.ends[end];
                if this.host != host || !this.is_held {
                    continue;
                }
                this.is_held = false;
                this.inbound.clear();
                let wakers = [this.reader.take(), this.writer.take()];
                wakers.into_iter().for_each(|waker| self.discard(waker));
                if crash == Crash::Kill {
                    self.dispatch(id, end, Item::Reset, false);
                }
            }
            self.forget(id);
        }
    }
}
