//! What a tracked call carries, and what its answer does.

use std::time::Duration;

use super::{Domain, Epoch, Fingerprint, Incarnation, Secret, Semantics, SessionId, Xid};

/// What a call carries so that it is never run twice.
///
/// `docs/WIRE.md` draws its bytes. A resent call differs from the first in its epoch, incarnation,
/// acknowledgement, attempt and proof, and in nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Who the call is.
    pub xid: Xid,
    /// The server's life that the client believes in.
    pub epoch: Epoch,
    /// Which incarnation of the client sends.
    pub incarnation: Incarnation,
    /// The client will never ask about calls up to this one again.
    pub ack: u64,
    /// How often the call was sent, from 1.
    pub attempt: u16,
    /// What the client asks for.
    pub semantics: Semantics,
    /// What the call says, in 16 bytes.
    pub fingerprint: Fingerprint,
    /// That the sender knows the session's secret.
    pub proof: u64,
}

/// Bytes of a stamp without its proof.
pub(crate) const PROVABLE_LEN: usize = 72;

impl Stamp {
    /// This stamp, proved.
    #[must_use]
    pub fn proved(mut self, secret: &Secret) -> Stamp {
        self.proof = secret.prove(&self);
        self
    }

    /// Whether its sender knew the secret.
    pub fn is_proved(&self, secret: &Secret) -> bool {
        secret.prove(self) == self.proof
    }

    /// All but the proof, as it crosses the wire.
    ///
    /// # Panics
    /// If its semantics are such as carry no stamp.
    pub(crate) fn provable(&self) -> [u8; PROVABLE_LEN] {
        let mut bytes = [0; PROVABLE_LEN];
        let semantics = self.semantics.to_u8().expect("only tracked calls are stamped");
        bytes[..16].copy_from_slice(&self.xid.domain.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.xid.session.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.xid.seq.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.epoch.0.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.ack.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.incarnation.0.to_le_bytes());
        bytes[52..54].copy_from_slice(&self.attempt.to_le_bytes());
        bytes[54] = semantics;
        bytes[56..72].copy_from_slice(&self.fingerprint.0);
        bytes
    }

    /// From what [`provable`](Self::provable) made, and a proof; `None` if no semantics have its number.
    pub(crate) fn from_bytes(bytes: &[u8; PROVABLE_LEN], proof: u64) -> Option<Stamp> {
        // Lengths are constants: `at` cannot fail.
        fn at<const N: usize>(bytes: &[u8; PROVABLE_LEN], start: usize) -> [u8; N] {
            *bytes[start..].first_chunk().expect("within the stamp")
        }
        Some(Stamp {
            xid: Xid {
                domain: Domain(u128::from_le_bytes(at(bytes, 0))),
                session: SessionId(u64::from_le_bytes(at(bytes, 16))),
                seq: u64::from_le_bytes(at(bytes, 24)),
            },
            epoch: Epoch(u64::from_le_bytes(at(bytes, 32))),
            ack: u64::from_le_bytes(at(bytes, 40)),
            incarnation: Incarnation(u32::from_le_bytes(at(bytes, 48))),
            attempt: u16::from_le_bytes(at(bytes, 52)),
            semantics: Semantics::from_u8(bytes[54])?,
            fingerprint: Fingerprint(at(bytes, 56)),
            proof,
        })
    }
}

/// What the answer to a tracked call says besides its reply or fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The call that is answered.
    pub xid: Xid,
    /// The server's life.
    pub epoch: Epoch,
    /// Calls up to this one are forgotten, for good: none of them can ever begin to run.
    pub floor: u64,
    /// How long the session lives without traffic from now on.
    pub lease_left: Duration,
    /// When it is worth asking again; zero if nothing is said.
    pub retry_after: Duration,
    /// Whether asking again can change anything.
    pub is_final: bool,
    /// Whether this is what was answered before.
    pub is_replayed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp() -> Stamp {
        Stamp {
            xid: Xid { domain: Domain(1), session: SessionId(2), seq: 3 },
            epoch: Epoch(4),
            incarnation: Incarnation(5),
            ack: 2,
            attempt: 6,
            semantics: Semantics::AtMostOnce,
            fingerprint: Fingerprint([7; 16]),
            proof: 0,
        }
    }

    #[test]
    fn every_field_is_proved() {
        let secret = Secret::new([9; 16]);
        let proved = stamp().proved(&secret);
        assert!(proved.is_proved(&secret));
        assert!(!proved.is_proved(&Secret::new([8; 16])), "another secret");
        let forgeries: [fn(&mut Stamp); 10] = [
            |it| it.xid.domain.0 ^= 1,
            |it| it.xid.session.0 ^= 1,
            |it| it.xid.seq ^= 1,
            |it| it.epoch.0 ^= 1,
            |it| it.incarnation.0 ^= 1,
            |it| it.ack ^= 1,
            |it| it.attempt ^= 1,
            |it| it.semantics = Semantics::ExactlyOnce,
            |it| it.fingerprint.0[15] ^= 1,
            |it| it.proof ^= 1,
        ];
        for (field, forge) in forgeries.into_iter().enumerate() {
            let mut forged = proved;
            forge(&mut forged);
            assert!(!forged.is_proved(&secret), "field {field}");
        }
    }

    #[test]
    fn a_stamp_survives_its_bytes() {
        let stamp = stamp().proved(&Secret::new([9; 16]));
        assert_eq!(Stamp::from_bytes(&stamp.provable(), stamp.proof), Some(stamp));
        let mut bytes = stamp.provable();
        for semantics in (0..=u8::MAX).filter(|number| Semantics::from_u8(*number).is_none()) {
            bytes[54] = semantics;
            assert_eq!(Stamp::from_bytes(&bytes, stamp.proof), None);
        }
    }
}
