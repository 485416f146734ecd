//! The server: services by name, for any number of connections.

mod admission;
mod answer;
mod authenticate;
mod authorize;
mod call;
mod capacity;
mod connection;
mod counts;
mod driver;
mod handling;
mod hooks;
#[cfg(feature = "tower")]
pub(crate) mod layer;
mod limits;
mod passage;
mod serve;
mod timer;
mod tracked;
mod workers;

use std::{fmt, io, sync::Arc};

#[cfg(feature = "debug-page")]
use netrpc_core::service::MethodTable;
use netrpc_core::{
    Peer,
    error::Disconnected,
    ledger::{LedgerStats, StoreFailed},
    service::{IntoService, RegisterError, Registry, Service},
};
use tokio::io::{AsyncRead, AsyncWrite};

pub use authenticate::{Authenticate, ConnectionInfo};
pub use authorize::{Authorize, CallInfo};
pub use limits::{ServerBuilder, SyncPolicy};
pub use serve::Serve;
pub(crate) use tracked::fault_answer;

#[cfg(feature = "debug-page")]
use crate::debug::{DebugPage, Observation};
use crate::{
    datagram::{Conversations, Counters, DatagramCounts, DatagramSocket},
    observe::ServerObserver,
    secure::ServerTls,
    transport::Listener,
};
use admission::Connections;
use capacity::Capacity;
use connection::{Connection, Stream};
use hooks::Hooks;
use limits::Limits;
use tracked::Tracked;

/// A set of services, to be served on any number of listeners and streams.
///
/// Cloning is cheap, and all clones are the same server.
///
/// ```
/// use netrpc::{Server, service};
///
/// struct Arith;
///
/// #[service]
/// impl Arith {
///     fn multiply(&self, (a, b): (i64, i64), reply: &mut i64) {
///         *reply = a * b;
///     }
/// }
///
/// # #[tokio::main]
/// # async fn main() -> anyhow::Result<()> {
/// let server = Server::new();
/// server.register(Arith)?;
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// tokio::spawn(server.serve(listener));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

/// What all connections of a server share.
struct Shared {
    registry: Registry,
    limits: Limits,
    policy: SyncPolicy,
    /// Where `CONNECT` leads to the services.
    http_path: String,
    /// What its owner has put around the handlers.
    hooks: Hooks,
    /// Whether there is anything that calls pass before their handlers.
    passes: bool,
    /// What every connection begins with.
    tls: ServerTls,
    /// The layers among them.
    #[cfg(feature = "tower")]
    stack: Option<layer::Stack>,
    connections: Connections,
    capacity: Arc<Capacity>,
    /// Its memory of calls that must not run twice, if it keeps one.
    tracked: Option<Arc<Tracked>>,
    /// What has become of its datagrams.
    datagrams: Arc<Counters>,
    /// Whom it tells of its calls and connections.
    observer: ServerObserver,
    /// What its page knows of it.
    #[cfg(feature = "debug-page")]
    observation: Observation,
}

/// A connection, as its server sees it.
trait Live: Send + Sync {
    /// Refuses new calls from now on, and ends when those it has are answered.
    fn drain(&self);
    /// Ends now.
    fn abort(&self);
}

