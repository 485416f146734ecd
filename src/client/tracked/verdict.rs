//! What an answer to a tracked call means for it.

use std::time::Duration;

use netrpc_core::{
    Error, Fault, Refusal,
    fault::FaultCode,
    semantics::{Standing, retry::Failure},
    wire::{FaultBody, Kind, ReplyHead},
};

use crate::client::shared::Answer;

/// What an answer says of the session of its call.
pub(super) fn standing(answer: &Answer) -> Option<Standing> {
    let Answer::Frame(frame) = answer else { return None };
    let head = ReplyHead::parse(frame.head()).ok()?;
    Some(head.standing?.decode())
}

/// Why the call has no outcome yet, if the answer is none.
pub(super) fn failure(answer: &Answer, standing: Option<&Standing>) -> Option<Failure> {
    let Answer::Frame(frame) = answer else { return None };
    if frame.kind != Kind::Fault {
        return None;
    }
    let code = FaultBody::parse(frame.body_slice()).ok()?.code;
    // A method can say of itself that it has too much to do: then that is its outcome.
    let is_final = standing.is_some_and(|standing| standing.is_final);
    match code {
        FaultCode::Overloaded | FaultCode::AskAgain if !is_final => Some(Failure::Later),
        FaultCode::ShuttingDown if !is_final => Some(Failure::NotSent),
        FaultCode::Pending => Some(Failure::Pending),
        FaultCode::WrongDomain | FaultCode::WrongEpoch => Some(Failure::Elsewhere),
        FaultCode::SessionExpired | FaultCode::SessionUnknown => Some(Failure::SessionGone),
        FaultCode::Fenced => Some(Failure::Fenced),
        FaultCode::Stale => Some(Failure::Stale),
        FaultCode::XidMisuse | FaultCode::NotYours => Some(Failure::Misused),
        FaultCode::OutcomeUnknown => Some(Failure::OutcomeUnknown),
        FaultCode::ReplyDropped => Some(Failure::ReplyDropped),
        _ => None,
    }
}

/// When it is worth asking again.
pub(super) fn retry_after(standing: Option<&Standing>) -> Duration {
    standing.map_or(Duration::ZERO, |standing| standing.retry_after)
}

/// The fault that an answer is.
pub(super) fn fault(answer: &Answer) -> Fault {
    let (code, message) = match answer {
        Answer::Frame(frame) => FaultBody::parse(frame.body_slice())
            .map_or((FaultCode::OutcomeUnknown, ""), |fault| (fault.code, fault.message)),
        _ => (FaultCode::OutcomeUnknown, ""),
    };
    Fault::with_code(code, message)
}

/// The error of a call that is given up because of this answer.
pub(super) fn error(answer: &Answer, failure: Failure, may_have_run: bool) -> Error {
    error_of(fault(answer), failure, may_have_run)
}

/// The same for a call whose session is over, as others have found out.
pub(super) fn session_gone(may_have_run: bool) -> Error {
    let text = "the call's session is over, or its server has lost its memory";
    error_of(Fault::with_code(FaultCode::SessionExpired, text), Failure::SessionGone, may_have_run)
}

fn error_of(fault: Fault, failure: Failure, may_have_run: bool) -> Error {
    if may_have_run {
        return match failure {
            Failure::ReplyDropped => Error::ReplyLost(fault.message().to_owned()),
            _ => Error::OutcomeUnknown(fault),
        };
    }
    let refusal = match failure {
        Failure::Fenced => Refusal::Fenced,
        _ => Refusal::NotYours,
    };
    Error::Refused { refusal, message: fault.message().to_owned() }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use netrpc_core::{
        semantics::{Domain, Epoch, SessionId, Xid},
        wire::{self, FrameDecoder, Incoming},
    };

    use super::*;

    fn answer(code: FaultCode, is_final: Option<bool>) -> Answer {
        let mut out = Vec::new();
        let fault = (code, "why", &b""[..]);
        match is_final {
            None => wire::write_fault(&mut out, 1, code, "why", b"", 1 << 20),
            Some(is_final) => {
                let standing = Standing {
                    xid: Xid { domain: Domain(1), session: SessionId(1), seq: 1 },
                    epoch: Epoch(1),
                    floor: 0,
                    lease_left: Duration::ZERO,
                    retry_after: Duration::from_millis(7),
                    is_final,
                    is_replayed: false,
                };
                wire::write_fault_standing(&mut out, 1, fault, 1 << 20, &standing);
            }
        }
        let next = FrameDecoder::new(1 << 20).next(&mut BytesMut::from(&out[..]));
        let Ok(Some(Incoming::Frame(frame))) = next else { panic!("a whole frame") };
        Answer::Frame(frame)
    }

    fn judged(code: FaultCode, is_final: Option<bool>) -> Option<Failure> {
        let answer = answer(code, is_final);
        failure(&answer, standing(&answer).as_ref())
    }

    /// Every fault that a server of today sends.
    #[test]
    fn every_fault_is_an_outcome_or_says_why_there_is_none() {
        for number in 1..64 {
            let code = FaultCode::from_u16(number);
            let expected = match number {
                11 | 43 => Some(Failure::Later),
                12 => Some(Failure::NotSent),
                32 | 33 => Some(Failure::Elsewhere),
                34 | 35 => Some(Failure::SessionGone),
                36 => Some(Failure::Fenced),
                37 => Some(Failure::Stale),
                38 | 39 => Some(Failure::Misused),
                40 => Some(Failure::Pending),
                41 => Some(Failure::OutcomeUnknown),
                42 => Some(Failure::ReplyDropped),
                _ => None,
            };
            assert_eq!(judged(code, None), expected, "{code:?}");
            assert_eq!(judged(code, Some(false)), expected, "{code:?}");
        }
    }

    #[test]
    fn what_a_method_says_of_itself_is_its_outcome() {
        for code in [FaultCode::Overloaded, FaultCode::ShuttingDown] {
            assert_eq!(judged(code, Some(true)), None, "{code:?}");
        }
    }

    #[test]
    fn the_errors_promise_what_is_so() {
        for failure in Failure::ALL {
            for may_have_run in [false, true] {
                let error = error(&answer(FaultCode::Fenced, None), failure, may_have_run);
                assert_eq!(error.may_have_run(), may_have_run, "{failure:?}");
                assert!(error.to_string().contains("why"), "{error}");
            }
        }
        assert_eq!(
            retry_after(standing(&answer(FaultCode::AskAgain, Some(false))).as_ref()).as_millis(),
            7
        );
    }
}
