//! Simulated TCP, as programs have it: a listener, a way to connect, a stream.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    connection::{End, Opening},
    host::Identity,
    world::{Acts, Backlog, World},
};
use crate::{Connector, Listener, Peer};

/// Takes connections on a port of a host; from [`Host::listen`](super::Host::listen).
#[derive(Debug)]
pub struct SimListener {
    here: Identity,
    port: u16,
}

/// Connects to a port of another host; from [`Host::connector`](super::Host::connector).
#[derive(Debug, Clone)]
pub struct SimConnector {
    here: Identity,
    server: String,
    port: u16,
}

/// One end of a simulated TCP connection.
#[derive(Debug)]
pub struct SimStream {
    here: Identity,
    connection: u64,
    end: usize,
}

impl SimListener {
    pub(super) fn bind(here: Identity, port: u16) -> io::Result<Self> {
        here.shared.with(|world| {
            here.check(world)?;
            let listeners = &mut world.machines[here.host].listeners;
            if listeners.contains_key(&port) {
                return Err(io::Error::from(io::ErrorKind::AddrInUse));
            }
            listeners.insert(port, Backlog::default());
            Ok(())
        })?;
        Ok(SimListener { here, port })
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(SimStream, Peer)>> {
        let (here, port) = (&self.here, self.port);
        here.shared.with(|world| {
            here.check(world)?;
            loop {
                let backlog = world.machines[here.host].listeners.get_mut(&port);
                let Some(backlog) = backlog else { return Poll::Pending };
                let Some(connection) = backlog.connections.pop_front() else {
                    let before = backlog.waker.replace(cx.waker().clone());
                    world.discard(before);
                    return Poll::Pending;
                };
                // Who connected may have gone since.
                let Some(it) = world.connections.get(&connection) else { continue };
                let (peer, port) = (it.ends[0].host, it.ends[0].port);
                let addr = SocketAddr::new(world.machines[peer].ip, port);
                let stream = SimStream { here: here.clone(), connection, end: 1 };
                return Poll::Ready(Ok((stream, Peer::Tcp(addr))));
            }
        })
    }
}

impl Listener for SimListener {
    type Stream = SimStream;

    fn accept(&mut self) -> impl Future<Output = io::Result<(SimStream, Peer)>> + Send {
        poll_fn(|cx| self.poll_accept(cx))
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let (here, port) = (&self.here, self.port);
        here.shared.with(|world| {
            if here.check(world).is_err() {
                return;
            }
            let Some(backlog) = world.machines[here.host].listeners.remove(&port) else { return };
            world.discard(backlog.waker);
            backlog.connections.into_iter().for_each(|connection| world.refuse(connection));
        });
    }
}

impl SimConnector {
    pub(super) fn new(here: Identity, server: &str, port: u16) -> Self {
        SimConnector { here, server: server.to_owned(), port }
    }
}

impl Connector for SimConnector {
    type Stream = SimStream;

    async fn connect(&self) -> io::Result<SimStream> {
        let here = self.here.clone();
        let connection = here.shared.with(|world| {
            here.check(world)?;
            let to = world.host(&self.server);
            io::Result::Ok(world.connect(here.host, to, self.port))
        })?;
        // Dropped before it is connected, it lets go of its end.
        let stream = SimStream { here, connection, end: 0 };
        poll_fn(|cx| stream.poll_connected(cx)).await?;
        Ok(stream)
    }

    fn target(&self) -> String {
        format!("{}:{}", self.server, self.port)
    }

    fn server_name(&self) -> Option<String> {
        Some(self.server.clone())
    }
}

impl SimStream {
    fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|world, connection, end| {
            let Some(it) = world.connections.get_mut(&connection) else { return reset() };
            let this = &mut it.ends[end];
            match this.state {
                Opening::Open => Poll::Ready(Ok(())),
                Opening::Refused => {
                    Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionRefused)))
                }
                Opening::Waits => wait(world, |world| &mut world.end(connection, end).reader, cx),
            }
        })
    }

    /// Does something to this end, if this life of the host is not over.
    fn with<T>(
        &self,
        f: impl FnOnce(&mut World, u64, usize) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.here.shared.with(|world| {
            self.here.check(world)?;
            f(world, self.connection, self.end)
        })
    }
}

fn reset<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionReset)))
}

/// Has the task woken when something has changed.
fn wait<T>(
    world: &mut World,
    place: impl FnOnce(&mut World) -> &mut Option<Waker>,
    cx: &mut Context<'_>,
) -> Poll<T> {
    let before = place(world).replace(cx.waker().clone());
    world.discard(before);
    Poll::Pending
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(|world, connection, end| {
            let Some(it) = world.connections.get_mut(&connection) else { return reset() };
            let this = &mut it.ends[end];
            if this.is_reset {
                return reset();
            }
            let before = buf.filled().len();
            while buf.remaining() > 0
                && let Some(first) = this.inbound.front()
            {
                let rest = &first[this.read..];
                let take = rest.len().min(buf.remaining());
                buf.put_slice(&rest[..take]);
                this.read += take;
                if this.read == first.len() {
                    this.inbound.pop_front();
                    this.read = 0;
                }
            }
            let read = buf.filled().len() - before;
            if read == 0 && !this.is_ended && buf.remaining() > 0 {
                return wait(world, |world| &mut world.end(connection, end).reader, cx);
            }
            world.has_read(connection, end, read);
            Poll::Ready(Ok(()))
        })
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|world, connection, end| {
            let Some(it) = world.connections.get_mut(&connection) else { return reset() };
            let this = &mut it.ends[end];
            if this.is_reset {
                return reset();
            }
            if this.is_shut() {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::BrokenPipe)));
            }
            let take = this.room().min(buf.len());
            if take == 0 && !buf.is_empty() {
                return wait(world, |world| &mut world.end(connection, end).writer, cx);
            }
            if take > 0 {
                self.here.act(world, Acts::All)?;
                world.send(connection, end, &buf[..take]);
            }
            Poll::Ready(Ok(take))
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|world, connection, end| {
            world.shut(connection, end);
            Poll::Ready(Ok(()))
        })
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let Identity { shared, .. } = &self.here;
        shared.with(|world| {
            if self.here.check(world).is_ok() {
                world.let_go(self.connection, self.end);
            }
        });
    }
}

/// What streams do to the world.
impl World {
    fn end(&mut self, connection: u64, end: usize) -> &mut End {
        let it = self.connections.get_mut(&connection);
        &mut it.expect("whoever has an end keeps the connection").ends[end]
    }
}
