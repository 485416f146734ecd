//! A socket of which each conversation is a connection.

use std::{fmt, io, sync::Arc};

use netrpc_core::{Peer, datagram::Passes};
use tokio::sync::mpsc;

use super::{
    counts::Counters,
    hub::{Arrival, Hub},
    peer::PeerStream,
    socket::DatagramSocket,
};
use crate::{Listener, sync};

/// How many new conversations may wait to be accepted.
const BACKLOG: usize = 1024;

/// The conversations over a socket for datagrams; each is a connection to its server, with all limits, checks and
/// counts that a connection has. Made by [`Server::serve_datagrams`](crate::Server::serve_datagrams).
pub struct Conversations<S: DatagramSocket> {
    hub: Arc<Hub<S>>,
    /// Once the task runs that reads from the socket.
    arrivals: Option<mpsc::Receiver<Arrival<S>>>,
}

impl<S: DatagramSocket> Conversations<S> {
    pub(crate) fn new(socket: S, datagram: usize, counters: Arc<Counters>) -> Self {
        let passes = Passes::new((super::dial::random(), super::dial::random()));
        Conversations {
            hub: Arc::new(Hub::new(socket, datagram, passes, counters)),
            arrivals: None,
        }
    }
}

impl<S: DatagramSocket> Listener for Conversations<S> {
    type Stream = PeerStream<S>;

    async fn accept(&mut self) -> io::Result<(PeerStream<S>, Peer)> {
        let Conversations { hub, arrivals } = self;
        let arrivals = arrivals.get_or_insert_with(|| {
            let (tell, arrivals) = mpsc::channel(BACKLOG);
            // A task of its own, which outlives this: who shuts down still answers what has begun.
            sync::spawn(hub.clone().run(tell));
            arrivals
        });
        match arrivals.recv().await {
            Some(arrival) => Ok(arrival),
            // The task is gone with its runtime.
            None => std::future::pending().await,
        }
    }
}

impl<S: DatagramSocket> Drop for Conversations<S> {
    fn drop(&mut self) {
        self.hub.close();
    }
}

impl<S: DatagramSocket> fmt::Debug for Conversations<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversations").finish_non_exhaustive()
    }
}
