//! A network in memory, with one address where a server listens or does not.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use netrpc::{Connector, Listener, Peer, Server};
use tokio::{
    io::{DuplexStream, copy_bidirectional, duplex},
    sync::{mpsc, oneshot},
    task::{AbortHandle, JoinHandle},
    time::Instant,
};

/// Connects to whoever listens at the moment.
#[derive(Clone, Default)]
pub struct Network(Arc<Inner>);

#[derive(Default)]
struct Inner {
    listening: Mutex<Option<mpsc::UnboundedSender<DuplexStream>>>,
    attempts: Mutex<Vec<Instant>>,
    /// Each carries the bytes of a connection.
    wires: Mutex<Vec<AbortHandle>>,
    connected: AtomicUsize,
}

/// A server that listens on a network.
pub struct Listening {
    network: Network,
    stop: oneshot::Sender<()>,
    pub serving: JoinHandle<()>,
}

struct Incoming(mpsc::UnboundedReceiver<DuplexStream>);

impl Network {
    /// Lets `server` listen.
    pub fn listen(&self, server: &Server) -> Listening {
        let incoming = self.listen_raw();
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = server.serve(Incoming(incoming)).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        Listening { network: self.clone(), stop, serving: tokio::spawn(serve.into_future()) }
    }

    /// Gives the streams of those who connect.
    pub fn listen_raw(&self) -> mpsc::UnboundedReceiver<DuplexStream> {
        let (send, incoming) = mpsc::unbounded_channel();
        *self.0.listening.lock().unwrap() = Some(send);
        incoming
    }

    /// When each attempt to connect was made.
    pub fn attempts(&self) -> Vec<Instant> {
        self.0.attempts.lock().unwrap().clone()
    }

    /// How many of them succeeded.
    pub fn connected(&self) -> usize {
        self.0.connected.load(Ordering::SeqCst)
    }
}

impl Connector for Network {
    type Stream = DuplexStream;

    async fn connect(&self) -> io::Result<DuplexStream> {
        self.0.attempts.lock().unwrap().push(Instant::now());
        let (ours, mut near) = duplex(64 * 1024);
        let (mut far, theirs) = duplex(64 * 1024);
        let wire = async move { drop(copy_bidirectional(&mut near, &mut far).await) };
        self.0.wires.lock().unwrap().push(tokio::spawn(wire).abort_handle());
        let listening = self.0.listening.lock().unwrap();
        match &*listening {
            Some(listening) if listening.send(theirs).is_ok() => {
                self.0.connected.fetch_add(1, Ordering::SeqCst);
                Ok(ours)
            }
            _ => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }

    fn target(&self) -> String {
        "memory".to_owned()
    }
}

impl Listening {
    /// Nobody listens any more, and every connection is cut.
    pub async fn kill(self) {
        *self.network.0.listening.lock().unwrap() = None;
        self.network.0.wires.lock().unwrap().drain(..).for_each(|wire| wire.abort());
        self.serving.abort();
        let _ = self.serving.await;
    }

    /// Nobody listens any more; what has begun is answered.
    pub fn drain(self) -> JoinHandle<()> {
        *self.network.0.listening.lock().unwrap() = None;
        self.stop.send(()).expect("it serves");
        self.serving
    }
}

impl Listener for Incoming {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
        match self.0.recv().await {
            Some(stream) => Ok((stream, Peer::Stream)),
            None => std::future::pending().await,
        }
    }
}
