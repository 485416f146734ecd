//! A UDP socket that is connected: the system then tells when nobody is there.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    task::{Context, Poll, ready},
};

use netrpc_core::Peer;
use tokio::{io::ReadBuf, net::UdpSocket};

use super::socket::DatagramSocket;

/// A UDP socket connected to one server: what comes from others does not come here, and that the server's
/// port is closed is an error of the next call on it.
#[derive(Debug)]
pub(crate) struct Connected {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Connected {
    pub(super) async fn to(server: SocketAddr) -> io::Result<Self> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(server).await?;
        Ok(Connected { socket, server })
    }
}

impl DatagramSocket for Connected {
    type Addr = SocketAddr;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        datagram: &[u8],
        _: &SocketAddr,
    ) -> Poll<io::Result<()>> {
        self.socket.poll_send(cx, datagram).map_ok(drop)
    }

    fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<SocketAddr>> {
        ready!(self.socket.poll_recv(cx, buffer))?;
        Poll::Ready(Ok(self.server))
    }

    fn peer(&self, addr: &SocketAddr) -> Peer {
        Peer::Udp(*addr)
    }
}
