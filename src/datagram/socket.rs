//! What sends and receives datagrams.

use std::{
    fmt,
    hash::Hash,
    io,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll, ready},
};

use netrpc_core::Peer;
use tokio::{io::ReadBuf, net::UdpSocket};

/// A socket for datagrams: tokio's [`UdpSocket`], or one of your own, over a simulated network for
/// example.
///
/// It may lose what it is given, double it, and deliver it late and in another order. It must not make
/// one datagram of two, or two of one.
pub trait DatagramSocket: Send + Sync + 'static {
    /// Where datagrams come from and go to.
    type Addr: Clone + Eq + Hash + fmt::Debug + Send + Sync + 'static;

    /// Its own address.
    ///
    /// # Errors
    /// What the system says.
    fn local_addr(&self) -> io::Result<Self::Addr>;

    /// Sends a datagram. Of the tasks for which it is not ready yet, only the last has to be woken.
    ///
    /// A server does not wait for room: to it, a datagram for which there is none is lost.
    ///
    /// # Errors
    /// What the system says; that nobody is there, as far as it knows, is a
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused).
    fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        datagram: &[u8],
        to: &Self::Addr,
    ) -> Poll<io::Result<()>>;

    /// Receives a datagram: what does not fit into `buffer` is cut off. Only the last task that has asked
    /// has to be woken.
    ///
    /// # Errors
    /// What the system says. An error is about a datagram that was sent before, or about the socket; later
    /// datagrams may be received all the same.
    fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Self::Addr>>;

    /// Who is at an address, as handlers and checks are told.
    fn peer(&self, addr: &Self::Addr) -> Peer;
}

impl DatagramSocket for UdpSocket {
    type Addr = SocketAddr;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        UdpSocket::local_addr(self)
    }

    fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        datagram: &[u8],
        to: &SocketAddr,
    ) -> Poll<io::Result<()>> {
        loop {
            // Tried first: unlike tokio's own `poll_send_to`, that never pretends there is no room so
            // that other tasks have their turn, and where nobody waits for room a reply would be lost.
            match self.try_send_to(datagram, *to) {
                Ok(_) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(self.poll_send_ready(cx))?;
        }
    }

    fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<SocketAddr>> {
        UdpSocket::poll_recv_from(self, cx, buffer)
    }

    fn peer(&self, addr: &SocketAddr) -> Peer {
        Peer::Udp(*addr)
    }
}

impl<S: DatagramSocket> DatagramSocket for Arc<S> {
    type Addr = S::Addr;

    fn local_addr(&self) -> io::Result<S::Addr> {
        (**self).local_addr()
    }

    fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        datagram: &[u8],
        to: &S::Addr,
    ) -> Poll<io::Result<()>> {
        (**self).poll_send_to(cx, datagram, to)
    }

    fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<S::Addr>> {
        (**self).poll_recv_from(cx, buffer)
    }

    fn peer(&self, addr: &S::Addr) -> Peer {
        (**self).peer(addr)
    }
}
