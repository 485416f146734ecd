//! What a server allows its peers.

use std::{sync::Arc, time::Duration};

use netrpc_core::{
    datagram::{DATAGRAM_LENGTHS, MAX_DATAGRAM},
    dialect::{Protocol, Protocols, http},
    keep_alive,
    patience::Times,
    rate::Rate,
    wire,
};

use super::{Server, hooks::Hooks};
use crate::{ledger::Ledger, observe::ServerObserver, secure::ServerTls, sync::Mutex};

/// The limits of a server; all are on unless set otherwise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) max_frame: u32,
    pub(super) datagram: usize,
    pub(super) calls: usize,
    pub(super) server_calls: usize,
    pub(super) running_bytes: usize,
    pub(super) waiting_bytes: usize,
    pub(super) output_bytes: usize,
    pub(super) connections: usize,
    pub(super) connections_per_peer: usize,
    pub(super) times: Times,
    pub(super) cancels: Rate,
    pub(super) pings: Rate,
    pub(super) faults: Rate,
    pub(super) protocols: Protocols,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_frame: wire::DEFAULT_MAX_FRAME,
            datagram: MAX_DATAGRAM,
            calls: 256,
            server_calls: 65_536,
            running_bytes: 64 << 20,
            waiting_bytes: 1 << 20,
            output_bytes: 1 << 20,
            connections: 10_000,
            connections_per_peer: 1000,
            times: Times {
                handshake: Duration::from_secs(5),
                frame: Duration::from_secs(10),
                write: Duration::from_secs(30),
                idle: Duration::from_secs(300),
                age: Duration::MAX,
                age_grace: Duration::MAX,
                keep_alive: keep_alive::Times {
                    interval: Duration::from_secs(60),
                    timeout: Duration::from_secs(20),
                },
            },
            cancels: rate(1000),
            pings: rate(100),
            faults: rate(1000),
            protocols: Protocols::default(),
        }
    }
}

/// So many a second, and ten times as many at once.
fn rate(per_second: u32) -> Rate {
    Rate { burst: per_second.saturating_mul(10), per_second }
}

/// Where synchronous handlers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SyncPolicy {
    /// On the connection's own task, as long as they are quick. A handler that is not is noticed
    /// within a fraction of a millisecond: the connection goes on without it, and its method runs on
    /// the thread pool until 64 quick runs in a row have shown that it was an exception. Where only
    /// one worker is left that does not run a handler, the pool is used at once. On a runtime with
    /// one thread nobody could go on instead of it: there a method runs on the pool until 64 quick
    /// runs have proved it quick, and after a slow one again.
    ///
    /// What stays behind a handler that turns out to block is a task that it has woken itself just
    /// before: it was to run next on the same thread. Mark such a method `#[method(blocking)]`.
    #[default]
    Auto,
    /// Always on the connection's own task, unless the method is marked `blocking`: for services
    /// all of whose handlers are known to be quick. One that is not holds up its connection.
    Inline,
    /// Always on the thread pool, which costs some microseconds a call.
    Pool,
}

