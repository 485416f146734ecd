//! What a fault says.

use super::{Kind, MalformedBody, begin, finish, notice, write_standing};
use crate::semantics::Standing;

/// Why a call ended without a reply.
///
/// [`may_have_run`](Self::may_have_run) answers the caller's real question.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum FaultCode {
    /// 1: the method ran and returned an error.
    Method,
    /// 2: the request was not well formed: a bad head, or a name that is not `Service.Method`.
    IllFormed,
    /// 3: there is no such service.
    UnknownService,
    /// 4: the service has no such method.
    UnknownMethod,
    /// 5: the arguments could not be decoded.
    BadArguments,
    /// 6: the method ran, but its reply could not be encoded.
    BadReply,
    /// 7: the method panicked.
    Panicked,
    /// 8: the deadline was over before the method began; it did not run.
    Expired,
    /// 9: the deadline was over while the method ran.
    DeadlineExceeded,
    /// 10: the caller cancelled the call.
    Cancelled,
    /// 11: the server had too much to do; the method did not run, ask again later.
    Overloaded,
    /// 12: the server is shutting down; the method did not run.
    ShuttingDown,
    /// 13: the request asked for something this version does not know; the method did not run.
    Unsupported,
    /// 14: the method ran, but its reply is over the limit.
    ReplyTooLarge,
    /// 15: the request is over the limit; the method did not run.
    RequestTooLarge,
    /// 16: the server does not know who calls; the method did not run.
    Unauthenticated,
    /// 17: the caller may not make this call; the method did not run.
    Denied,
    /// 18: the server failed outside of the method, before, after or around it.
    Failed,
    /// 32: the call's session is of another domain; this request did not run.
    WrongDomain,
    /// 33: the server has restarted and remembers nothing; this request did not run.
    WrongEpoch,
    /// 34: the call's session has ended; this request did not run.
    SessionExpired,
    /// 35: the call's session was never opened here; this request did not run.
    SessionUnknown,
    /// 36: a newer incarnation of the client has taken over; this request did not run.
    Fenced,
    /// 37: the call was acknowledged or given up before; this request did not run, and none about it will.
    Stale,
    /// 38: the call's number is that of another call; this request did not run.
    XidMisuse,
    /// 39: the call's session belongs to somebody else; this request did not run.
    NotYours,
    /// 40: the call runs, and its outcome can be asked for.
    Pending,
    /// 41: the call was interrupted by a crash, and nobody can tell how far it had come.
    OutcomeUnknown,
    /// 42: the call ran and was answered, and the answer was not kept.
    ReplyDropped,
    /// 43: the ledger cannot take the call now; it did not run, ask again with the same number.
    AskAgain,
    /// A number that this version has no name for, as it came; never one of the above
    /// ([`from_u16`](Self::from_u16) sees to that).
    Other(u16),
}

impl FaultCode {
    /// The code with this number.
    pub const fn from_u16(number: u16) -> FaultCode {
        match number {
            1 => FaultCode::Method,
            2 => FaultCode::IllFormed,
            3 => FaultCode::UnknownService,
            4 => FaultCode::UnknownMethod,
            5 => FaultCode::BadArguments,
            6 => FaultCode::BadReply,
            7 => FaultCode::Panicked,
            8 => FaultCode::Expired,
            9 => FaultCode::DeadlineExceeded,
            10 => FaultCode::Cancelled,
            11 => FaultCode::Overloaded,
            12 => FaultCode::ShuttingDown,
            13 => FaultCode::Unsupported,
            14 => FaultCode::ReplyTooLarge,
            15 => FaultCode::RequestTooLarge,
            16 => FaultCode::Unauthenticated,
            17 => FaultCode::Denied,
            18 => FaultCode::Failed,
            32 => FaultCode::WrongDomain,
            33 => FaultCode::WrongEpoch,
            34 => FaultCode::SessionExpired,
            35 => FaultCode::SessionUnknown,
            36 => FaultCode::Fenced,
            37 => FaultCode::Stale,
            38 => FaultCode::XidMisuse,
            39 => FaultCode::NotYours,
            40 => FaultCode::Pending,
            41 => FaultCode::OutcomeUnknown,
            42 => FaultCode::ReplyDropped,
            43 => FaultCode::AskAgain,
            other => FaultCode::Other(other),
        }
    }

    /// Its number on the wire.
    pub const fn to_u16(self) -> u16 {
        match self {
            FaultCode::Method => 1,
            FaultCode::IllFormed => 2,
            FaultCode::UnknownService => 3,
            FaultCode::UnknownMethod => 4,
            FaultCode::BadArguments => 5,
            FaultCode::BadReply => 6,
            FaultCode::Panicked => 7,
            FaultCode::Expired => 8,
            FaultCode::DeadlineExceeded => 9,
            FaultCode::Cancelled => 10,
            FaultCode::Overloaded => 11,
            FaultCode::ShuttingDown => 12,
            FaultCode::Unsupported => 13,
            FaultCode::ReplyTooLarge => 14,
            FaultCode::RequestTooLarge => 15,
            FaultCode::Unauthenticated => 16,
            FaultCode::Denied => 17,
            FaultCode::Failed => 18,
            FaultCode::WrongDomain => 32,
            FaultCode::WrongEpoch => 33,
            FaultCode::SessionExpired => 34,
            FaultCode::SessionUnknown => 35,
            FaultCode::Fenced => 36,
            FaultCode::Stale => 37,
            FaultCode::XidMisuse => 38,
            FaultCode::NotYours => 39,
            FaultCode::Pending => 40,
            FaultCode::OutcomeUnknown => 41,
            FaultCode::ReplyDropped => 42,
            FaultCode::AskAgain => 43,
            FaultCode::Other(other) => other,
        }
    }

