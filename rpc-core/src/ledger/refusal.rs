//! Why a call does not run.

use crate::{fault::Fault, wire::FaultCode};

/// Why a ledger does not let a call run. All but [`Refusal::Later`] are final: asking again changes
/// nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// Its number is of another domain.
    WrongDomain,
    /// Its number is of another life of this server, which remembers nothing of it.
    WrongEpoch,
    /// Its session has ended.
    Expired,
    /// There has been no such session.
    Unknown,
    /// Its sender does not know the session's secret, or is somebody else.
    NotYours,
    /// A newer incarnation of its sender has taken over.
    Fenced,
    /// It was given up: it is not above the floor.
    Stale,
    /// Its number is that of another call.
    Misuse,
    /// Not now; nothing is remembered of it.
    Later(Later),
}

/// Why a call may be let run later.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Later {
    /// The session's time is over, though it has not ended yet.
    LeaseOver,
    /// The server is shutting down.
    Draining,
    /// The server has too much to do.
    Overloaded,
    /// Too many calls of the session have not been acknowledged.
    Window,
    /// Too many bytes of answers have not been acknowledged.
    Full,
    /// There are too many sessions.
    Sessions,
    /// That the call was given up is being recorded.
    Settling,
}

impl Refusal {
    /// Whether asking again changes nothing.
    pub const fn is_final(self) -> bool {
        !matches!(self, Refusal::Later(_))
    }

    /// The code of the fault that says so.
    pub const fn fault_code(self) -> FaultCode {
        match self {
            Refusal::WrongDomain => FaultCode::WrongDomain,
            Refusal::WrongEpoch => FaultCode::WrongEpoch,
            Refusal::Expired => FaultCode::SessionExpired,
            Refusal::Unknown => FaultCode::SessionUnknown,
            Refusal::NotYours => FaultCode::NotYours,
            Refusal::Fenced => FaultCode::Fenced,
            Refusal::Stale => FaultCode::Stale,
            Refusal::Misuse => FaultCode::XidMisuse,
            Refusal::Later(_) => FaultCode::AskAgain,
        }
    }

    /// The fault that says so.
    pub fn fault(self) -> Fault {
        let text = match self {
            Refusal::WrongDomain => {
                "the call's session is of another ledger: the server has restarted and its ledger is volatile, or \
                 this is another server"
            }
            Refusal::WrongEpoch => {
                "the server has restarted since and remembers nothing of the call (its ledger is volatile)"
            }
            Refusal::Expired => "the call's session has ended",
            Refusal::Unknown => "the call's session was never opened here",
            Refusal::NotYours => "the call's session belongs to somebody else",
            Refusal::Fenced => {
                "another incarnation of this client has resumed the session, and this one is shut out"
            }
            Refusal::Stale => {
                "the call was acknowledged or given up before, and never begins any more"
            }
            Refusal::Misuse => {
                "the call's number was used before, by a call with another method or other arguments"
            }
            Refusal::Later(later) => match later {
                Later::LeaseOver => "the session's time is over: ask again, or open another",
                Later::Draining => "the server is shutting down: ask again",
                Later::Overloaded => "the server has too much to do: ask again later",
                Later::Window => {
                    "too many calls of the session are not acknowledged: ask again later"
                }
                Later::Full => {
                    "the ledger is full of answers that nobody has acknowledged: ask again later"
                }
                Later::Sessions => "the ledger has too many sessions: ask again later",
                Later::Settling => "the call was given up, which is being recorded: ask again",
            },
        };
        Fault::with_code(self.fault_code(), text)
    }
}