/// Configures a [`Server`].
///
/// | limit | default | what happens at the limit |
/// |---|---|---|
/// | [`max_frame`](Self::max_frame) | 4 MiB | a longer request is discarded as it arrives and refused (`TooLarge`); a longer reply becomes an error of its call |
/// | [`max_datagram`](Self::max_datagram) | 1200 bytes | a reply that does not fit becomes an error of its call (`ReplyTooLarge`) |
/// | [`max_calls`](Self::max_calls) | 256 | further calls wait, in order |
/// | [`max_server_calls`](Self::max_server_calls) | 65,536 | refused (`Overloaded`), first for connections that have more than their share |
/// | [`max_running_bytes`](Self::max_running_bytes) | 64 MiB | while there are as many, further calls wait, in order |
/// | [`max_waiting_bytes`](Self::max_waiting_bytes) | 1 MiB | the connection is not read from until fewer wait |
/// | [`max_output_bytes`](Self::max_output_bytes) | 1 MiB | the connection is not read from until the peer has read |
/// | [`max_connections`](Self::max_connections) | 10,000 | a further connection is told so (go-away 5) and closed |
/// | [`max_connections_per_peer`](Self::max_connections_per_peer) | 1000 | likewise |
/// | [`max_cancel_rate`](Self::max_cancel_rate) | 1000 a second | over ten times as many at once, and more than half of all calls: the connection ends (go-away 8) |
/// | [`max_ping_rate`](Self::max_ping_rate) | 100 a second | over ten times as many at once: the connection ends (go-away 8) |
/// | [`max_fault_rate`](Self::max_fault_rate) | 1000 a second | as with cancels |
/// | [`handshake_timeout`](Self::handshake_timeout) | 5 s | a peer that has not sent its preface, or a first request in another protocol, is closed |
/// | [`frame_timeout`](Self::frame_timeout) | 10 s | a message of which less than 4 KiB/s has come for so long ends its connection (go-away 9) |
/// | [`write_timeout`](Self::write_timeout) | 30 s | a peer that has taken less than 4 KiB/s of what waits for it for so long is closed |
/// | [`idle_timeout`](Self::idle_timeout) | 5 min | a connection without a call or a request for so long, pings aside, takes no more and ends (go-away 6) |
/// | [`keep_alive`](Self::keep_alive) | 60 s, 20 s | a silent peer is asked for a sign of life, and closed if it gives none |
/// | [`max_connection_age`](Self::max_connection_age) | none | an old connection takes no more calls and ends (go-away 10) |
///
/// The whole table, with what cannot be changed and what a connection can cost, is in `docs/LIMITS.md`.
///
/// ```
/// # use netrpc::Server;
/// let server = Server::builder().max_frame(64 << 20).max_calls(1000).build();
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it builds"]
pub struct ServerBuilder {
    pub(super) limits: Limits,
    pub(super) policy: SyncPolicy,
    pub(super) http_path: String,
    pub(super) hooks: Hooks,
    pub(super) observer: ServerObserver,
    pub(super) tls: ServerTls,
    pub(super) ledger: LedgerSlot,
}

/// The ledger of the server to be built: it belongs to one.
#[derive(Debug, Clone, Default)]
pub(super) struct LedgerSlot(Option<Arc<Mutex<Option<Ledger>>>>);

impl LedgerSlot {
    /// The ledger, if there is to be one.
    ///
    /// # Panics
    /// If another server has it.
    pub(super) fn take(&self) -> Option<Ledger> {
        let ledger = self.0.as_ref()?.lock().take();
        Some(
            ledger
                .expect("a ledger belongs to one server: a clone of the builder has built another"),
        )
    }
}

impl Default for ServerBuilder {
    fn default() -> Self {
        ServerBuilder {
            limits: Limits::default(),
            policy: SyncPolicy::default(),
            http_path: http::DEFAULT_PATH.to_owned(),
            hooks: Hooks::default(),
            observer: ServerObserver::default(),
            tls: ServerTls::default(),
            ledger: LedgerSlot::default(),
        }
    }
}

impl ServerBuilder {
    /// The largest request or reply, in bytes; 4 MiB unless set.
    pub fn max_frame(mut self, bytes: u32) -> Self {
        self.limits.max_frame = bytes;
        self
    }

    /// The longest datagram that is [sent](Server::serve_datagrams), in bytes; 1200 unless set, 512 at least and
    /// 65,507 at most.
    ///
    /// A reply that does not fit becomes an error of its call (`ReplyTooLarge`); 52 bytes of each datagram are not
    /// the reply's. What is longer than the network carries in one piece is cut into pieces by the system, if
    /// at all, and is lost if one of them is: set it higher only where the way is known.
    pub fn max_datagram(mut self, bytes: usize) -> Self {
        self.limits.datagram = bytes.clamp(*DATAGRAM_LENGTHS.start(), *DATAGRAM_LENGTHS.end());
        self
    }

    /// How many calls of one connection run at once; 256 unless set, at least 1.
    pub fn max_calls(mut self, calls: usize) -> Self {
        self.limits.calls = calls.max(1);
        self
    }

