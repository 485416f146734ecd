//! What becomes of a call that has failed: whether it is sent again, made anew, or given up.
//!
//! "Again" is the same call: a tracked one keeps its number, and the server's ledger knows it.
//! "Anew" is another call, under another number or in another domain: allowed only to one that
//! provably never ran. How long to wait before, and whether the [`Budget`](super::Budget) has
//! anything left, is another question; what needs neither waiting nor budget is a call that never
//! left.

use std::time::Duration;

use super::Semantics;

/// Why a call has no outcome yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Failure {
    /// It provably never left this side.
    NotSent,
    /// It may have arrived, and no answer has come.
    Lost,
    /// The server did not run it now, and would have it asked for again.
    Later,
    /// The server runs it, and has no outcome yet.
    Pending,
    /// Its session or its number is of another domain, or of another life of a server without memory.
    Elsewhere,
    /// Its session is over, or was never known.
    SessionGone,
    /// A newer incarnation of this client has taken over.
    Fenced,
    /// It was given up before: it never begins any more.
    Stale,
    /// Its number is that of another call, or its session somebody else's.
    Misused,
    /// It was interrupted by a crash, and nobody can tell how far it had come.
    OutcomeUnknown,
    /// It ran; its reply was not kept.
    ReplyDropped,
}

impl Failure {
    /// Every failure.
    pub const ALL: [Failure; 11] = [
        Failure::NotSent,
        Failure::Lost,
        Failure::Later,
        Failure::Pending,
        Failure::Elsewhere,
        Failure::SessionGone,
        Failure::Fenced,
        Failure::Stale,
        Failure::Misused,
        Failure::OutcomeUnknown,
        Failure::ReplyDropped,
    ];
}

/// What is to be done with a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Next {
    /// Send the same call again.
    Again,
    /// It never ran: it may be made as a new call, wherever.
    Anew,
    /// Tell the caller.
    GiveUp {
        /// Whether it may have run.
        may_have_run: bool,
    },
}

/// What becomes of a call after `failure`, where `earlier` says whether an attempt before this one
/// may have run.
///
/// A failure that only tracked calls can have is taken for [`Failure::Lost`] where one is not.
pub const fn after(semantics: Semantics, failure: Failure, earlier: bool) -> Next {
    let is_tracked = semantics.is_tracked();
    match failure {
        Failure::NotSent | Failure::Later => match semantics {
            Semantics::Maybe if earlier => Next::GiveUp { may_have_run: true },
            _ => Next::Again,
        },
        Failure::Lost => match semantics {
            Semantics::Maybe => Next::GiveUp { may_have_run: true },
            Semantics::AtLeastOnce | Semantics::AtMostOnce | Semantics::ExactlyOnce => Next::Again,
        },
        _ if !is_tracked => after(semantics, Failure::Lost, earlier),
        Failure::Pending => Next::Again,
        Failure::Elsewhere | Failure::SessionGone if !earlier => Next::Anew,
        // Not anew, even if it never ran: this client is not the one to decide any more.
        Failure::Elsewhere | Failure::SessionGone | Failure::Fenced | Failure::Misused => {
            Next::GiveUp { may_have_run: earlier }
        }
        Failure::Stale | Failure::OutcomeUnknown | Failure::ReplyDropped => {
            Next::GiveUp { may_have_run: true }
        }
    }
}

/// Whom a client finds at the other end when it has connected again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Found {
    /// The same domain, in the same life.
    SameEpoch,
    /// The same domain in another life, which remembers (or not).
    NewEpoch {
        /// Whether the ledger survived.
        is_durable: bool,
    },
    /// Another domain, or a server without a ledger.
    OtherDomain,
}

/// What becomes of a call that waits for a connection, where `earlier` says whether it may have run.
pub const fn reconnected(semantics: Semantics, found: Found, earlier: bool) -> Next {
    match semantics {
        Semantics::Maybe if earlier => Next::GiveUp { may_have_run: true },
        Semantics::Maybe | Semantics::AtLeastOnce => Next::Again,
        Semantics::AtMostOnce | Semantics::ExactlyOnce => match found {
            Found::SameEpoch | Found::NewEpoch { is_durable: true } => Next::Again,
            Found::NewEpoch { is_durable: false } | Found::OtherDomain if !earlier => Next::Anew,
            Found::NewEpoch { is_durable: false } | Found::OtherDomain => {
                Next::GiveUp { may_have_run: true }
            }
        },
    }
}

