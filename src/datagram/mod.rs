//! Calls over datagrams: UDP, or whatever else carries packets and may lose them.

mod socket;

pub use socket::DatagramSocket;
