//! How a client connects, and what it allows its server and its callers.

#[cfg(any(unix, feature = "durable"))]
use std::path::Path;
use std::{future::Future, io, time::Duration};
#[cfg(feature = "durable")]
use std::{path::PathBuf, sync::Arc};

use netrpc_core::{
    datagram::{self, DATAGRAM_LENGTHS, MAX_DATAGRAM},
    dialect::Language,
    keep_alive::Times,
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Client, Reconnect};
#[cfg(feature = "durable")]
use super::{LogSync, tracked::log_error};
#[cfg(feature = "durable")]
use crate::sync::Mutex;
use crate::{
    Address, CallOptions, Connector, DatagramSocket, Error, Tcp,
    datagram::{Datagrams, Manner, Udp},
    observe::ClientObserver,
    secure::ClientTls,
    transport::{self, CONNECT_TIMEOUT},
};

/// How long a call over datagrams may take, unless something else is said.
const DATAGRAM_TIMEOUT: Duration = Duration::from_secs(30);

/// The limits of one client's connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientLimits {
    /// What the server speaks, unless it is our own protocol.
    pub(super) wire: Option<Language>,
    pub(super) max_frame: u32,
    /// The longest datagram that is sent.
    pub(super) datagram: usize,
    /// Calls go in datagrams.
    pub(super) over_datagrams: bool,
    pub(super) queued_bytes: usize,
    pub(super) calls: usize,
    pub(super) unread_bytes: usize,
    pub(super) write_timeout: Duration,
    pub(super) keep_alive: Option<Times>,
    pub(super) keep_alive_idle: bool,
    pub(super) connect: Duration,
    pub(super) handshake: Duration,
}

/// What a client speaks.
///
/// Go's protocols carry calls and answers, and no more: a timeout ends the wait on this side only, a
/// cancelled call runs on over there, and metadata cannot be sent.
#[cfg(feature = "go")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Wire {
    /// Our own protocol.
    #[default]
    Native,
    /// Go's default, for a server that does `rpc.Accept` or `rpc.ServeConn`.
    Gob,
    /// JSON-RPC 1.0, for one that does `jsonrpc.ServeConn`.
    JsonRpc,
    /// HashiCorp's `net-rpc-msgpackrpc`.
    MsgpackRpc,
}

#[cfg(feature = "go")]
impl Wire {
    fn language(self) -> Option<Language> {
        match self {
            Wire::Native => None,
            Wire::Gob => Some(Language::Gob),
            Wire::JsonRpc => Some(Language::JsonRpc),
            Wire::MsgpackRpc => Some(Language::MsgpackRpc),
        }
    }
}

/// Where a client's log comes from.
#[cfg(feature = "durable")]
#[derive(Debug, Clone)]
enum LogSource {
    Path(PathBuf),
    /// Taken by the first client.
    Open(Arc<Mutex<Option<netrpc_log::Log>>>, LogSync),
}

/// The log of a client that is being made, if it has one.
#[cfg(feature = "durable")]
pub(super) type OpenLog = Option<(netrpc_log::Log, LogSync)>;

/// There are no logs.
#[cfg(not(feature = "durable"))]
pub(super) struct OpenLog;

/// Configures a [`Client`] before it connects.
///
/// ```no_run
/// # use netrpc::{CallOptions, Client, Error};
/// # use std::time::Duration;
/// # async fn f() -> Result<(), Error> {
/// let client = Client::builder()
///     .max_frame(64 << 20)
///     .options(CallOptions::new().timeout(Duration::from_secs(2)))
///     .dial("localhost:1234")
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it dials"]
pub struct ClientBuilder {
    limits: ClientLimits,
    options: CallOptions,
    observer: ClientObserver,
    tls: ClientTls,
    reconnect: Option<Reconnect>,
    #[cfg(feature = "durable")]
    log: Option<LogSource>,
    #[cfg(feature = "tower")]
    pub(super) layers: super::layer::Layers,
    #[cfg(feature = "go")]
    wire_chosen: bool,
}

