//! Who gets in: a connection is counted from the moment it is accepted until it has ended.
//!
//! An accept loop does nothing for a connection but [`enter`](Server::enter) it: that gives it its place,
//! or says which limit is reached. All that takes time, and a peer could draw out, happens in a task of
//! the connection's own, within the handshake timeout: [`Entrance::admit`].

use std::{
    collections::HashMap,
    future::Future,
    net::IpAddr,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use netrpc_core::{
    Caller, Cancellation, Extensions, Peer,
    error::{Disconnected, chain},
    wire::{self, GoAwayCode, Preface},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Notify, Semaphore},
};

use super::{
    Live, Server, Shared,
    connection::{self, Connection, Stream},
    limits::Limits,
};
use crate::{
    client::now,
    observe,
    secure::{self, TurnedAway},
    sync::{self, Mutex},
};

/// How many refused connections are seen off in peace at once. Those of a flood get their answer too,
/// but nobody waits until they have read it.
const FAREWELLS: usize = 64;

/// How long a refused peer may take to read why.
const LINGER: Duration = Duration::from_secs(1);

/// How often it is reported that connections are refused.
const REPORTS: Duration = Duration::from_secs(1);

/// The connections of a server.
pub(super) struct Connections {
    places: Mutex<Places>,
    /// Told whenever a connection has ended.
    ended: Notify,
    farewells: Arc<Semaphore>,
    refused: Mutex<Refused>,
}

#[derive(Default)]
struct Places {
    /// The number of the newest connection.
    newest: u64,
    /// The newest one that was there when the server was last told to shut down.
    drained: u64,
    /// Every connection that has not ended, by its number.
    live: HashMap<u64, Arc<dyn Live>>,
    /// How many there are from each origin.
    from: HashMap<Origin, usize>,
}

/// Refusals that were not reported yet.
#[derive(Default)]
struct Refused {
    count: u64,
    reported: Option<Instant>,
}

/// Whom connections are counted for: an IPv4 address, or the /64 that an IPv6 address lies in, which is
/// the least that anybody is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Origin(IpAddr);

impl Origin {
    /// `None` for a peer that has no address: it is on this machine.
    fn of(peer: &Peer) -> Option<Self> {
        let addr = peer.addr()?.ip().to_canonical();
        Some(Origin(match addr {
            IpAddr::V4(_) => addr,
            IpAddr::V6(addr) => {
                let [a, b, c, d, ..] = addr.segments();
                IpAddr::from([a, b, c, d, 0, 0, 0, 0])
            }
        }))
    }
}

impl Default for Connections {
    fn default() -> Self {
        Connections {
            places: Mutex::default(),
            ended: Notify::new(),
            farewells: Arc::new(Semaphore::new(FAREWELLS)),
            refused: Mutex::default(),
        }
    }
}

impl Connections {
    /// How many there are, those in admission included.
    pub(super) fn count(&self) -> usize {
        self.places.lock().live.len()
    }

    /// Those that have not ended.
    pub(super) fn live(&self) -> Vec<Arc<dyn Live>> {
        self.places.lock().live.values().cloned().collect()
    }

    /// Has every connection of now refuse new calls, and end when those it has are answered.
    pub(super) fn drain(&self) {
        let live: Vec<_> = {
            let mut places = self.places.lock();
            places.drained = places.newest;
            places.live.values().cloned().collect()
        };
        for connection in live {
            connection.drain();
        }
    }

    /// Waits until there is none.
    pub(super) async fn idle(&self) {
        loop {
            let ended = self.ended.notified();
            if self.count() == 0 {
                return;
            }
            ended.await;
        }
    }

    fn enter(
        &self,
        limits: &Limits,
        peer: &Peer,
        entrant: Arc<Entrant>,
    ) -> Result<(u64, Option<Origin>), Disconnected> {
        let origin = Origin::of(peer);
        let mut places = self.places.lock();
        if places.live.len() >= limits.connections {
            let limit = limits.connections;
            return Err(Disconnected::TooManyConnections { limit, of_peer: false });
        }
        if let Some(origin) = origin {
            let from = places.from.entry(origin).or_default();
            if *from >= limits.connections_per_peer {
                let limit = limits.connections_per_peer;
                if limit == 0 {
                    places.from.remove(&origin);
                }
                return Err(Disconnected::TooManyConnections { limit, of_peer: true });
            }
            *from += 1;
        }
        places.newest += 1;
        let number = places.newest;
        places.live.insert(number, entrant);
        Ok((number, origin))
    }