    /// Whether the method may have begun to run: `false` is a promise, `true` an admission.
    pub const fn may_have_run(self) -> bool {
        match self {
            FaultCode::Method
            | FaultCode::BadReply
            | FaultCode::Panicked
            | FaultCode::DeadlineExceeded
            | FaultCode::Cancelled
            | FaultCode::ReplyTooLarge
            | FaultCode::Failed
            | FaultCode::Pending
            | FaultCode::OutcomeUnknown
            | FaultCode::ReplyDropped
            | FaultCode::Other(_) => true,
            FaultCode::IllFormed
            | FaultCode::UnknownService
            | FaultCode::UnknownMethod
            | FaultCode::BadArguments
            | FaultCode::Expired
            | FaultCode::Overloaded
            | FaultCode::ShuttingDown
            | FaultCode::Unsupported
            | FaultCode::RequestTooLarge
            | FaultCode::Unauthenticated
            | FaultCode::Denied
            | FaultCode::WrongDomain
            | FaultCode::WrongEpoch
            | FaultCode::SessionExpired
            | FaultCode::SessionUnknown
            | FaultCode::Fenced
            | FaultCode::Stale
            | FaultCode::XidMisuse
            | FaultCode::NotYours
            | FaultCode::AskAgain => false,
        }
    }
}

/// The body of a fault frame, borrowed from it (`[fault.layout]`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultBody<'a> {
    /// Why.
    pub code: FaultCode,
    /// Why, for people.
    pub message: &'a str,
    /// Why, for programs: an encoded value, or empty.
    pub detail: &'a [u8],
}

impl<'a> FaultBody<'a> {
    /// Reads a fault frame's body.
    ///
    /// # Errors
    ///
    /// If the body does not follow the layout. The call it is about has ended all the same.
    pub fn parse(body: &'a [u8]) -> Result<FaultBody<'a>, MalformedBody> {
        let (code, message, detail) = notice::parse(body)?;
        Ok(FaultBody { code: FaultCode::from_u16(code), message, detail })
    }
}

/// Writes a fault frame for the call `seq`, of at most `max_frame` bytes of payload.
///
/// It always succeeds, because it is what a call is answered with when nothing else can be: a
/// message over [`MAX_MESSAGE`](super::MAX_MESSAGE) is cut, and a `detail` that does not fit the
/// frame is left out (`[fault.fit]`). A limit below 64 bytes counts as 64.
///
/// ```
/// use bytes::BytesMut;
/// use netrpc_core::wire::{self, FaultBody, FaultCode, FrameDecoder, Incoming};
///
/// let mut out = Vec::new();
/// wire::write_fault(&mut out, 7, FaultCode::Expired, "25 ms too late", b"", 1 << 20);
///
/// let mut arrived = BytesMut::from(&out[..]);
/// let Some(Incoming::Frame(frame)) = FrameDecoder::new(1 << 20).next(&mut arrived)? else { panic!() };
/// let fault = FaultBody::parse(frame.body_slice())?;
/// assert_eq!((frame.seq, fault.code, fault.message), (7, FaultCode::Expired, "25 ms too late"));
/// assert!(!fault.code.may_have_run());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_fault(
    out: &mut Vec<u8>,
    seq: u64,
    code: FaultCode,
    message: &str,
    detail: &[u8],
    max_frame: u32,
) {
    write(out, seq, (code, message, detail), max_frame, None);
}

/// As [`write_fault`], with what is said of the session of a stamped call.
///
/// A limit below 256 bytes counts as 256.
pub fn write_fault_standing(
    out: &mut Vec<u8>,
    seq: u64,
    (code, message, detail): (FaultCode, &str, &[u8]),
    max_frame: u32,
    standing: &Standing,
) {
    write(out, seq, (code, message, detail), max_frame.max(256), Some(standing));
}

fn write(
    out: &mut Vec<u8>,
    seq: u64,
    (code, message, detail): (FaultCode, &str, &[u8]),
    max_frame: u32,
    standing: Option<&Standing>,
) {
    const PREFIX: usize = 6;
    let max_frame = max_frame.max(64);
    let start = begin(out);
    let head_len = standing.map_or(0, |standing| write_standing(out, standing));
    let room = max_frame as usize - PREFIX - usize::from(head_len);
    notice::write(out, code.to_u16(), message, room);
    if detail.len() <= max_frame as usize - start.payload_len(out) {
        out.extend_from_slice(detail);
    }
    let written = finish(out, start, Kind::Fault, head_len, seq, max_frame);
    debug_assert_eq!(written, Ok(()));
}
