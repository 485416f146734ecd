//! A host, as the software on it sees it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{
    Disk, Network, Random, SimConnector, SimDatagramSocket, SimListener,
    world::{Acts, HostId, Shared, World, duration, has_crashed},
};
use crate::{Client, ClientBuilder, Reconnect, Server, ServerBuilder, SyncPolicy};

/// A host, as the software that runs on it sees it: its network, its disk, its clock.
///
/// It is of one life of the host. What is made with it does nothing any more after a crash.
#[derive(Debug, Clone)]
pub struct Host {
    here: Identity,
}

/// Which host, in which of its lives.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) shared: Shared,
    pub(super) host: HostId,
    pub(super) life: u64,
}

impl Identity {
    /// Whether this life goes on.
    pub(super) fn check(&self, world: &World) -> io::Result<()> {
        match world.is_alive(self.host, self.life) {
            true => Ok(()),
            false => Err(has_crashed()),
        }
    }

    /// To be asked before anything is done that can be seen from outside.
    pub(super) fn act(&self, world: &mut World, acts: Acts) -> io::Result<()> {
        self.check(world)?;
        world.act(self.host, acts)
    }
}

impl Host {
    pub(super) fn new(shared: Shared, host: HostId, life: u64) -> Self {
        Host { here: Identity { shared, host, life } }
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.here.shared.with(|world| world.machines[self.here.host].name.clone())
    }

    /// Its address.
    pub fn ip(&self) -> IpAddr {
        self.here.shared.with(|world| world.machines[self.here.host].ip)
    }

    /// The address of a port of another host, for datagrams.
    ///
    /// # Panics
    /// If there is no such host.
    pub fn address(&self, host: &str, port: u16) -> SocketAddr {
        let ip = self.here.shared.with(|world| world.machines[world.host(host)].ip);
        SocketAddr::new(ip, port)
    }

    /// How often it was started, this time included.
    pub fn life(&self) -> u64 {
        self.here.life
    }

    /// How long the simulation has gone on.
    pub fn now(&self) -> Duration {
        self.here.shared.with(|world| duration(world.now()))
    }

    /// Takes connections on a port.
    ///
    /// # Errors
    /// If the port is taken.
    pub fn listen(&self, port: u16) -> io::Result<SimListener> {
        SimListener::bind(self.here.clone(), port)
    }

    /// Connects to a port of a host, which may be this one; for
    /// [`ClientBuilder::connect_with`].
    ///
    /// # Panics
    /// When it connects, if there is no such host.
    pub fn connector(&self, server: &str, port: u16) -> SimConnector {
        SimConnector::new(self.here.clone(), server, port)
    }

    /// Sends and receives datagrams on a port; on one that is free if it is 0.
    ///
    /// # Errors
    /// If the port is taken.
    pub fn datagram(&self, port: u16) -> io::Result<SimDatagramSocket> {
        SimDatagramSocket::bind(self.here.clone(), port)
    }

    /// A server whose handlers run on the host's only thread: [`SyncPolicy::Inline`].
    ///
    /// Another would start threads, and what they do depends on the system. So do methods that are marked
    /// `blocking`.
    pub fn server(&self) -> ServerBuilder {
        Server::builder().sync_policy(SyncPolicy::Inline)
    }

    /// A client that connects when its first call is made, and again after waits that the simulation's seed
    /// decides.
    pub fn client(&self) -> ClientBuilder {
        Client::builder().reconnect(Reconnect::new().lazy(true).seed(self.seed()))
    }

    /// What its power failures leave.
    pub fn disk(&self) -> Disk {
        Disk::new(self.here.clone())
    }

    /// The network, and the other hosts: for whoever lets things go wrong.
    pub fn network(&self) -> Network {
        Network::new(self.here.shared.clone())
    }

    /// A number that the simulation's seed decides, another each time.
    pub fn seed(&self) -> u64 {
        self.here.shared.with(|world| world.random.number())
    }

    /// A generator of numbers that the simulation's seed decides, another each time.
    pub fn random(&self) -> Random {
        Random::new(self.seed())
    }
}
