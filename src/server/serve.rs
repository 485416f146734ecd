//! The accept loop, and the end of it.

use std::{
    fmt,
    future::{Future, pending, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use netrpc_core::Peer;

use super::{Server, Shared, connection::Stream};
use crate::{sync, transport::Listener};

/// How long to wait after an accept that failed: the first time, and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// How many connections may wait to be accepted when a server shuts down; systems keep fewer.
const BACKLOG: usize = 65_536;

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
        let Configured { server, mut listener, signal, grace } = self;
        let tracked = server.shared.tracked.clone();
        let failed = async {
            match &tracked {
                Some(tracked) => tracked.failed().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            // Nothing that has come can be answered, and nothing may be that comes.
            () = failed => return end(&server).await,
            () = signal => {}
            never = accept(&server, &mut listener) => match never {},
        }
        take_the_rest(&server, &mut listener).await;
        drop(listener);
        drain(&server, grace).await;
    }
}

/// Takes connections for ever.
async fn accept<L: Listener>(server: &Server, listener: &mut L) -> std::convert::Infallible {
    let mut backoff = BACKOFF.0;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                backoff = BACKOFF.0;
                take(server, stream, peer);
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

/// Takes the connections that wait to be accepted: to close the listener would break them, and a client
/// that has sent a call along could not know that it has not run. So it is told.
async fn take_the_rest<L: Listener>(server: &Server, listener: &mut L) {
    for _ in 0..BACKLOG {
        let accepted = poll_fn(|cx| Poll::Ready(pin!(listener.accept()).poll(cx))).await;
        match accepted {
            Poll::Ready(Ok((stream, peer))) => take(server, stream, peer),
            Poll::Ready(Err(error)) if is_of_the_peer(&error) => {}
            Poll::Ready(Err(_)) | Poll::Pending => return,
        }
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Gives a connection its place and a task of its own, or sends it away.
fn take<IO: Stream>(server: &Server, stream: IO, peer: Peer) {
    match server.enter(peer.clone()) {
        Ok(entrance) => {
            sync::spawn(entrance.admit(stream));
        }
        Err(cause) => server.turn_away(stream, &peer, &cause),
    }
}

/// Ends every connection of the server: in peace within `grace`, by force after it.
async fn drain(server: &Server, grace: Duration) {
    let Shared { connections, tracked, .. } = &*server.shared;
    if let Some(tracked) = tracked {
        tracked.drain();
    }
    connections.drain();
    let idle = async {
        connections.idle().await;
        // Those that have lost their connections, too: somebody may ask for their outcome later.
        if let Some(tracked) = tracked {
            tracked.idle().await;
        }
    };
    if tokio::time::timeout(grace, idle).await.is_err() {
        let connections = connections.count();
        let running = tracked.as_ref().map_or(0, |tracked| tracked.running());
        tracing::warn!(connections, running, ?grace, "calls did not finish in time");
        end(server).await;
    }
    // Whoever serves another listener with the same server.
    if let Some(tracked) = tracked {
        tracked.reopen();
    }
}

/// Ends every connection of the server by force.
async fn end(server: &Server) {
    let connections = &server.shared.connections;
    for connection in connections.live() {
        connection.abort();
    }
    connections.idle().await;
}
