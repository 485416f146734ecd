//! The accept loop, and the end of it.

use std::{
    fmt,
    future::{Future, pending},
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use netrpc_core::wire::{self, GoAwayCode, Preface};
use tokio::io::AsyncWriteExt;

use super::{Server, connection};
use crate::transport::Listener;

/// How long to wait after an accept that failed: the first time, and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// How long calls may take to finish after the signal, unless set otherwise.
const GRACE: Duration = Duration::from_secs(30);

/// A server at work on a listener: the future of [`Server::serve`].
///
/// Dropping it stops accepting; connections that exist go on.
#[must_use = "nothing is served until it is awaited or spawned"]
pub struct Serve<L> {
    state: State<L>,
}

enum State<L> {
    Configured(Option<Configured<L>>),
    Running(Pin<Box<dyn Future<Output = ()> + Send>>),
}

struct Configured<L> {
    server: Server,
    listener: L,
    signal: Pin<Box<dyn Future<Output = ()> + Send>>,
    grace: Duration,
}

impl<L: Listener> Serve<L> {
    pub(super) fn new(server: Server, listener: L) -> Self {
        let signal = Box::pin(pending());
        let configured = Configured { server, listener, signal, grace: GRACE };
        Serve { state: State::Configured(Some(configured)) }
    }

    /// Shuts down when `signal` is ready: accepts nothing more, tells every client to go elsewhere,
    /// refuses new calls, answers those that have begun, and then ends.
    ///
    /// It concerns every connection of the server. Calls still running when the
    /// [`grace`](Self::grace) period is over are cancelled.
    pub fn with_graceful_shutdown(
        mut self,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.configure(|configured| configured.signal = Box::pin(signal));
        self
    }

    /// How long calls may take to finish after the signal; 30 s unless set.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.configure(|configured| configured.grace = grace);
        self
    }

    fn configure(&mut self, change: impl FnOnce(&mut Configured<L>)) {
        match &mut self.state {
            State::Configured(Some(configured)) => change(configured),
            State::Configured(None) | State::Running(_) => panic!("`Serve` is running already"),
        }
    }
}

// Nothing is pinned in place: what runs is boxed.
impl<L> Unpin for Serve<L> {}

impl<L: Listener> Future for Serve<L> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.state {
                State::Configured(configured) => {
                    let configured = configured.take().expect("it is running otherwise");
                    self.state = State::Running(Box::pin(configured.run()));
                }
                State::Running(running) => return running.as_mut().poll(cx),
            }
        }
    }
}

impl<L> fmt::Debug for Serve<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").finish_non_exhaustive()
    }
}

impl<L: Listener> Configured<L> {
    async fn run(self) {
        let Configured { server, listener, signal, grace } = self;
        tokio::select! {
            never = accept(&server, listener) => match never {},
            () = signal => {}
        }
        drain(&server, grace).await;
    }
}

/// Takes connections for ever.
async fn accept<L: Listener>(server: &Server, mut listener: L) -> std::convert::Infallible {
    let mut backoff = BACKOFF.0;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                backoff = BACKOFF.0;
                if server.connections() >= server.shared.limits.connections {
                    tracing::warn!(%peer, "refused a connection: there are too many");
                    tokio::spawn(refuse(stream));
                    continue;
                }
                connection::start(server.shared.clone(), stream, peer.into());
            }
            // The peer gave up before we came to it; the next one has nothing to do with that.
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::error!(%error, retry_in = ?backoff, "cannot accept connections");
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
        }
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Tells a client that there is no room for it.
async fn refuse(mut stream: impl AsyncWriteExt + Unpin) {
    let mut out = Preface::OURS.to_bytes().to_vec();
    let text = "the server has too many connections";
    wire::write_go_away(&mut out, GoAwayCode::TooManyConnections, text);
    // It fits into an empty socket buffer, so this does not wait for the peer.
    let _ = stream.write_all(&out).await;
    let _ = stream.shutdown().await;
}

/// Ends every connection of the server: in peace within `grace`, by force after it.
async fn drain(server: &Server, grace: Duration) {
    for connection in server.live() {
        connection.drain();
    }
    if tokio::time::timeout(grace, server.idle()).await.is_err() {
        let left = server.live();
        tracing::warn!(connections = left.len(), ?grace, "calls did not finish in time");
        for connection in left {
            connection.abort();
        }
        server.idle().await;
    }
}
