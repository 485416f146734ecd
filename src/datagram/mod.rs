//! Calls over datagrams: UDP, or whatever else carries packets and may lose them.
//!
//! The connection engines know nothing of it. On either side a stream stands between an engine and the
//! socket: it cuts what the engine writes into frames, packs them into datagrams, and gives the engine the
//! frames of the datagrams that have come, each datagram once. That something was lost only the client's
//! stream has to notice: it asks again, as the machine [`Flights`](netrpc_core::datagram::Flights) says.
//!
//! ```text
//! client's engine ── Stream ── socket ~~~~~~~~ socket ── Hub ─┬─ Inbox ─ PeerStream ── server's engine
//!                    Flights                          Passes  └─ Inbox ─ PeerStream ── …
//! ```

mod connected;
mod counts;
mod cutter;
mod dial;
mod greet;
mod hub;
mod inbox;
mod listen;
mod peer;
mod socket;
mod stream;

pub(crate) use counts::Counters;
pub use counts::DatagramCounts;
pub(crate) use dial::{Datagrams, Manner, Udp};
pub use listen::Conversations;
pub use socket::DatagramSocket;

/// The largest datagram that is received.
const RECEIVED: usize = 65_536;