    /// How many calls of all connections run at once; 65,536 unless set, [`usize::MAX`] for no limit.
    ///
    /// Calls that are answered on the spot are not counted. One too many is refused as
    /// [`Overloaded`](crate::Refusal::Overloaded): it has not run, and may succeed later. When three
    /// quarters are taken, a connection that has as many calls running as there are for each starts no
    /// more: so nobody can take all.
    pub fn max_server_calls(mut self, calls: usize) -> Self {
        self.limits.server_calls = calls;
        self
    }

    /// How many bytes of arguments the calls of one connection that run may have, before further calls
    /// wait; 64 MiB unless set, [`usize::MAX`] for no limit.
    ///
    /// What is answered on the spot is not counted. One call runs whatever its size.
    pub fn max_running_bytes(mut self, bytes: usize) -> Self {
        self.limits.running_bytes = bytes;
        self
    }

    /// How many bytes of requests may wait on one connection for others to finish; 1 MiB unless set.
    pub fn max_waiting_bytes(mut self, bytes: usize) -> Self {
        self.limits.waiting_bytes = bytes;
        self
    }

    /// How many bytes of replies may wait on one connection to be read; 1 MiB unless set.
    pub fn max_output_bytes(mut self, bytes: usize) -> Self {
        self.limits.output_bytes = bytes;
        self
    }