impl Server {
    /// A server with nothing registered and the default limits; Go's `rpc.NewServer()`.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Limits to be set before serving.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    fn with(builder: ServerBuilder) -> Self {
        let ServerBuilder { limits, policy, http_path, hooks, observer, tls, ledger } = builder;
        let shared = Arc::new_cyclic(|shared| Shared {
            registry: Registry::new(),
            limits,
            policy,
            http_path,
            passes: hooks.concern_calls(),
            #[cfg(feature = "tower")]
            stack: layer::stack(&hooks.layers),
            hooks,
            tls,
            connections: Connections::default(),
            capacity: Capacity::new(limits.server_calls),
            tracked: ledger.take().map(|ledger| Tracked::new(ledger, shared.clone())),
            datagrams: Arc::default(),
            observer,
            #[cfg(feature = "debug-page")]
            observation: Observation::begin(),
        });
        Server { shared }
    }

    /// Registers a service under its own name, from now on and also while serving; Go's
    /// `rpc.Register`. A service that others hold too is registered as an [`Arc`].
    ///
    /// # Errors
    /// If the name is taken, with Go's text: `rpc: service already defined: Arith`.
    pub fn register<S: IntoService>(&self, service: S) -> Result<(), RegisterError> {
        self.register_name(<S::Service as Service>::NAME, service)
    }

    /// Registers a service under another name; Go's `rpc.RegisterName`.
    ///
    /// The name may contain dots: a method's begins behind the last one.
    ///
    /// # Errors
    /// If the name is taken, is empty, or is so long that it does not fit into a request.
    pub fn register_name<S: IntoService>(
        &self,
        name: &str,
        service: S,
    ) -> Result<(), RegisterError> {
        let Shared { registry, observer, .. } = &*self.shared;
        registry.register(name, &service.into_service())?;
        observer.attach(registry);
        Ok(())
    }

    /// Serves every connection that `listener` takes; Go's `rpc.Accept`.
    ///
    /// Nothing happens until the returned future is awaited or spawned. It never ends by itself:
    /// when no connection can be accepted (no file descriptors are left, say), it reports that,
    /// waits a while and goes on. [`Serve::with_graceful_shutdown`] ends it when told to.
    pub fn serve<L: Listener>(&self, listener: L) -> Serve<L> {
        Serve::new(self.clone(), listener)
    }

    /// Serves calls that come in datagrams: over UDP, or over [another socket](DatagramSocket).
    ///
    /// The services are the same, and so is what holds for a connection: each client that has a conversation
    /// over the socket counts as one, has the limits of one, and passes the checks. A call, and its reply, has
    /// to fit into [one datagram](ServerBuilder::max_datagram). What that means for calls is in
    /// `docs/DATAGRAMS.md`.
    ///
    /// ```
    /// # use netrpc::{service, Client, Server};
    /// # struct Arith;
    /// # #[service]
    /// # impl Arith {
    /// #     fn multiply(&self, (a, b): (i64, i64), reply: &mut i64) { *reply = a * b; }
    /// # }
    /// # #[tokio::main]
    /// # async fn main() -> anyhow::Result<()> {
    /// # let server = Server::new();
    /// # server.register(Arith)?;
    /// let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
    /// let addr = socket.local_addr()?;
    /// tokio::spawn(server.serve_datagrams(socket)?);
    ///
    /// let client = Client::dial_udp(addr).await?;
    /// let product: i64 = client.call("Arith.Multiply", &(7, 8)).await?;
    /// assert_eq!(product, 56);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the server's owner has asked for TLS: there is none for datagrams, and nothing is served in the clear
    /// then.
    pub fn serve_datagrams<S: DatagramSocket>(
        &self,
        socket: S,
    ) -> io::Result<Serve<Conversations<S>>> {
        let Shared { tls, limits, datagrams, .. } = &*self.shared;
        if tls.is_on() {
            let text = "this server serves over TLS only, and there is no TLS for datagrams: serve them with a                         server of its own (Server::builder without `tls`)";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        Ok(self.serve(Conversations::new(socket, limits.datagram, datagrams.clone())))
    }

    /// What has become of the datagrams of all its sockets, since there is this server.
    pub fn datagram_counts(&self) -> DatagramCounts {
        self.shared.datagrams.snapshot()
    }

    /// Serves one connection until it ends; Go's `rpc.ServeConn`, for any stream.
    ///
    /// It counts as one of [`max_connections`](ServerBuilder::max_connections), like those that come
    /// from a listener.
    ///
    /// # Errors
    /// What ended it, unless the peer left in peace.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection and cancels its handlers.
    pub async fn serve_conn<IO>(&self, stream: IO) -> Result<(), Arc<Disconnected>>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        /// Aborting a connection that has ended does nothing.
        struct AbortOnDrop<IO: Stream>(Arc<Connection<IO>>);
        impl<IO: Stream> Drop for AbortOnDrop<IO> {
            fn drop(&mut self) {
                self.0.abort();
            }
        }
        let served = match self.enter(Peer::Stream) {
            Ok(entrance) => entrance.admit(stream).await.map(AbortOnDrop),
            Err(cause) => {
                self.turn_away(stream, &Peer::Stream, &cause);
                Err(cause)
            }
        };
        served.map_err(Arc::new)?.0.ended().await
    }

    /// The names of the registered services, sorted.
    pub fn services(&self) -> Vec<String> {
        self.shared.registry.snapshot().services().to_vec()
    }

    /// How many connections there are: those being served, and those that are not yet.
    pub fn connections(&self) -> usize {
        self.shared.connections.count()
    }

    /// What its [`ledger`](ServerBuilder::ledger) has, and what it has done since the server was made; `None`
    /// without a ledger, or when that has failed.
    ///
    /// It looks at every call that the ledger remembers: ask now and then.
    pub fn ledger_stats(&self) -> Option<LedgerStats> {
        self.shared.tracked.as_ref()?.stats()
    }

    /// Why the server has ended, if its [`ledger`](ServerBuilder::ledger)'s store has failed: what is on the disk
    /// is known again when the ledger is opened anew, best by another process.
    pub fn ledger_failure(&self) -> Option<StoreFailed> {
        self.shared.tracked.as_ref()?.failure().cloned()
    }

    /// A page that shows the services, and what becomes of calls to them; Go's `/debug/rpc`.
    ///
    /// From now on calls are counted. The page itself is served nowhere until it is
    /// [given a port](DebugPage::serve) or a place in an HTTP server; see [`debug`](crate::debug).
    #[cfg(feature = "debug-page")]
    pub fn debug_page(&self) -> DebugPage {
        self.shared.registry.record(true);
        DebugPage::new(self.clone())
    }
}

#[cfg(feature = "debug-page")]
impl Server {
    /// The methods of now.
    pub(crate) fn methods(&self) -> Arc<MethodTable> {
        self.shared.registry.snapshot()
    }

    /// What its page knows of it.
    pub(crate) fn observation(&self) -> &Observation {
        &self.shared.observation
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("services", &self.services())
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}
