//! How a client comes by a conversation.

use std::{
    collections::hash_map::RandomState,
    fmt,
    future::Future,
    hash::{BuildHasher, Hasher},
    io,
    time::Duration,
};

use netrpc_core::{backoff::Jitter, datagram::RtoLimits};
use tokio::time::{Instant, timeout_at};

use super::{connected::Connected, greet::greet, socket::DatagramSocket, stream::Stream};
use crate::{Connector, sync::Mutex, transport::Target};

/// What each address gets of the time at least.
const FAIR_SHARE: Duration = Duration::from_secs(2);

/// How conversations are had, whoever they are with.
pub(crate) struct Manner {
    /// The longest datagram that is sent.
    datagram: usize,
    /// Numbers that nobody can guess who has not seen one.
    random: Mutex<Jitter>,
}

impl Manner {
    pub(crate) fn new(datagram: usize, seed: Option<u64>) -> Self {
        let random = Mutex::new(Jitter::new(seed.unwrap_or_else(random)));
        Manner { datagram, random }
    }

    async fn converse<S: DatagramSocket>(
        &self,
        socket: S,
        server: S::Addr,
    ) -> io::Result<Stream<S>> {
        let limits = RtoLimits::default();
        let (conversation, seed) = {
            let mut random = self.random.lock();
            (random.next(), random.next())
        };
        let mut jitter = Jitter::new(seed);
        let welcome = greet(&socket, &server, conversation, limits, &mut jitter).await?;
        let seed = jitter.next();
        Ok(Stream::new(socket, server, (conversation, welcome), (self.datagram, limits), seed))
    }
}

/// A random number from the system.
pub(super) fn random() -> u64 {
    // Every `RandomState` has keys of its own, which the operating system made random once.
    RandomState::new().build_hasher().finish()
}

/// Conversations over UDP.
pub(crate) struct Udp {
    target: Target,
    timeout: Duration,
    manner: Manner,
}

impl Udp {
    pub(crate) fn new(target: Target, timeout: Duration, manner: Manner) -> Self {
        Udp { target, timeout, manner }
    }
}

impl Connector for Udp {
    type Stream = Stream<Connected>;

    /// With the first address that answers, each having its share of the time, as over TCP.
    async fn connect(&self) -> io::Result<Stream<Connected>> {
        const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
        let late = || {
            let text = format!("nobody has answered within {:?}", self.timeout);
            io::Error::new(io::ErrorKind::TimedOut, text)
        };
        let end = Instant::now() + self.timeout.min(FOR_EVER);
        let addrs = timeout_at(end, self.target.resolve()).await.map_err(|_| late())??;
        let mut failed = None;
        for (tried, addr) in addrs.iter().enumerate() {
            let left = end.saturating_duration_since(Instant::now());
            let share = (left / (addrs.len() - tried) as u32).max(FAIR_SHARE.min(left));
            let attempt = async { self.manner.converse(Connected::to(*addr).await?, *addr).await };
            match timeout_at(Instant::now() + share, attempt).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failed = Some(error),
                Err(_) => failed = Some(late()),
            }
        }
        Err(failed.unwrap_or_else(late))
    }

    fn target(&self) -> String {
        format!("udp:{}", self.target)
    }
}

impl fmt::Debug for Udp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Udp").field(&self.target).finish()
    }
}

/// Gives a fresh socket for each conversation.
pub(crate) trait Bound: Send + Sync + 'static {
    type Socket: DatagramSocket;

    fn bind(&self) -> impl Future<Output = io::Result<Self::Socket>> + Send;
}

impl<F, Binding, S> Bound for F
where
    F: Fn() -> Binding + Send + Sync + 'static,
    Binding: Future<Output = io::Result<S>> + Send,
    S: DatagramSocket,
{
    type Socket = S;

    fn bind(&self) -> impl Future<Output = io::Result<S>> + Send {
        self()
    }
}

/// Conversations over sockets of any kind.
pub(crate) struct Datagrams<B: Bound> {
    bound: B,
    server: <B::Socket as DatagramSocket>::Addr,
    manner: Manner,
}

impl<B: Bound> Datagrams<B> {
    pub(crate) fn new(
        bound: B,
        server: <B::Socket as DatagramSocket>::Addr,
        manner: Manner,
    ) -> Self {
        Datagrams { bound, server, manner }
    }
}

impl<B: Bound> Connector for Datagrams<B> {
    type Stream = Stream<B::Socket>;

    async fn connect(&self) -> io::Result<Stream<B::Socket>> {
        self.manner.converse(self.bound.bind().await?, self.server.clone()).await
    }

    fn target(&self) -> String {
        format!("datagrams:{:?}", self.server)
    }
}