    fn leave(&self, number: u64, origin: Option<Origin>) {
        let left = {
            let mut places = self.places.lock();
            let left = places.live.remove(&number);
            if left.is_some()
                && let Some(origin) = origin
                && let Some(from) = places.from.get_mut(&origin)
            {
                *from -= 1;
                if *from == 0 {
                    places.from.remove(&origin);
                }
            }
            left
        };
        if left.is_some() {
            self.ended.notify_waiters();
        }
    }

    /// Notes a refusal; how many there were since the last report, if another is due.
    fn note_refusal(&self) -> Option<u64> {
        let now = now();
        let mut refused = self.refused.lock();
        refused.count += 1;
        if refused.reported.is_some_and(|at| now.saturating_duration_since(at) < REPORTS) {
            return None;
        }
        refused.reported = Some(now);
        Some(std::mem::take(&mut refused.count))
    }
}

/// A connection's place among those of its server, given back when it has ended.
pub(super) struct Place {
    pub(super) server: Arc<Shared>,
    pub(super) number: u64,
    origin: Option<Origin>,
}

impl Place {
    /// Puts the served connection where the one in admission was.
    pub(super) fn hold(&self, connection: Arc<dyn Live>) {
        let (before, drained) = {
            let mut places = self.server.connections.places.lock();
            let before = places.live.insert(self.number, connection.clone());
            (before, self.number <= places.drained)
        };
        drop(before);
        if drained {
            connection.drain();
        }
    }

    /// Gives the place back; also done by dropping it.
    pub(super) fn leave(&self) {
        self.server.connections.leave(self.number, self.origin);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A connection that has a place and is not served yet.
pub(super) struct Entrance {
    pub(super) place: Place,
    pub(super) caller: Caller,
    /// When its handshake must be over, the peer's first words included.
    pub(super) deadline: Instant,
    /// What the owner's check has found out, or why it does not want the peer: which that is told in its
    /// own language.
    pub(super) welcome: Result<Option<Arc<Extensions>>, String>,
    entrant: Arc<Entrant>,
}

/// A connection in admission, as its server sees it.
#[derive(Default)]
struct Entrant {
    stopped: Cancellation,
}

impl Live for Entrant {
    /// It goes on: its peer may have sent calls along, and can be told that they do not run only when
    /// it is known how. [`Place::hold`] sees to that.
    fn drain(&self) {}

    fn abort(&self) {
        self.stopped.cancel();
    }
}

impl Server {
    /// A place for a connection of `peer`.
    ///
    /// # Errors
    /// Which limit is reached.
    pub(super) fn enter(&self, peer: Peer) -> Result<Entrance, Disconnected> {
        let server = self.shared.clone();
        if server.tracked.as_ref().is_some_and(|tracked| tracked.failure().is_some()) {
            return Err(Disconnected::Closed);
        }
        let entrant = Arc::new(Entrant::default());
        let deadline = after(server.limits.times.handshake);
        let (number, origin) = server.connections.enter(&server.limits, &peer, entrant.clone())?;
        let place = Place { server, number, origin };
        Ok(Entrance { place, caller: peer.into(), deadline, welcome: Ok(None), entrant })
    }

    /// Closes a connection that got no place, and tells its peer why. Waits for nothing.
    pub(super) fn turn_away<IO: Stream>(&self, mut io: IO, peer: &Peer, cause: &Disconnected) {
        let connections = &self.shared.connections;
        observe::refused_connection(cause.kind());
        if let Disconnected::TooManyConnections { of_peer, .. } = cause {
            let per_peer = "max_connections_per_peer";
            observe::limit(if *of_peer { per_peer } else { "max_connections" });
        }
        if let Some(refused) = connections.note_refusal() {
            tracing::warn!(%peer, refused, %cause, "connections were refused");
        }
        let farewell = match self.shared.tls.is_on() {
            true => NO_ROOM.to_vec(),
            false => farewell(cause),
        };
        if let Ok(permit) = connections.farewells.clone().try_acquire_owned() {
            sync::spawn(async move {
                see_off(io, &farewell).await;
                drop(permit);
            });
            return;
        }
        // It fits into an empty socket buffer, so one poll does it.
        let mut cx = Context::from_waker(Waker::noop());
        let _ = pin!(io.write_all(&farewell)).poll(&mut cx);
    }
}

impl Entrance {
    /// Has the peer prove what it must, and starts serving it.
    ///
    /// # Errors
    /// Why it is not served; it has been told.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(super) async fn admit<IO: Stream>(
        mut self,
        io: IO,
    ) -> Result<Arc<Connection<secure::Stream<IO>>>, Disconnected> {
        let server = &*self.place.server;
        let mut io = secure::in_the_clear(io);
        let check = async {
            server.tls.accept(&mut io, &mut self.caller).await?;
            let number = self.place.number;
            Ok(server.hooks.check_connection(&self.caller, number, self.deadline).await?)
        };
        let checked = tokio::select! {
            biased;
            () = self.entrant.stopped.cancelled() => Err(Disconnected::Closed.into()),
            checked = tokio::time::timeout_at(self.deadline.into(), check) => {
                checked.unwrap_or(Err(Disconnected::Handshake(server.limits.times.handshake).into()))
            }
        };
        match checked {
            Ok(known) => {
                self.welcome = Ok(known);
                Ok(connection::start(self, io))
            }
            Err(TurnedAway { cause: Disconnected::Refused(reason), .. }) => {
                tracing::debug!(peer = %self.caller.peer, reason, "connection refused");
                self.welcome = Err(reason);
                Ok(connection::start(self, io))
            }
            Err(TurnedAway { cause, farewell }) => {
                observe::refused_connection(cause.kind());
                let peer = &self.caller.peer;
                tracing::debug!(%peer, cause = %chain(&cause), "connection not admitted");
                see_off(io, &farewell).await;
                Err(cause)
            }
        }
    }
}

impl From<Disconnected> for TurnedAway {
    fn from(cause: Disconnected) -> Self {
        TurnedAway { farewell: farewell(&cause), cause }
    }
}

/// When `duration` is over: in thirty years at the latest, which is never.
fn after(duration: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(30 * 365 * 86_400);
    now() + duration.min(NEVER)
}

/// What a peer is sent that is not served (`[close.full]`).
fn farewell(cause: &Disconnected) -> Vec<u8> {
    let (code, text) = match cause {
        Disconnected::TooManyConnections { .. } => {
            (GoAwayCode::TooManyConnections, cause.to_string())
        }
        Disconnected::Closed => {
            (GoAwayCode::ShuttingDown, "the server is shutting down".to_owned())
        }
        _ => (GoAwayCode::ProtocolError, cause.to_string()),
    };
    let mut out = Preface::OURS.to_bytes().to_vec();
    wire::write_go_away(&mut out, code, &text);
    out
}

/// What a TLS client is sent that there is no room for, before anything is encrypted: the alert
/// `internal_error`, fatal (RFC 8446, section 6). There is none that says it better.
const NO_ROOM: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x50];

