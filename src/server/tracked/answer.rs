//! Frames that answer stamped calls: each says how its session stands.

use bytes::Bytes;
use netrpc_core::{
    Fault,
    fault::FaultCode,
    ledger::{Answer, Outcome},
    semantics::Standing,
    wire::{self, Kind},
};

use super::super::answer::{Reply, write_fault};

/// Bytes that a standing takes in a head.
const STANDING: u32 = 3 + 65;

/// What a handler has given, as the ledger keeps it; a reply that is no answer becomes a fault.
pub(super) fn of(outcome: Result<Reply, Fault>, max_frame: u32) -> (Answer, Result<(), Fault>) {
    match outcome.and_then(|reply| of_reply(reply, max_frame)) {
        Ok(answer) => (answer, Ok(())),
        Err(fault) => (of_fault(&fault, max_frame), Err(fault)),
    }
}

fn of_reply(reply: Reply, max_frame: u32) -> Result<Answer, Fault> {
    let Reply { reply, metadata, .. } = reply;
    let mut head = Vec::new();
    wire::write_reply_head(&mut head, &metadata)
        .map_err(|error| Fault::with_code(FaultCode::BadReply, error.to_string()))?;
    let mut body = Bytes::from(reply.into_bytes());
    // The room for a header, which every connection has its own of.
    bytes::Buf::advance(&mut body, wire::HEADER_LEN);
    let answer = Answer { is_fault: false, head: head.into(), body };
    let length = answer.len() + STANDING as usize;
    if length > max_frame as usize {
        let text = format!(
            "it has {length} bytes, the server's limit is {max_frame} (ServerBuilder::max_frame)"
        );
        return Err(Fault::with_code(FaultCode::ReplyTooLarge, text));
    }
    Ok(answer)
}

/// A fault as the ledger keeps it.
pub(super) fn of_fault(fault: &Fault, max_frame: u32) -> Answer {
    let mut frame = Vec::new();
    write_fault(&mut frame, 0, fault, max_frame.saturating_sub(STANDING));
    let mut body = Bytes::from(frame);
    bytes::Buf::advance(&mut body, wire::HEADER_LEN);
    Answer { is_fault: true, head: Bytes::new(), body }
}

/// Writes what call `seq` has come to.
pub(super) fn outcome(
    out: &mut Vec<u8>,
    seq: u64,
    outcome: &Outcome,
    standing: &Standing,
    max_frame: u32,
) {
    let (code, text) = match outcome {
        Outcome::Answer(Answer { is_fault, head, body }) => {
            let kind = if *is_fault { Kind::Fault } else { Kind::Reply };
            let start = wire::begin(out);
            out.extend_from_slice(head);
            let head_len = head.len() as u16 + wire::write_standing(out, standing);
            out.extend_from_slice(body);
            match wire::finish(out, start, kind, head_len, seq, max_frame) {
                Ok(()) => return,
                // The limit was larger when the call ran.
                Err(too_large) => (FaultCode::ReplyTooLarge, too_large.to_string()),
            }
        }
        Outcome::Dropped => {
            let text =
                "the call ran, and its reply was too large to be kept (Ledger::max_kept_reply)";
            (FaultCode::ReplyDropped, text.to_owned())
        }
        Outcome::Unknown => {
            let text = "the call was interrupted, and nobody can tell how far it had come";
            (FaultCode::OutcomeUnknown, text.to_owned())
        }
    };
    fault(out, seq, &Fault::with_code(code, text), standing, max_frame);
}

/// Writes the fault that answers call `seq`.
pub(super) fn fault(
    out: &mut Vec<u8>,
    seq: u64,
    fault: &Fault,
    standing: &Standing,
    max_frame: u32,
) {
    let said = (fault.code(), fault.message(), fault.detail_bytes());
    wire::write_fault_standing(out, seq, said, max_frame, standing);
}

/// To one who asked about a call that runs, and whom its outcome will not reach.
pub(super) fn pending() -> Fault {
    Fault::with_code(FaultCode::Pending, "the call has no outcome yet: ask again")
}

/// To one who asked for a session that somebody else has resumed meanwhile, or that has ended.
pub(super) fn superseded() -> Fault {
    let text = "the session was resumed by somebody else, or has ended, before this was granted";
    Fault::with_code(FaultCode::Fenced, text)
}