impl ClientBuilder {
    pub(super) fn new() -> Self {
        let limits = ClientLimits {
            wire: None,
            max_frame: netrpc_core::wire::DEFAULT_MAX_FRAME,
            datagram: MAX_DATAGRAM,
            over_datagrams: false,
            queued_bytes: 16 << 20,
            calls: 65_536,
            unread_bytes: 64 << 20,
            write_timeout: Duration::from_secs(30),
            keep_alive: Some(Times {
                interval: Duration::from_secs(30),
                timeout: Duration::from_secs(20),
            }),
            keep_alive_idle: false,
            connect: CONNECT_TIMEOUT,
            handshake: Duration::from_secs(5),
        };
        ClientBuilder {
            limits,
            options: CallOptions::new(),
            observer: ClientObserver::default(),
            tls: ClientTls::default(),
            reconnect: None,
            #[cfg(feature = "durable")]
            log: None,
            #[cfg(feature = "tower")]
            layers: Default::default(),
            #[cfg(feature = "go")]
            wire_chosen: false,
        }
    }

    /// The largest request or reply, in bytes; 4 MiB unless set.
    ///
    /// A longer request fails with [`Error::TooLarge`] and is not sent; a longer reply is discarded
    /// as it arrives, and its call alone fails with [`Error::ReplyLost`].
    pub fn max_frame(mut self, bytes: u32) -> Self {
        self.limits.max_frame = bytes;
        self
    }

    /// The longest datagram that is [sent](Self::dial_udp), in bytes; 1200 unless set, 512 at least and 65,507 at
    /// most.
    ///
    /// A request that does not fit fails with [`Error::TooLarge`] and is not sent; 52 bytes of each datagram are
    /// not the request's. What is longer than the network carries in one piece is cut into pieces by the system,
    /// if at all, and is lost if one of them is: set it higher only where the way is known.
    pub fn max_datagram(mut self, bytes: usize) -> Self {
        self.limits.datagram = bytes.clamp(*DATAGRAM_LENGTHS.start(), *DATAGRAM_LENGTHS.end());
        self
    }

    /// How many bytes of requests may wait to be sent; 16 MiB unless set.
    ///
    /// While more wait, [`Client::call`] waits, and [`Client::go`], which cannot, fails with
    /// [`Error::QueueFull`].
    pub fn max_queued_bytes(mut self, bytes: usize) -> Self {
        self.limits.queued_bytes = bytes;
        self
    }

    /// How many calls may be under way; 65,536 unless set, at least 1.
    ///
    /// While as many are not answered, [`Client::call`] waits. [`Client::go`] fails with
    /// [`Error::TooManyCalls`] also where they are answered and nobody has taken the answers;
    /// [`Client::ready`] waits for room. So no more than twice as many are ever kept.
    pub fn max_calls(mut self, calls: usize) -> Self {
        self.limits.calls = calls.max(1);
        self
    }

    /// How many bytes of replies may lie unread because nobody awaits their calls; 64 MiB unless set. Each
    /// counts for about 100 bytes more than it has.
    ///
    /// While more do, [`Client::go`] fails with [`Error::TooMuchUnread`], and nothing is read from the
    /// connection unless somebody awaits a call on it: that call's reply may lie behind others. What is kept is
    /// then bounded by the calls that were under way when the limit was met, each of which has one reply of
    /// up to [`max_frame`](Self::max_frame) bytes.
    pub fn max_unread_bytes(mut self, bytes: usize) -> Self {
        self.limits.unread_bytes = bytes;
        self
    }