    /// How many connections there may be at once; 10,000 unless set.
    ///
    /// Each counts from the moment it is accepted, before anything is known of its peer.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.limits.connections = connections;
        self
    }

    /// How many connections there may be at once from one IPv4 address, or from one IPv6 network
    /// (a /64); 1000 unless set.
    ///
    /// Unix sockets and streams have no address and are not counted here. A proxy has one for all who
    /// are behind it: where all peers come through one, let this be as large as
    /// [`max_connections`](Self::max_connections).
    pub fn max_connections_per_peer(mut self, connections: usize) -> Self {
        self.limits.connections_per_peer = connections;
        self
    }

    /// How long a peer may take to send its preface, or its first request in another protocol; 5 s
    /// unless set.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.limits.times.handshake = timeout;
        self
    }

    /// How long a peer may leave what is sent to it unread; 30 s unless set.
    ///
    /// Within each such time it must take all of it, or as much as a link of 4 KiB a second carries:
    /// to read a byte now and then is not enough.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.limits.times.write = timeout;
        self
    }

    /// How long a message that has begun may take to be whole; 10 s unless set, and as much again for
    /// every 40 KiB of a longer one.
    ///
    /// In other words: within each such time, as much must come as a link of 4 KiB a second carries, or
    /// all. A slow link is waited for, one byte now and then is not.
    pub fn frame_timeout(mut self, timeout: Duration) -> Self {
        self.limits.times.frame = timeout;
        self
    }

    /// How long a connection may be idle; 5 minutes unless set, [`Duration::MAX`] for ever.
    ///
    /// It is idle while no call runs or waits on it, no message has begun, and its peer has taken all
    /// that it was sent. Only a request ends that: pings do not, so keep-alive keeps no connection that
    /// nobody needs. Its client is told (go-away 6), and a request that was on its way is refused as one
    /// that has not run.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.limits.times.idle = timeout;
        self
    }

    /// After how long a silence a client is asked for a sign of life, and how long it may take to give
    /// one; 60 s and 20 s unless set. An interval of [`Duration::MAX`] asks never.
    ///
    /// That finds clients whose machine or network has died without a word, and whose calls still run.
    /// The question comes after one to two intervals. Only clients that speak netrpc's own protocol can
    /// be asked; the system asks those that come over TCP once more.
    pub fn keep_alive(mut self, interval: Duration, timeout: Duration) -> Self {
        self.limits.times.keep_alive = keep_alive::Times { interval, timeout };
        self
    }

    /// How old a connection may become, a tenth more or less at random; [`Duration::MAX`] unless set,
    /// which is no limit.
    ///
    /// Clients then come anew, and may come to another server: that spreads them, and lets none stay for
    /// ever with one that is to be retired. An old connection takes no more calls (go-away 10) and ends
    /// when those that have begun are answered, or after the `grace`, which cancels them;
    /// [`Duration::MAX`] waits for them however long they take.
    pub fn max_connection_age(mut self, age: Duration, grace: Duration) -> Self {
        self.limits.times.age = age;
        self.limits.times.age_grace = grace;
        self
    }

    /// How many calls a client may cancel on one connection: so many a second, and ten times as many at
    /// once; 1000 unless set, [`u32::MAX`] for no limit.
    ///
    /// More are borne from a client that cancels no more than half of its calls. Otherwise the
    /// connection ends (go-away 8).
    pub fn max_cancel_rate(mut self, per_second: u32) -> Self {
        self.limits.cancels = rate(per_second);
        self
    }

    /// How many pings a client may send on one connection, and questions about sessions of a
    /// [`ledger`](Self::ledger): so many a second, and ten times as many at once; 100 unless set,
    /// [`u32::MAX`] for no limit. Otherwise the connection ends (go-away 8).
    pub fn max_ping_rate(mut self, per_second: u32) -> Self {
        self.limits.pings = rate(per_second);
        self
    }

    /// How many requests that cannot be served a client may make on one connection: malformed, too
    /// large, or for what is not there; so many a second, and ten times as many at once; 1000 unless
    /// set, [`u32::MAX`] for no limit.
    ///
    /// More are borne from a client half of whose requests can be served. Otherwise the connection ends
    /// (go-away 8).
    pub fn max_fault_rate(mut self, per_second: u32) -> Self {
        self.limits.faults = rate(per_second);
        self
    }

    /// Keeps a ledger: calls under [`Semantics::AtMostOnce`](crate::Semantics::AtMostOnce) are taken, and
    /// none of them runs twice. See [`Ledger`].
    ///
    /// Such a call does not end with its connection: whoever comes back is told what it has come to.
    pub fn ledger(mut self, ledger: Ledger) -> Self {
        self.ledger = LedgerSlot(Some(Arc::new(Mutex::new(Some(ledger)))));
        self
    }

    /// Where synchronous handlers run; [`SyncPolicy::Auto`] unless set.
    pub fn sync_policy(mut self, policy: SyncPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// What the server can be spoken to in; everything it knows unless set.
    ///
    /// Peers are told apart by their first bytes, all on the same port. One who speaks something
    /// else is told so in its own language, where that has a word for it, and closed.
    ///
    /// ```
    /// # use netrpc::{Protocol, Server};
    /// let server = Server::builder().protocols([Protocol::Native, Protocol::Gob]).build();
    /// ```
    pub fn protocols(mut self, protocols: impl IntoIterator<Item = Protocol>) -> Self {
        self.limits.protocols = protocols.into_iter().collect();
        self
    }

    /// The path on which HTTP `CONNECT` leads to the services; `/_goRPC_` unless set, as in Go
    /// (`rpc.HandleHTTP`).
    pub fn http_path(mut self, path: impl Into<String>) -> Self {
        self.http_path = path.into();
        self
    }

    /// Takes along a trace context of another kind than W3C's, or of a system that has ids of its own;
    /// see [`Propagator`](crate::trace::Propagator).
    #[cfg(feature = "trace")]
    pub fn propagator(mut self, propagator: impl crate::trace::Propagator) -> Self {
        self.observer.propagate(crate::trace::Propagation::by(propagator));
        self
    }

    /// Serves over TLS, on every listener and every stream, and nobody in the clear: see
    /// [`tls`](crate::tls).
    ///
    /// The handshake is each connection's own, within the
    /// [`handshake_timeout`](Self::handshake_timeout): a client that does not get on with it holds up
    /// nobody. One who speaks without TLS is told so in its own language, where that has a word for
    /// it.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: &crate::tls::TlsServerConfig) -> Self {
        self.tls = ServerTls::new(config.clone());
        self
    }

    /// The server, with nothing registered yet.
    ///
    /// # Panics
    /// If a clone of this builder has built a server with the same [`ledger`](Self::ledger).
    pub fn build(self) -> Server {
        Server::with(self)
    }
}
