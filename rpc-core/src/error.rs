//! What can go wrong with a call, and who is to blame.

use std::{fmt, io, sync::Arc, time::Duration};

use serde::de::DeserializeOwned;

use crate::{
    codec::{DecodeError, EncodeError},
    dialect::{DialectError, Protocol},
    fault::{Fault, FaultCode},
    rate::Excess,
    wire::{GoAwayCode, NotNetrpc, Unacceptable, WireError},
};

/// Why a call has no reply.
///
/// The variants say who is to blame; [`may_have_run`](Self::may_have_run) answers the question a
/// caller really has. `Display` prints one level, [`source`](std::error::Error::source) the next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
// A whole word says which it is, so that a `Result` is moved in words. Behind a tag of one byte it would be moved
// in odd pieces, which have to wait for what was stored just before: 5 % of a client's time.
#[repr(u64)]
pub enum Error {
    /// The method ran and returned this error.
    #[error("{0}")]
    Method(Fault),

    /// The method panicked; the server goes on.
    #[error("the method panicked: {0}")]
    Panicked(String),

    /// The server refused the call before running it.
    #[error("{message}")]
    Refused {
        /// Why.
        refusal: Refusal,
        /// The server's text; the same as Go's where Go has one.
        message: String,
    },

    /// The method ran, but the server could not send its reply: it cannot be encoded, or is longer
    /// than one of the two sides allows.
    #[error("the reply was lost: {0}")]
    ReplyLost(String),

    /// What became of the call is not known, and asking again would not tell: it was interrupted by a
    /// crash, or the server that knew has forgotten it.
    #[error("the outcome of the call is unknown: {0}")]
    OutcomeUnknown(Fault),

