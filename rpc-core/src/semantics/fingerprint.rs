//! Whether two calls of one number are the same call, and whether their sender is who it says.

use std::hash::Hasher;

use siphasher::{
    sip::SipHasher24,
    sip128::{Hasher128, SipHasher24 as SipHasher128},
};

use super::{Secret, Stamp};

/// A keyed hash of a call's method and arguments, after NFSv4.1's sessions (RFC 8881, 2.10.6.1.3.1).
///
/// It is made by the client and compared by the server: the same number with another fingerprint is
/// another call, and a mistake. SipHash-2-4 of 128 bits under the session's secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fingerprint(pub [u8; 16]);

/// What a hash is of, so that none can stand for the other.
const CALL: u8 = 1;
const STAMP: u8 = 2;
const ACK: u8 = 3;

impl Secret {
    /// The fingerprint of a call.
    ///
    /// ```
    /// # use netrpc_core::semantics::Secret;
    /// let secret = Secret::new(*b"sixteen letters!");
    /// let debit = secret.fingerprint("Bank.Debit", b"\x07");
    /// assert_eq!(secret.fingerprint("Bank.Debit", b"\x07"), debit);
    /// assert_ne!(secret.fingerprint("Bank.Debit", b"\x08"), debit);
    /// ```
    pub fn fingerprint(&self, method: &str, body: &[u8]) -> Fingerprint {
        let mut hasher = SipHasher128::new_with_key(self.bytes());
        hasher.write_u8(CALL);
        hasher.write(&(method.len() as u64).to_le_bytes());
        hasher.write(method.as_bytes());
        hasher.write(body);
        Fingerprint(hasher.finish128().as_bytes())
    }

    /// Proves that whoever sent a stamp knows the secret. Every other field of the stamp goes into it.
    pub fn prove(&self, stamp: &Stamp) -> u64 {
        let mut hasher = SipHasher24::new_with_key(self.bytes());
        hasher.write_u8(STAMP);
        hasher.write(&stamp.provable());
        hasher.finish()
    }

    /// Proves an acknowledgement that travels alone.
    pub fn prove_ack(
        &self,
        domain: super::Domain,
        incarnation: super::Incarnation,
        ack: u64,
    ) -> u64 {
        let mut hasher = SipHasher24::new_with_key(self.bytes());
        hasher.write_u8(ACK);
        hasher.write(&domain.0.to_le_bytes());
        hasher.write(&incarnation.0.to_le_bytes());
        hasher.write(&ack.to_le_bytes());
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_depends_on_the_secret_the_method_and_the_body() {
        let (ours, theirs) = (Secret::new([1; 16]), Secret::new([2; 16]));
        let it = ours.fingerprint("A.B", b"cd");
        assert_eq!(it, ours.fingerprint("A.B", b"cd"));
        for other in [
            theirs.fingerprint("A.B", b"cd"),
            ours.fingerprint("A.C", b"cd"),
            ours.fingerprint("A.B", b"ce"),
            ours.fingerprint("A.Bc", b"d"),
            ours.fingerprint("A.B", b""),
        ] {
            assert_ne!(it, other);
        }
    }

    /// The vector of the paper's appendix: the key 00 … 0f, the message 00 … 0e.
    #[test]
    fn the_hash_is_the_papers() {
        let key: [u8; 16] = std::array::from_fn(|i| i as u8);
        let mut hasher = SipHasher24::new_with_key(&key);
        let message: [u8; 15] = std::array::from_fn(|i| i as u8);
        hasher.write(&message);
        assert_eq!(hasher.finish(), 0xA129_CA61_49BE_45E5);
    }
}
