//! Calls over datagrams: what stands in one, and when one is sent again.
//!
//! A datagram carries whole frames of the ordinary [`wire`](crate::wire) behind a [`Prelude`]. What a
//! connection's stream does for its frames, bring each of them once, in order and without flooding the
//! way, is not there; of it the calls need only that what is lost is asked for again, and that it is done with
//! care for the way. `docs/WIRE.md` has the rules.
//!
//! | noun | file | what it owns |
//! |---|---|---|
//! | [`Prelude`], [`Sort`] | `prelude` | the 32 bytes that each datagram begins with |
//! | [`frames`], [`Receipts`] | `contents` | what follows them |
//! | [`Packet`] | `packet` | frames gathered into a datagram |
//! | [`Passes`] | `pass` | the proof that a peer is where it says |
//! | [`Seen`] | `seen` | which datagrams of a peer have come before |
//! | [`Rto`] | `rto` | how long an answer takes |
//! | [`Window`] | `window` | how much may be under way |
//! | [`Flights`] | `flights` | the questions that wait for answers, and when each is sent again |

mod contents;
mod fit;
mod flights;
mod packet;
mod pass;
mod prelude;
mod rto;
mod seen;
mod window;

pub use contents::{Framed, Frames, Receipts, frames, write_receipt};
pub use fit::fit;
pub use flights::{FlightCounts, FlightLimits, Flights, Question};
pub use packet::Packet;
pub use pass::Passes;
pub use prelude::{HELLO_LEN, PRELUDE_LEN, Prelude, Sort, Stray};
pub use rto::{Rto, RtoLimits};
pub use seen::Seen;
pub use window::Window;

use crate::wire::HEADER_LEN;

/// How long a datagram is at most unless it is told otherwise: what every IPv6 network carries in one piece
/// (1280 bytes) with room for the headers of IP, UDP and a tunnel or two; QUIC's number.
pub const MAX_DATAGRAM: usize = 1200;

/// The lengths that may be chosen: from one that a fault always fits into to what UDP over IPv4 can carry.
pub const DATAGRAM_LENGTHS: std::ops::RangeInclusive<usize> = 512..=65_507;

/// The payload of the largest frame that fits into a datagram of so many bytes.
pub const fn max_payload(datagram: usize) -> u32 {
    datagram.saturating_sub(PRELUDE_LEN + HEADER_LEN) as u32
}