/// How long to wait before the next attempt: as long as the backoff says, or the server if that is
/// longer. `None` if the caller's time would be over by then.
pub fn wait(
    backoff: Duration,
    retry_after: Duration,
    time_left: Option<Duration>,
) -> Option<Duration> {
    let wait = backoff.max(retry_after);
    (time_left.is_none_or(|left| wait < left)).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGAIN: Next = Next::Again;
    const ANEW: Next = Next::Anew;
    const UNKNOWN: Next = Next::GiveUp { may_have_run: true };
    const NOT_RUN: Next = Next::GiveUp { may_have_run: false };

    const SEMANTICS: [Semantics; 4] =
        [Semantics::Maybe, Semantics::AtLeastOnce, Semantics::AtMostOnce, Semantics::ExactlyOnce];

    /// Every failure under every semantics, on the first attempt and on a later one.
    #[test]
    fn every_failure_has_its_consequence() {
        // Maybe, AtLeastOnce, AtMostOnce, ExactlyOnce
        let first = [
            (Failure::NotSent, [AGAIN, AGAIN, AGAIN, AGAIN]),
            (Failure::Lost, [UNKNOWN, AGAIN, AGAIN, AGAIN]),
            (Failure::Later, [AGAIN, AGAIN, AGAIN, AGAIN]),
            (Failure::Pending, [UNKNOWN, AGAIN, AGAIN, AGAIN]),
            (Failure::Elsewhere, [UNKNOWN, AGAIN, ANEW, ANEW]),
            (Failure::SessionGone, [UNKNOWN, AGAIN, ANEW, ANEW]),
            (Failure::Fenced, [UNKNOWN, AGAIN, NOT_RUN, NOT_RUN]),
            (Failure::Stale, [UNKNOWN, AGAIN, UNKNOWN, UNKNOWN]),
            (Failure::Misused, [UNKNOWN, AGAIN, NOT_RUN, NOT_RUN]),
            (Failure::OutcomeUnknown, [UNKNOWN, AGAIN, UNKNOWN, UNKNOWN]),
            (Failure::ReplyDropped, [UNKNOWN, AGAIN, UNKNOWN, UNKNOWN]),
        ];
        let later = [
            (Failure::NotSent, [UNKNOWN, AGAIN, AGAIN, AGAIN]),
            (Failure::Lost, [UNKNOWN, AGAIN, AGAIN, AGAIN]),
            (Failure::Later, [UNKNOWN, AGAIN, AGAIN, AGAIN]),
            (Failure::Pending, [UNKNOWN, AGAIN, AGAIN, AGAIN]),
            (Failure::Elsewhere, [UNKNOWN, AGAIN, UNKNOWN, UNKNOWN]),
            (Failure::SessionGone, [UNKNOWN, AGAIN, UNKNOWN, UNKNOWN]),
            (Failure::Fenced, [UNKNOWN, AGAIN, UNKNOWN, UNKNOWN]),
            (Failure::Stale, [UNKNOWN, AGAIN, UNKNOWN, UNKNOWN]),
            (Failure::Misused, [UNKNOWN, AGAIN, UNKNOWN, UNKNOWN]),
            (Failure::OutcomeUnknown, [UNKNOWN, AGAIN, UNKNOWN, UNKNOWN]),
            (Failure::ReplyDropped, [UNKNOWN, AGAIN, UNKNOWN, UNKNOWN]),
        ];
        for (earlier, table) in [(false, first), (true, later)] {
            assert!(table.map(|(failure, _)| failure) == Failure::ALL);
            for (failure, expected) in table {
                let found = SEMANTICS.map(|semantics| after(semantics, failure, earlier));
                assert_eq!(found, expected, "{failure:?}, earlier: {earlier}");
            }
        }
    }

    /// Every server under every semantics, for a call that may have run and one that has not.
    #[test]
    fn a_call_moves_only_where_it_cannot_run_twice() {
        let table = [
            (Found::SameEpoch, false, [AGAIN, AGAIN, AGAIN, AGAIN]),
            (Found::SameEpoch, true, [UNKNOWN, AGAIN, AGAIN, AGAIN]),
            (Found::NewEpoch { is_durable: true }, false, [AGAIN, AGAIN, AGAIN, AGAIN]),
            (Found::NewEpoch { is_durable: true }, true, [UNKNOWN, AGAIN, AGAIN, AGAIN]),
            (Found::NewEpoch { is_durable: false }, false, [AGAIN, AGAIN, ANEW, ANEW]),
            (Found::NewEpoch { is_durable: false }, true, [UNKNOWN, AGAIN, UNKNOWN, UNKNOWN]),
            (Found::OtherDomain, false, [AGAIN, AGAIN, ANEW, ANEW]),
            (Found::OtherDomain, true, [UNKNOWN, AGAIN, UNKNOWN, UNKNOWN]),
        ];
        for (found, earlier, expected) in table {
            let next = SEMANTICS.map(|semantics| reconnected(semantics, found, earlier));
            assert_eq!(next, expected, "{found:?}, earlier: {earlier}");
        }
    }

    #[test]
    fn the_server_can_push_back_and_the_deadline_bounds_all() {
        let ms = Duration::from_millis;
        assert_eq!(wait(ms(5), ms(0), None), Some(ms(5)));
        assert_eq!(wait(ms(5), ms(50), None), Some(ms(50)));
        assert_eq!(wait(ms(5), ms(50), Some(ms(51))), Some(ms(50)));
        assert_eq!(wait(ms(5), ms(50), Some(ms(50))), None);
    }
}