    /// The arguments cannot be encoded; nothing was sent.
    #[error("the arguments cannot be encoded")]
    Encode(#[source] EncodeError),

    /// The call does not fit into a request; nothing was sent.
    #[error("the call does not fit into a request: {0}")]
    TooLarge(String),

    /// The method ran and replied, but the reply is not of the type asked for.
    #[error("the reply is of another type than asked for")]
    Decode(#[source] DecodeError),

    /// The call's deadline passed first.
    #[error("the deadline passed before the reply came")]
    Deadline {
        /// Whether the request had left for the server.
        may_have_run: bool,
    },

    /// The server gave the call up while it ran.
    #[error("the server cancelled the call: {0}")]
    Cancelled(String),

    /// A layer of this client ended the call.
    #[error("a layer of the client ended the call")]
    Layer {
        /// Whether something was sent that may have run.
        may_have_run: bool,
        /// The layer's error.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The server failed outside of the method: in one of its layers, say.
    #[error("the server failed: {0}")]
    Server(String),

    /// Too much is waiting to be sent on this connection; nothing was sent.
    #[error("{queued} bytes already wait to be sent on this connection, its limit is {limit}")]
    QueueFull {
        /// Bytes that wait.
        queued: usize,
        /// The connection's limit in bytes.
        limit: usize,
    },

    /// Too many calls are under way on this connection; nothing was sent.
    #[error("{in_flight} calls are under way on this connection, its limit is {limit}")]
    TooManyCalls {
        /// Calls that are not answered, or whose answer nobody has taken.
        in_flight: usize,
        /// The connection's limit.
        limit: usize,
    },

    /// Too many replies lie unread because nobody awaits their calls; nothing was sent.
    #[error("{bytes} bytes of replies wait for calls that nobody awaits, the limit is {limit}")]
    TooMuchUnread {
        /// Bytes of replies.
        bytes: usize,
        /// The connection's limit.
        limit: usize,
    },

    /// The connection ended before the reply came, or before the call was made.
    #[error("connection is shut down")]
    Shutdown {
        /// Whether the whole request had left for the server.
        may_have_run: bool,
        /// What ended the connection.
        #[source]
        cause: Arc<Disconnected>,
    },

    /// The client's log, which calls that run exactly once are written to before they are sent, cannot be used.
    #[error("the client's log cannot be used")]
    Log {
        /// Whether the call was written to it, as far as is known: then it is sent when the log is opened again.
        may_have_run: bool,
        /// What is wrong with it.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },

    /// No connection could be made.
    #[error("cannot connect to {addr}")]
    Connect {
        /// Where to.
        addr: String,
        /// The operating system's answer.
        #[source]
        cause: io::Error,
    },
}

impl Error {
    /// Whether the method may have run, wholly or in part: `false` is a promise, `true` an admission.
    pub fn may_have_run(&self) -> bool {
        match self {
            Error::Method(_)
            | Error::Panicked(_)
            | Error::ReplyLost(_)
            | Error::OutcomeUnknown(_)
            | Error::Decode(_)
            | Error::Cancelled(_)
            | Error::Server(_) => true,
            Error::Refused { .. }
            | Error::Encode(_)
            | Error::TooLarge(_)
            | Error::QueueFull { .. }
            | Error::TooManyCalls { .. }
            | Error::TooMuchUnread { .. }
            | Error::Connect { .. } => false,
            Error::Deadline { may_have_run }
            | Error::Layer { may_have_run, .. }
            | Error::Log { may_have_run, .. }
            | Error::Shutdown { may_have_run, .. } => *may_have_run,
        }
    }

    /// The fault a method returned, with its detail; `None` if the error is of another kind.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Error::Method(fault) => Some(fault),
            _ => None,
        }
    }

    /// The typed detail of the fault a method returned; `None` if there is none, or not a `T`.
    pub fn detail<T: DeserializeOwned>(&self) -> Option<T> {
        self.fault().and_then(|fault| fault.detail().ok().flatten())
    }

    /// Prints the error with all its causes in one line, where `Display` prints only the first.
    pub fn chain(&self) -> impl fmt::Display + '_ {
        chain(self)
    }

    /// A server's fault as its caller sees it.
    pub fn from_fault(fault: Fault) -> Self {
        let refused =
            |refusal, fault: Fault| Error::Refused { refusal, message: fault.message().to_owned() };
        match fault.code() {
            FaultCode::Method => Error::Method(fault),
            FaultCode::Panicked => Error::Panicked(fault.message().to_owned()),
            FaultCode::IllFormed => refused(Refusal::IllFormed, fault),
            FaultCode::UnknownService => refused(Refusal::UnknownService, fault),
            FaultCode::UnknownMethod => refused(Refusal::UnknownMethod, fault),
            FaultCode::BadArguments => refused(Refusal::BadArguments, fault),
            FaultCode::Overloaded => refused(Refusal::Overloaded, fault),
            FaultCode::ShuttingDown => refused(Refusal::ShuttingDown, fault),
            FaultCode::Unsupported => refused(Refusal::Unsupported, fault),
            FaultCode::RequestTooLarge => refused(Refusal::TooLarge, fault),
            FaultCode::Unauthenticated => refused(Refusal::Unauthenticated, fault),
            FaultCode::Denied => refused(Refusal::Denied, fault),
            FaultCode::Expired => Error::Deadline { may_have_run: false },
            FaultCode::DeadlineExceeded => Error::Deadline { may_have_run: true },
            FaultCode::BadReply | FaultCode::ReplyTooLarge | FaultCode::ReplyDropped => {
                Error::ReplyLost(fault.message().to_owned())
            }
            FaultCode::Cancelled => Error::Cancelled(fault.message().to_owned()),
            FaultCode::Failed => Error::Server(fault.message().to_owned()),
            FaultCode::AskAgain => refused(Refusal::AskAgain, fault),
            // This request did not run; whether an earlier one about the call did, is not said.
            FaultCode::WrongDomain
            | FaultCode::WrongEpoch
            | FaultCode::SessionExpired
            | FaultCode::SessionUnknown
            | FaultCode::Fenced
            | FaultCode::Stale
            | FaultCode::XidMisuse
            | FaultCode::NotYours
            | FaultCode::Pending
            | FaultCode::OutcomeUnknown => Error::OutcomeUnknown(fault),
            // A server newer than this client: all that is known is its text.
            FaultCode::Other(_) => Error::Method(fault),
        }
    }
}

/// Why a server refused a call; it has not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The name has no dot between service and method.
    IllFormed,
    /// There is no such service.
    UnknownService,
    /// The service has no such method.
    UnknownMethod,
    /// The arguments are not what the method takes.
    BadArguments,
    /// The request is longer than the server allows.
    TooLarge,
    /// The server has too much to do; another try later may succeed.
    Overloaded,
    /// The server is shutting down; another server may take the call.
    ShuttingDown,
    /// The request asks for something this server does not know.
    Unsupported,
    /// The server does not know who calls, and wants to.
    Unauthenticated,
    /// Whoever calls may not make this call.
    Denied,
    /// The server's ledger, which keeps calls from running twice, could not take this one; another try
    /// later may succeed.
    AskAgain,
    /// Another process goes on with this client's session, whose calls this one may not make any more.
    Fenced,
    /// The session that the call is made in is not this client's, or the call's number is another call's.
    NotYours,
}

