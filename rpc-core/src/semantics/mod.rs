//! How often a call runs, and what its caller can know of it: the words and the caller's machines.
//!
//! | noun | file | what it owns |
//! |---|---|---|
//! | [`Semantics`], [`Demand`] | `mod` | what a caller asks for, what a method insists on |
//! | [`Domain`], [`Epoch`], [`SessionId`], [`Secret`], [`Xid`] | `xid` | who a call is, beyond its connection |
//! | [`Fingerprint`] | `fingerprint` | whether two calls of one number are the same call |
//! | [`Stamp`], [`Standing`] | `stamp` | what a call carries, and what its answer does |
//! | [`Series`] | `series` | a client's calls: numbered without gaps, acknowledged in order |
//! | [`Budget`] | `budget` | how much may be resent, so that an outage is not amplified |
//! | [`retry`] | `retry` | what becomes of a call that has failed |
//!
//! The server's half is the [`ledger`](crate::ledger).

mod budget;
mod fingerprint;

pub mod retry;
mod series;
mod stamp;
mod xid;

pub use budget::{Budget, BudgetLimits};
pub use fingerprint::Fingerprint;
pub use series::{Grant, NotNow, Series, SeriesLimits};
pub(crate) use stamp::PROVABLE_LEN;
pub use stamp::{Stamp, Standing};
pub use xid::{Domain, Epoch, Incarnation, Secret, SessionId, Xid};

/// How often a call may run, as its caller wants it.
///
/// | | a reply is lost | the server crashes while it runs | needs |
/// |---|---|---|---|
/// | `Maybe` | the error says that it may have run | the same | – |
/// | `AtLeastOnce` | it runs again | it runs again | a client that connects again |
/// | `AtMostOnce` | the answer is given again | unknown, and never again | a server with a ledger |
/// | `ExactlyOnce` | the answer is given again | rolled back, and run again | a ledger in a file, and a method that writes into it |
///
/// The whole table of what is promised, with the tests that show it, is in `docs/SEMANTICS.md`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Semantics {
    /// Sent once; after a loss nobody knows whether it ran, and the error says so. What Go does.
    #[default]
    Maybe,
    /// Sent again until it is answered; it may run more than once: for methods that may (idempotent ones).
    AtLeastOnce,
    /// Sent again until it is answered, under a number by which the server's ledger knows it: never run twice.
    ///
    /// What a crash leaves of it depends on the ledger; where nobody can tell, the error says that it may have
    /// run, and it is not run again.
    AtMostOnce,
    /// As `AtMostOnce`, and its effect is kept together with its outcome, so that a crash of the server leaves both
    /// or neither. A client with a log remembers it across a crash of its own; without one, such a crash leaves
    /// it run once or not at all.
    ExactlyOnce,
}

impl Semantics {
    /// Whether calls of this kind carry an identity, by which the server knows them again.
    pub const fn is_tracked(self) -> bool {
        matches!(self, Semantics::AtMostOnce | Semantics::ExactlyOnce)
    }

    /// Its number on the wire, for those that are tracked; the others carry none.
    pub const fn to_u8(self) -> Option<u8> {
        match self {
            Semantics::Maybe | Semantics::AtLeastOnce => None,
            Semantics::AtMostOnce => Some(2),
            Semantics::ExactlyOnce => Some(3),
        }
    }

    /// The tracked semantics with this number.
    pub const fn from_u8(number: u8) -> Option<Semantics> {
        match number {
            2 => Some(Semantics::AtMostOnce),
            3 => Some(Semantics::ExactlyOnce),
            _ => None,
        }
    }
}

/// What a method insists on: less is refused before anything is sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Demand {
    /// Nothing is said: the caller decides, and answers for it.
    #[default]
    None,
    /// Running it twice is running it once: any semantics will do.
    Idempotent,
    /// It must not run twice.
    AtMostOnce,
    /// It must not run twice, and not be forgotten either.
    ExactlyOnce,
}

impl Demand {
    /// Whether a call under `semantics` is good enough.
    pub const fn is_met_by(self, semantics: Semantics) -> bool {
        match (self, semantics) {
            (Demand::None | Demand::Idempotent, _) | (_, Semantics::ExactlyOnce) => true,
            // `Maybe` is not enough: what is sent once can arrive twice, and its caller may ask again.
            (Demand::AtMostOnce, semantics) => semantics.is_tracked(),
            (Demand::ExactlyOnce, _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Semantics; 4] =
        [Semantics::Maybe, Semantics::AtLeastOnce, Semantics::AtMostOnce, Semantics::ExactlyOnce];

    #[test]
    fn only_what_is_tracked_has_a_number() {
        for semantics in ALL {
            assert_eq!(semantics.to_u8().is_some(), semantics.is_tracked());
            if let Some(number) = semantics.to_u8() {
                assert_eq!(Semantics::from_u8(number), Some(semantics));
            }
        }
        let known = (0..=u8::MAX).filter_map(Semantics::from_u8).count();
        assert_eq!(known, 2);
    }

    #[test]
    fn a_method_is_asked_for_what_it_insists_on() {
        let met = |demand: Demand| ALL.map(|semantics| demand.is_met_by(semantics));
        assert_eq!(met(Demand::None), [true; 4]);
        assert_eq!(met(Demand::Idempotent), [true; 4]);
        assert_eq!(met(Demand::AtMostOnce), [false, false, true, true]);
        assert_eq!(met(Demand::ExactlyOnce), [false, false, false, true]);
    }
}
