//! Who a call is, beyond the connection it came on.

use std::fmt;

/// One ledger: a durable store, or a server process if its ledger is in memory.
///
/// Random, made with the ledger and never changed; a backup that is restored is another domain.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(pub u128);

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Domain({self})")
    }
}

/// A server's life: new at every start (the exporter's identifier of Birrell and Nelson, 1984).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Epoch(pub u64);

/// A client within a domain. The server counts them: none is chosen by a client, none is used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How often a session was resumed. Resuming shuts out every older incarnation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Incarnation(pub u32);

/// What a client proves with that a session is its own.
///
/// It is as secret as the connection it was granted on: against those who can read that, only TLS
/// helps. `Debug` does not show it, and comparing two takes the same time wherever they differ.
#[derive(Clone, Copy)]
pub struct Secret([u8; 16]);

impl Secret {
    /// A secret of 16 bytes, which should come from the operating system's generator.
    pub const fn new(bytes: [u8; 16]) -> Secret {
        Secret(bytes)
    }

    /// Its bytes, to be sent or stored.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        u128::from_le_bytes(self.0) ^ u128::from_le_bytes(other.0) == 0
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A call's identity: the same for everything that is sent about it, ever.
///
/// Displays as `domain/session/seq`. Handed on, it is a good idempotency key for others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Xid {
    /// Where the call is known.
    pub domain: Domain,
    /// Whose call it is.
    pub session: SessionId,
    /// Which of the client's calls, from 1 without gaps.
    pub seq: u64,
}

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.domain, self.session, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::new(*b"sixteen letters!");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(secret, Secret::new(*secret.bytes()));
        assert_ne!(secret, Secret::new([0; 16]));
    }

    #[test]
    fn an_identity_reads_as_a_path() {
        let xid = Xid { domain: Domain(0xAB), session: SessionId(7), seq: 3 };
        assert_eq!(xid.to_string(), "000000000000000000000000000000ab/7/3");
    }
}