/// What ended a connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Disconnected {
    /// This side closed it.
    #[error("this client closed the connection")]
    Closed,
    /// The peer closed it, in mid-call as Go says: `unexpected EOF`.
    #[error("unexpected EOF: the peer closed the connection")]
    Eof,
    /// A client that connects by itself could not, when it last tried.
    #[error("cannot connect to {addr}")]
    Unreachable {
        /// Where to.
        addr: String,
        /// The operating system's answer.
        #[source]
        cause: io::Error,
    },
    /// The operating system reported an error.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The peer said that it closes the connection, and why.
    #[error("the peer ended the connection: {message}")]
    GoAway {
        /// The reason as a number.
        code: GoAwayCode,
        /// The reason in words.
        message: String,
    },
    /// The peer does not speak netrpc at all.
    #[error(transparent)]
    NotNetrpc(#[from] NotNetrpc),
    /// The peer speaks another version of netrpc, or encodes bodies in another way.
    #[error(transparent)]
    Unacceptable(#[from] Unacceptable),
    /// The peer broke the protocol, or bytes were corrupted on the way.
    #[error("the peer broke the protocol")]
    Protocol(#[from] WireError),
    /// A Go program broke its own protocol.
    #[error(transparent)]
    Foreign(#[from] DialectError),
    /// The peer speaks a protocol that this server's owner does not want.
    #[error("the peer speaks {0}, which this server does not (ServerBuilder::protocols)")]
    Disabled(Protocol),
    /// The peer asked for something else over HTTP than a connection for calls.
    #[error("the peer's HTTP request was refused")]
    HttpRefused,
    /// This server's owner does not want the peer, for this reason.
    #[error("the peer was refused: {0}")]
    Refused(String),
    /// The peer gave a call the number of one that has not been answered yet.
    #[error("the peer used sequence number {0} again before its call was answered")]
    SeqInUse(u64),
    /// There was no room for the connection.
    #[error(
        "{} too many connections, the server's limit is {limit} ({})",
        if *.of_peer { "this peer has" } else { "there are" },
        if *.of_peer { "ServerBuilder::max_connections_per_peer" } else { "ServerBuilder::max_connections" }
    )]
    TooManyConnections {
        /// How many there may be.
        limit: usize,
        /// Whether that is the limit of connections from one address.
        of_peer: bool,
    },
    /// The peer does not encrypt, and this server takes only connections that are.
    #[error("the peer does not use TLS, and this server takes nothing else")]
    NotEncrypted,
    /// The two sides could not agree on how to encrypt, or one has not proved who it is.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    /// The peer did not begin to speak in time.
    #[error("the peer sent no preface within {} s", .0.as_secs_f32())]
    Handshake(Duration),
    /// The peer did not read what was sent to it in time.
    #[error("the peer has not read anything for {} s", .0.as_secs_f32())]
    NotReading(Duration),
    /// The peer did not go on in time with something that it had begun to send.
    #[error("the peer has begun a message and then sent less than 4 KiB/s of it for {} s", .0.as_secs_f32())]
    Slow(Duration),
    /// The peer gave no sign of life, though it was asked for one.
    #[error("the peer gave no sign of life within {} s after it was asked for one", .0.as_secs_f32())]
    Silent(Duration),
    /// The peer did too much of something in too short a time.
    #[error("the peer sent too many {0} in too short a time")]
    TooFast(Excess),
    /// The connection was old, and the calls on it did not finish in time.
    #[error("the connection was old, and calls did not finish within {} s", .0.as_secs_f32())]
    Aged(Duration),
    /// The task that drove the connection is gone, with its runtime.
    #[error("the runtime that drove the connection has shut down")]
    Runtime,
}

impl Disconnected {
    /// Whether it is certain that no call made on the connection has run: the server has said so.
    pub fn nothing_ran(&self) -> bool {
        match self {
            Disconnected::GoAway { code, .. } => code.nothing_ran(),
            // A socket that is connected has no such error; TLS has, where the server does not like who
            // the client is and has read nothing else.
            Disconnected::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
            _ => false,
        }
    }
}

/// Prints an error with all its causes in one line: `connection is shut down: unexpected EOF: …`.
///
/// ```
/// # use netrpc_core::error::{chain, Disconnected, Error};
/// let error = Error::Shutdown { may_have_run: false, cause: Disconnected::Closed.into() };
/// assert_eq!(
///     chain(&error).to_string(),
///     "connection is shut down: this client closed the connection"
/// );
/// ```
pub fn chain<'a>(error: &'a (dyn std::error::Error + 'a)) -> impl fmt::Display + 'a {
    struct Chain<'a>(&'a (dyn std::error::Error + 'a));
    impl fmt::Display for Chain<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}", self.0)?;
            let mut next = self.0.source();
            while let Some(cause) = next {
                write!(f, ": {cause}")?;
                next = cause.source();
            }
            Ok(())
        }
    }
    Chain(error)
}