/// Says the last words, and gives the peer some time to read them: to close earlier, with bytes of the
/// peer's unread, would make the system throw them away.
async fn see_off<IO: Stream>(mut io: IO, farewell: &[u8]) {
    let said = async {
        io.write_all(farewell).await?;
        io.shutdown().await?;
        let mut sink = [0; 512];
        while io.read(&mut sink).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = tokio::time::timeout(LINGER, said).await;
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn origin(addr: &str) -> Option<Origin> {
        let ip: IpAddr = addr.parse().expect("an address");
        Origin::of(&Peer::Tcp(SocketAddr::new(ip, 1234)))
    }

    #[test]
    fn an_origin_is_an_ipv4_address_or_an_ipv6_network() {
        assert_ne!(origin("10.0.0.1"), origin("10.0.0.2"));
        assert_eq!(origin("::ffff:10.0.0.1"), origin("10.0.0.1"), "the same host");
        assert_eq!(origin("2001:db8:1:2::1"), origin("2001:db8:1:2:ffff::9"));
        assert_ne!(origin("2001:db8:1:2::1"), origin("2001:db8:1:3::1"));
        assert_eq!(Origin::of(&Peer::Stream), None);
        assert_eq!(Origin::of(&Peer::Unix(None)), None);
    }

    #[test]
    fn every_place_is_given_back_once() {
        let server = Server::builder().max_connections(3).max_connections_per_peer(2).build();
        let connections = &server.shared.connections;
        let tcp = |addr: &str| Peer::Tcp(addr.parse().expect("an address"));
        let (a, b) = (tcp("10.0.0.1:1"), tcp("10.0.0.2:1"));
        let refused = |peer: &Peer| match server.enter(peer.clone()) {
            Err(Disconnected::TooManyConnections { limit, of_peer }) => (limit, of_peer),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("it got a place"),
        };
        let first = server.enter(a.clone()).unwrap();
        let second = server.enter(a.clone()).unwrap();
        assert_eq!(refused(&a), (2, true));
        let third = server.enter(b.clone()).unwrap();
        assert_eq!(refused(&b), (3, false));
        assert_eq!(refused(&Peer::Stream), (3, false), "it counts, too");
        first.place.leave();
        drop(first);
        assert_eq!(connections.count(), 2);
        let again = server.enter(a.clone()).unwrap();
        assert_eq!(refused(&Peer::Stream), (3, false));
        drop((second, third, again));
        assert_eq!(connections.count(), 0);
        assert!(connections.places.lock().from.is_empty(), "nothing is kept of who was here");
    }
}