    /// How long the server may read nothing while requests wait to be sent; 30 s unless set. Then the
    /// connection ends.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.limits.write_timeout = timeout;
        self
    }

    /// How long the server may be silent while it owes answers before it is asked for a sign of life, and how
    /// long it may stay so; 30 s and 20 s unless set.
    ///
    /// A server that is gone without a word, because its machine or the network failed, is so found: its calls
    /// end with [`Error::Shutdown`]. Go's protocols have no such question.
    pub fn keep_alive(mut self, interval: Duration, timeout: Duration) -> Self {
        self.limits.keep_alive = Some(Times { interval, timeout });
        self
    }

    /// Never asks for a sign of life.
    pub fn no_keep_alive(mut self) -> Self {
        self.limits.keep_alive = None;
        self
    }

    /// Whether the server is asked also while it owes nothing; `false` unless set.
    ///
    /// It keeps a connection from being closed because nothing happens on it, by the server or by what lies
    /// between, at the cost of a ping in each interval.
    pub fn keep_alive_while_idle(mut self, idle: bool) -> Self {
        self.limits.keep_alive_idle = idle;
        self
    }

    /// How long connecting may take, the look-up of a name and everything up to the first byte of a call
    /// included; 10 s unless set.
    ///
    /// Where a name has several addresses, each gets its share of the time: see [`Tcp`].
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.limits.connect = timeout;
        self
    }

    /// How long the server may take to say that it speaks netrpc; 5 s unless set.
    ///
    /// The client does not wait for it: its first calls are on their way already, and are lost if
    /// the time is over.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.limits.handshake = timeout;
        self
    }

    /// Connects again whenever the connection has ended; off unless set.
    ///
    /// Without it a client is one connection, as Go's is: when that has ended, every call fails with
    /// [`Error::Shutdown`]. It is a choice because it changes what an error means: what holds for one
    /// connection, such as state that a server keeps for it, does not hold for the next.
    ///
    /// It needs a way to connect, so it is of no effect on [`connect`](Self::connect). **No call is sent
    /// twice**, unless it provably has not run and its caller
    /// [waits](CallOptions::wait_for_ready), or its caller
    /// [wants it so](CallOptions::semantics). For that, the first requests on each connection are
    /// held back until the server has said that it is there, which costs one way back and forth
    /// (Go's protocols have no such word: there they are sent at once).
    ///
    /// When a server says that it is going away, new calls go to the next connection, and those on the old
    /// one are still answered.
    pub fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.reconnect = Some(reconnect);
        self
    }

    /// Writes calls under [`Semantics::ExactlyOnce`](crate::Semantics::ExactlyOnce) to this file before they are
    /// sent, so that a crash of the client loses none and repeats none.
    ///
    /// The file is made if it is not there; it belongs to one client at a time, and to one server. A call is sent
    /// when it is on disk: those who call at the same time share a sync, and no worker of the runtime waits for it.
    /// When the file is opened again after a crash, the calls whose outcome was not taken are sent again under their
    /// own numbers, and [`Client::recovered`] tells what became of them by their [tags](CallOptions::tag). Metadata
    /// is not kept.
    ///
    /// A client with a log connects again: [`Reconnect::new`] unless [`reconnect`](Self::reconnect) says how. Calls of
    /// other semantics do not touch the log.
    ///
    /// Stop with [`close`](Client::close): what is under way then stays in the log, and is recovered by the next
    /// process. A call that is dropped or whose time is over is given up, in the log too. When the log cannot be
    /// written any more, calls fail with [`Error::Log`] and are not sent.
    ///
    /// # Errors
    /// Those of `dial` and its kin: [`Error::Log`] if the file cannot be opened, is damaged, is locked by another
    /// process, or is no log of this version. Nothing in it is changed then.
    #[cfg(feature = "durable")]
    pub fn log(mut self, path: impl AsRef<Path>) -> Self {
        self.log = Some(LogSource::Path(path.as_ref().to_owned()));
        self
    }

    /// The same with a log that is open already, on whatever medium. It is for the first client that is made.
    #[cfg(feature = "durable")]
    pub fn log_with(mut self, log: netrpc_log::Log, sync: LogSync) -> Self {
        self.log = Some(LogSource::Open(Arc::new(Mutex::new(Some(log))), sync));
        self
    }

    /// The options of every call, where [`Client::with`] does not say otherwise.
    pub fn options(mut self, options: CallOptions) -> Self {
        self.options = options;
        self
    }

    /// Hands on a trace context of another kind than W3C's, or of a system that has ids of its own;
    /// see [`Propagator`](crate::trace::Propagator).
    #[cfg(feature = "trace")]
    pub fn propagator(mut self, propagator: impl crate::trace::Propagator) -> Self {
        self.observer.propagate(crate::trace::Propagation::by(propagator));
        self
    }

    /// What the server speaks; our own protocol unless set.
    ///
    /// ```no_run
    /// # use netrpc::{Client, Error, Wire};
    /// # async fn f() -> Result<(), Error> {
    /// let go_server = Client::builder().wire(Wire::Gob).dial("localhost:1234").await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "go")]
    pub fn wire(mut self, wire: Wire) -> Self {
        self.limits.wire = wire.language();
        self.wire_chosen = true;
        self
    }

    /// Connects over TLS, in whatever way it connects, and never in the clear: see
    /// [`tls`](crate::tls).
    ///
    /// The server's certificate has to be for the host that is dialled, or for the name that is
    /// [set](crate::tls::TlsClientConfigBuilder::server_name). The handshake is a part of connecting,
    /// within the [`connect_timeout`](Self::connect_timeout); that of a stream that is
    /// [given](Self::connect) is done when the first call is sent, and what is wrong with it is told by
    /// the calls.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: &crate::tls::TlsClientConfig) -> Self {
        self.tls = ClientTls::new(config.clone());
        self
    }

    /// Connects over TCP and HTTP `CONNECT`; Go's `rpc.DialHTTP("tcp", addr)`. What is spoken then is gob,
    /// unless [`wire`](Self::wire) says otherwise.
    ///
    /// # Errors
    /// [`Error::Connect`] if none of the addresses takes the connection, or the server answers
    /// anything but 200.
    #[cfg(feature = "go")]
    pub async fn dial_http(self, addr: impl Address) -> Result<Client, Error> {
        self.dial_http_path(addr, netrpc_core::dialect::http::DEFAULT_PATH).await
    }

    /// The same on another path; Go's `rpc.DialHTTPPath("tcp", addr, path)`.
    ///
    /// # Errors
    /// As [`dial_http`](Self::dial_http).
    #[cfg(feature = "go")]
    pub async fn dial_http_path(mut self, addr: impl Address, path: &str) -> Result<Client, Error> {
        if !self.wire_chosen {
            self.limits.wire = Some(Language::Gob);
        }
        let connector = self.tls.connector(self.tcp(addr), self.limits.wire.is_none());
        let connector = transport::HttpConnect::with_path(connector, path);
        self.observer.calls(connector.target());
        self.open(connector).await
    }

    /// Connects over TCP; Go's `rpc.Dial("tcp", addr)`.
    ///
    /// # Errors
    /// [`Error::Connect`] if none of the addresses takes the connection.
    pub async fn dial(self, addr: impl Address) -> Result<Client, Error> {
        let connector = self.tcp(addr);
        self.connect_with(connector).await
    }

    /// Connects over a Unix socket; Go's `rpc.Dial("unix", path)`.
    ///
    /// # Errors
    /// [`Error::Connect`] if nobody listens there.
    #[cfg(unix)]
    pub async fn dial_unix(self, path: impl AsRef<Path>) -> Result<Client, Error> {
        self.connect_with(transport::Unix::new(path.as_ref())).await
    }

    /// Calls a server over UDP; see [`Server::serve_datagrams`](crate::Server::serve_datagrams) and
    /// `docs/DATAGRAMS.md`.
    ///
    /// Each call is one datagram, and so is its reply. Datagrams get lost: a call under
    /// [`Semantics::Maybe`](crate::Semantics::Maybe) is sent once and ends with its deadline if it, or its reply,
    /// is; one that may be sent again is, at growing intervals, until it is answered or its time is over.
    /// A call that is given no timeout has 30 s, unless it is told to have [none](CallOptions::no_timeout).
    ///
    /// It waits for the server's first answer. The client [connects again](Self::reconnect) whether or not that
    /// is set: then as it is by default.
    ///
    /// # Errors
    /// [`Error::Connect`] if no server answers within the [`connect_timeout`](Self::connect_timeout), or the
    /// system knows that nobody is there; and if TLS is asked for, or another protocol than our own: there is
    /// neither over datagrams.
    pub async fn dial_udp(self, addr: impl Address) -> Result<Client, Error> {
        let manner = self.manner();
        let connector = Udp::new(addr.target(), self.limits.connect, manner);
        self.open_datagrams(connector).await
    }

    /// The same over sockets of another kind: `bind` gives a fresh one for each conversation, that is each time
    /// the client connects.
    ///
    /// # Errors
    /// As [`dial_udp`](Self::dial_udp), and if `bind` fails.
    pub async fn datagrams<S, F, Binding>(self, bind: F, server: S::Addr) -> Result<Client, Error>
    where
        S: DatagramSocket,
        F: Fn() -> Binding + Send + Sync + 'static,
        Binding: Future<Output = io::Result<S>> + Send + 'static,
    {
        let connector = Datagrams::new(bind, server, self.manner());
        self.open_datagrams(connector).await
    }

    fn manner(&self) -> Manner {
        Manner::new(self.limits.datagram, self.reconnect.as_ref().and_then(Reconnect::set_seed))
    }

    async fn open_datagrams(mut self, connector: impl Connector) -> Result<Client, Error> {
        let refusal = match (self.tls.is_on(), self.limits.wire.is_some()) {
            (true, _) => Some("there is no TLS for datagrams, and this client is to use it"),
            (_, true) => Some("Go's protocols are not spoken over datagrams"),
            (false, false) => None,
        };
        if let Some(text) = refusal {
            let cause = io::Error::new(io::ErrorKind::Unsupported, text);
            return Err(Error::Connect { addr: connector.target(), cause });
        }
        self.limits.over_datagrams = true;
        self.limits.max_frame =
            self.limits.max_frame.min(datagram::max_payload(self.limits.datagram));
        // That a datagram was lost nobody tells.
        let default = CallOptions::new().timeout(DATAGRAM_TIMEOUT);
        self.options = default.overridden_by(self.options);
        self.reconnect.get_or_insert_default();
        self.observer.calls(connector.target());
        self.open(connector).await
    }

    /// Connects in a way of your own; see [`Connector`].
    ///
    /// # Errors
    /// [`Error::Connect`] if the connector fails, or takes longer than
    /// [`connect_timeout`](Self::connect_timeout).
    pub async fn connect_with(mut self, connector: impl Connector) -> Result<Client, Error> {
        self.observer.calls(connector.target());
        let connector = self.tls.connector(connector, self.limits.wire.is_none());
        self.open(connector).await
    }

    /// Connects, and again later where it was told to.
    async fn open(mut self, connector: impl Connector) -> Result<Client, Error> {
        let log = self.open_log().await?;
        let client = match self.reconnect.take() {
            Some(reconnect) => {
                let (options, observer) = (self.options, self.observer);
                Client::open(connector, self.limits, reconnect, options, observer, log).await?
            }
            None => {
                let stream = transport::connect(&connector, self.limits.connect).await?;
                Client::start(stream, self.limits, self.options, self.observer)
            }
        };
        #[cfg(feature = "tower")]
        let client = self.layers.around(client, &self.limits);
        Ok(client)
    }

    /// Opens the log, if there is to be one.
    #[cfg(feature = "durable")]
    async fn open_log(&mut self) -> Result<OpenLog, Error> {
        let Some(source) = self.log.take() else { return Ok(None) };
        self.reconnect.get_or_insert_default();
        match source {
            LogSource::Path(path) => {
                let opening = tokio::task::spawn_blocking(|| netrpc_log::Log::open(path));
                let opened = opening.await.map_err(|gone| log_error(gone, false))?;
                Ok(Some((opened.map_err(|error| log_error(error, false))?, LogSync::Thread)))
            }
            LogSource::Open(log, sync) => match log.lock().take() {
                Some(log) => Ok(Some((log, sync))),
                None => {
                    let text = "another client was made with this log";
                    Err(log_error(io::Error::other(text), false))
                }
            },
        }
    }

    #[cfg(not(feature = "durable"))]
    #[allow(clippy::unused_async)] // as the other's
    async fn open_log(&mut self) -> Result<OpenLog, Error> {
        Ok(OpenLog)
    }

    fn tcp(&self, addr: impl Address) -> Tcp {
        Tcp::new(addr).timeout(self.limits.connect)
    }

    /// Speaks over a stream that is connected already; Go's `rpc.NewClient(conn)`.
    ///
    /// # Panics
    /// Outside a tokio runtime, or if there is to be a log: a stream that was given cannot be made again.
    pub fn connect<IO>(self, stream: IO) -> Client
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        #[cfg(feature = "durable")]
        assert!(self.log.is_none(), "a client with a log connects again: use `connect_with`");
        let stream = self.tls.stream(stream, self.limits.wire.is_none());
        let client = Client::start(stream, self.limits, self.options, self.observer);
        #[cfg(feature = "tower")]
        let client = self.layers.around(client, &self.limits);
        client
    }
}
