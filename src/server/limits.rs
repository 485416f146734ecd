//! What a server allows its peers.

use std::time::Duration;

use netrpc_core::{
    dialect::{Protocol, Protocols, http},
    wire,
};

use super::{Server, hooks::Hooks};
use crate::{observe::ServerObserver, secure::ServerTls};

/// The limits of a server; all are on unless set otherwise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) max_frame: u32,
    pub(super) calls: usize,
    pub(super) waiting_bytes: usize,
    pub(super) output_bytes: usize,
    pub(super) connections: usize,
    pub(super) connections_per_peer: usize,
    pub(super) handshake: Duration,
    pub(super) write_stall: Duration,
    pub(super) protocols: Protocols,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_frame: wire::DEFAULT_MAX_FRAME,
            calls: 256,
            waiting_bytes: 1 << 20,
            output_bytes: 1 << 20,
            connections: 10_000,
            connections_per_peer: 1000,
            handshake: Duration::from_secs(5),
            write_stall: Duration::from_secs(30),
            protocols: Protocols::default(),
        }
    }
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
/// | [`max_calls`](Self::max_calls) | 256 per connection | further calls wait, in order |
/// | [`max_waiting_bytes`](Self::max_waiting_bytes) | 1 MiB per connection | the connection is not read from until fewer wait |
/// | [`max_output_bytes`](Self::max_output_bytes) | 1 MiB per connection | the connection is not read from until the peer has read |
/// | [`write_timeout`](Self::write_timeout) | 30 s | a peer that reads nothing for so long is closed |
/// | [`max_connections`](Self::max_connections) | 10,000 | a further connection is told so and closed |
/// | [`max_connections_per_peer`](Self::max_connections_per_peer) | 1000 | likewise |
/// | [`handshake_timeout`](Self::handshake_timeout) | 5 s | a peer that has not sent its preface, or a first request in another protocol, is closed |
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
        }
    }
}

impl ServerBuilder {
    /// The largest request or reply, in bytes; 4 MiB unless set.
    pub fn max_frame(mut self, bytes: u32) -> Self {
        self.limits.max_frame = bytes;
        self
    }

    /// How many calls of one connection run at once; 256 unless set, at least 1.
    pub fn max_calls(mut self, calls: usize) -> Self {
        self.limits.calls = calls.max(1);
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
        self.limits.handshake = timeout;
        self
    }

    /// How long a peer may leave what is sent to it unread; 30 s unless set.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.limits.write_stall = timeout;
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
    pub fn build(self) -> Server {
        Server::with(self)
    }
}
