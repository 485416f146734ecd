//! Simulated UDP: a socket, and the way of its datagrams.

use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll, ready},
};

use netrpc_core::Peer;
use tokio::io::ReadBuf;

use super::{
    host::Identity,
    world::{Acts, Event, HostId, Mailbox, World},
};
use crate::DatagramSocket;

/// Datagrams that wait to be received; more are lost, as systems lose them.
const WAITING: usize = 4096;

/// The longest datagram, in bytes: what UDP over IPv4 carries.
const LONGEST: usize = 65_507;

/// How much later those may come that are to be overtaken, in milliseconds.
const OVERTAKEN: u64 = 100;

/// A simulated UDP socket; from [`Host::datagram`](super::Host::datagram).
#[derive(Debug)]
pub struct SimDatagramSocket {
    here: Identity,
    addr: SocketAddr,
}

impl SimDatagramSocket {
    pub(super) fn bind(here: Identity, port: u16) -> io::Result<Self> {
        let addr = here.shared.with(|world| {
            here.check(world)?;
            let machine = &mut world.machines[here.host];
            let mut port = port;
            if port == 0 {
                port = machine.next_port;
                machine.next_port = port.checked_add(1).unwrap_or(49_152);
            }
            if machine.sockets.contains_key(&port) {
                return Err(io::Error::from(io::ErrorKind::AddrInUse));
            }
            machine.sockets.insert(port, Mailbox::default());
            Ok(SocketAddr::new(machine.ip, port))
        })?;
        Ok(SimDatagramSocket { here, addr })
    }

    /// Its address.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sends a datagram. It never waits; that a datagram is lost is told to nobody.
    ///
    /// # Errors
    /// If it is longer than 65,507 bytes, or the host has crashed.
    pub fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        if bytes.len() > LONGEST {
            let text = "a datagram has at most 65,507 bytes";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.here.shared.with(|world| {
            self.here.act(world, Acts::All)?;
            world.send_datagram(self.here.host, self.addr, to, bytes);
            Ok(bytes.len())
        })
    }

    /// The next datagram that has arrived, and where it comes from. What does not fit into `buf` is cut off.
    ///
    /// # Errors
    /// None.
    pub fn poll_receive_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.here.shared.with(|world| {
            // Nothing comes to a host that is no more; whoever asks again and again would not be dropped.
            if self.here.check(world).is_err() {
                return Poll::Pending;
            }
            let mailbox = world.machines[self.here.host].sockets.get_mut(&self.addr.port());
            let Some(mailbox) = mailbox else { return Poll::Pending };
            if let Some((from, bytes)) = mailbox.datagrams.pop_front() {
                let length = bytes.len().min(buf.len());
                buf[..length].copy_from_slice(&bytes[..length]);
                return Poll::Ready(Ok((length, from)));
            }
            let before = mailbox.waker.replace(cx.waker().clone());
            world.discard(before);
            Poll::Pending
        })
    }
}

impl DatagramSocket for SimDatagramSocket {
    type Addr = SocketAddr;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }

    fn poll_send_to(
        &self,
        _: &mut Context<'_>,
        datagram: &[u8],
        to: &SocketAddr,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(self.try_send_to(datagram, *to).map(drop))
    }

    fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<SocketAddr>> {
        let (length, from) = ready!(self.poll_receive_from(cx, buffer.initialize_unfilled()))?;
        buffer.advance(length);
        Poll::Ready(Ok(from))
    }

    fn peer(&self, addr: &SocketAddr) -> Peer {
        Peer::Udp(*addr)
    }
}

impl Drop for SimDatagramSocket {
    fn drop(&mut self) {
        let port = self.addr.port();
        self.here.shared.with(|world| {
            if self.here.check(world).is_ok()
                && let Some(mailbox) = world.machines[self.here.host].sockets.remove(&port)
            {
                world.discard(mailbox.waker);
            }
        });
    }
}

impl World {
    fn send_datagram(&mut self, host: HostId, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.machines[host].traffic.bytes_out += bytes.len() as u64;
        let Some(there) = self.host_at(to.ip()) else { return };
        if self.is_blocked(host, there) {
            self.counts.partitioned += 1;
            return self.note_datagram("meets a partition", host, there, bytes);
        }
        let faults = self.faults(host, there).clone();
        let mut bytes = bytes.to_vec();
        if self.random.chance(faults.drop) {
            self.counts.dropped += 1;
            return self.note_datagram("is lost", host, there, &bytes);
        }
        if !bytes.is_empty() && self.random.chance(faults.corrupt) {
            self.counts.corrupted += 1;
            self.note_datagram("is corrupted", host, there, &bytes);
            let place = self.random.below(bytes.len() as u64 * 8);
            bytes[place as usize / 8] ^= 1 << (place % 8);
        }
        let mut at = self.now() + self.latency(host, there);
        if self.random.chance(faults.delay.0) {
            self.counts.delayed += 1;
            at += self.random.time(faults.delay.1.clone()).as_millis() as u64;
        }
        if self.random.chance(faults.reorder) {
            self.counts.reordered += 1;
            at += 1 + self.random.below(OVERTAKEN);
        }
        let port = to.port();
        if self.random.chance(faults.duplicate) {
            self.counts.duplicated += 1;
            let later = at + self.random.below(OVERTAKEN);
            let bytes = bytes.clone();
            self.schedule(there, later, Event::Datagram { from, port, bytes });
        }
        self.schedule(there, at, Event::Datagram { from, port, bytes });
    }

    pub(super) fn datagram_arrives(
        &mut self,
        host: HostId,
        from: SocketAddr,
        port: u16,
        bytes: Vec<u8>,
    ) {
        if let Some(peer) = self.host_at(from.ip()) {
            self.note_datagram("arrives", peer, host, &bytes);
        }
        let machine = &mut self.machines[host];
        let Some(mailbox) = machine.sockets.get_mut(&port) else { return };
        if mailbox.datagrams.len() >= WAITING {
            return;
        }
        machine.traffic.bytes_in += bytes.len() as u64;
        mailbox.datagrams.push_back((from, bytes));
        let waker = mailbox.waker.take();
        self.wake(waker);
    }
}
