//! Short names of what ended a call or a connection: for labels of metrics and fields of spans.
//!
//! A name is for programs and never changes; the texts are for people and may.

use crate::{
    error::{Disconnected, Error, Refusal},
    fault::FaultCode,
    wire::Foreign,
};

// Without a `_` arm anywhere here, so that whoever adds a variant names it.

impl FaultCode {
    /// A short name: `unknown_method`. Those a version does not know are all `other`.
    pub const fn kind(self) -> &'static str {
        match self {
            FaultCode::Method => "method",
            FaultCode::IllFormed => "ill_formed",
            FaultCode::UnknownService => "unknown_service",
            FaultCode::UnknownMethod => "unknown_method",
            FaultCode::BadArguments => "bad_arguments",
            FaultCode::BadReply => "bad_reply",
            FaultCode::Panicked => "panicked",
            FaultCode::Expired => "expired",
            FaultCode::DeadlineExceeded => "deadline_exceeded",
            FaultCode::Cancelled => "cancelled",
            FaultCode::Overloaded => "overloaded",
            FaultCode::ShuttingDown => "shutting_down",
            FaultCode::Unsupported => "unsupported",
            FaultCode::ReplyTooLarge => "reply_too_large",
            FaultCode::RequestTooLarge => "request_too_large",
            FaultCode::Unauthenticated => "unauthenticated",
            FaultCode::Denied => "denied",
            FaultCode::Failed => "failed",
            FaultCode::WrongDomain => "wrong_domain",
            FaultCode::WrongEpoch => "wrong_epoch",
            FaultCode::SessionExpired => "session_expired",
            FaultCode::SessionUnknown => "session_unknown",
            FaultCode::Fenced => "fenced",
            FaultCode::Stale => "stale",
            FaultCode::XidMisuse => "xid_misuse",
            FaultCode::NotYours => "not_yours",
            FaultCode::Pending => "pending",
            FaultCode::OutcomeUnknown => "outcome_unknown",
            FaultCode::ReplyDropped => "reply_dropped",
            FaultCode::AskAgain => "ask_again",
            FaultCode::Other(_) => "other",
        }
    }
}

impl Refusal {
    /// A short name, that of the [`FaultCode`] it came with: `unknown_method`.
    pub const fn kind(self) -> &'static str {
        let code = match self {
            Refusal::IllFormed => FaultCode::IllFormed,
            Refusal::UnknownService => FaultCode::UnknownService,
            Refusal::UnknownMethod => FaultCode::UnknownMethod,
            Refusal::BadArguments => FaultCode::BadArguments,
            Refusal::TooLarge => FaultCode::RequestTooLarge,
            Refusal::Overloaded => FaultCode::Overloaded,
            Refusal::ShuttingDown => FaultCode::ShuttingDown,
            Refusal::Unsupported => FaultCode::Unsupported,
            Refusal::Unauthenticated => FaultCode::Unauthenticated,
            Refusal::Denied => FaultCode::Denied,
            Refusal::AskAgain => FaultCode::AskAgain,
            Refusal::Fenced => FaultCode::Fenced,
            Refusal::NotYours => FaultCode::NotYours,
        };
        code.kind()
    }
}

impl Error {
    /// A short name for logs and metrics: `deadline_exceeded`. Where the server has said why, it is
    /// that of its [`FaultCode`].
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Method(fault) => fault.code().kind(),
            Error::Panicked(_) => FaultCode::Panicked.kind(),
            Error::Refused { refusal, .. } => refusal.kind(),
            Error::ReplyLost(_) => "reply_lost",
            Error::OutcomeUnknown(fault) => fault.code().kind(),
            Error::Encode(_) => "encode",
            Error::TooLarge(_) => "too_large",
            Error::Decode(_) => "decode",
            Error::Deadline { may_have_run: false } => FaultCode::Expired.kind(),
            Error::Deadline { may_have_run: true } => FaultCode::DeadlineExceeded.kind(),
            Error::Cancelled(_) => FaultCode::Cancelled.kind(),
            Error::Layer { .. } => "layer",
            Error::Log { .. } => "log",
            Error::Server(_) => FaultCode::Failed.kind(),
            Error::QueueFull { .. } => "queue_full",
            Error::TooManyCalls { .. } => "too_many_calls",
            Error::TooMuchUnread { .. } => "too_much_unread",
            Error::Shutdown { .. } => "shutdown",
            Error::Connect { .. } => "connect",
        }
    }
}

impl Disconnected {
    /// A short name for logs and metrics: `not_reading`.
    pub fn kind(&self) -> &'static str {
        match self {
            Disconnected::Closed => "closed",
            Disconnected::Eof => "eof",
            Disconnected::Unreachable { .. } => "unreachable",
            Disconnected::Io(_) => "io",
            Disconnected::GoAway { .. } => "go_away",
            Disconnected::NotNetrpc(peer) if peer.guess() == Foreign::Tls => "tls",
            Disconnected::NotNetrpc(_) => "not_netrpc",
            Disconnected::Unacceptable(_) => "unacceptable",
            Disconnected::Protocol(_) | Disconnected::Foreign(_) => "protocol",
            Disconnected::Disabled(_) => "disabled",
            Disconnected::HttpRefused => "http_refused",
            Disconnected::Refused(_) => "refused",
            Disconnected::SeqInUse(_) => "seq_in_use",
            Disconnected::TooManyConnections { .. } => "too_many_connections",
            Disconnected::NotEncrypted => "not_encrypted",
            Disconnected::Tls(_) => "tls_handshake",
            Disconnected::Handshake(_) => "handshake",
            Disconnected::NotReading(_) => "not_reading",
            Disconnected::Slow(_) => "slow",
            Disconnected::Silent(_) => "silent",
            Disconnected::TooFast(_) => "too_fast",
            Disconnected::Aged(_) => "aged",
            Disconnected::Runtime => "runtime",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fault;

    #[test]
    fn both_sides_name_what_the_server_has_said_alike() {
        for number in 1..100 {
            let code = FaultCode::from_u16(number);
            let error = Error::from_fault(Fault::with_code(code, "text"));
            let lost = matches!(
                code,
                FaultCode::BadReply | FaultCode::ReplyTooLarge | FaultCode::ReplyDropped
            );
            assert_eq!(error.kind(), if lost { "reply_lost" } else { code.kind() });
        }
    }
}
