//! The proof that a peer receives what is sent to where it says it is.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use siphasher::sip::SipHasher24;

/// The passes of one server: each is good for one address and one conversation, and known again without
/// anything being kept (`[datagram.pass]`).
///
/// A pass is a keyed hash, as a TCP server's SYN cookie is: who has not received it can only guess it.
#[derive(Clone)]
pub struct Passes {
    key: (u64, u64),
}

impl Passes {
    /// Passes under this key, which has to be secret.
    pub fn new(key: (u64, u64)) -> Self {
        Passes { key }
    }

    /// The pass for a conversation with whoever is at this address; never 0.
    pub fn pass<A: Hash>(&self, addr: &A, conversation: u64) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        addr.hash(&mut hasher);
        hasher.write_u64(conversation);
        hasher.finish().max(1)
    }
}

impl fmt::Debug for Passes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passes")
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn a_pass_is_for_one_address_one_conversation_and_one_server() {
        // `[datagram.pass]`
        let passes = Passes::new((1, 2));
        let addr = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let pass = passes.pass(&addr("10.0.0.1:1"), 7);
        assert_eq!(pass, passes.clone().pass(&addr("10.0.0.1:1"), 7));
        assert_ne!(pass, passes.pass(&addr("10.0.0.1:2"), 7));
        assert_ne!(pass, passes.pass(&addr("10.0.0.2:1"), 7));
        assert_ne!(pass, passes.pass(&addr("10.0.0.1:1"), 8));
        assert_ne!(pass, Passes::new((1, 3)).pass(&addr("10.0.0.1:1"), 7));
        assert_eq!(format!("{passes:?}"), "Passes", "the key is secret");
    }
}
