//! An answer that does not fit into a datagram says so.

use crate::wire::{
    FaultBody, FaultCode, HEADER_LEN, Header, Kind, ReplyHead, write_fault, write_fault_standing,
};

/// Writes what is sent in the place of an answer that is too long for a datagram, in a frame of at most
/// `max_payload` bytes of payload (`[datagram.reply-too-large]`).
///
/// A reply becomes a fault that says how long it was, and a fault loses its detail and the end of its message.
/// What is said of the call's session stays. `begun` is the start of the frame; what follows may be
/// missing.
pub fn fit(out: &mut Vec<u8>, begun: &[u8], max_payload: u32) {
    let Some(header) = begun.first_chunk().map(Header::from_bytes) else { return };
    let payload = &begun[HEADER_LEN..];
    let (head, body) = payload.split_at(usize::from(header.head_len).min(payload.len()));
    let standing = ReplyHead::parse(head).ok().and_then(|head| head.standing);
    let length = header.length;
    let text;
    let (code, message) = match Kind::from_u8(header.kind) {
        Some(Kind::Fault) => said(body),
        _ => {
            text = format!(
                "the reply has {length} bytes, and {max_payload} of them fit into a datagram of the server \
                 (ServerBuilder::max_datagram)"
            );
            (FaultCode::ReplyTooLarge, text.as_str())
        }
    };
    match standing.map(|standing| standing.decode()) {
        Some(standing) => {
            write_fault_standing(out, header.seq, (code, message, &[]), max_payload, &standing);
        }
        None => write_fault(out, header.seq, code, message, &[], max_payload),
    }
}

/// The code of a fault and as much of its message as is there.
fn said(body: &[u8]) -> (FaultCode, &str) {
    if let Ok(FaultBody { code, message, .. }) = FaultBody::parse(body) {
        return (code, message);
    }
    let Some(([c0, c1, _, _, _, _], message)) = body.split_first_chunk() else {
        return (FaultCode::Failed, "");
    };
    let message = match std::str::from_utf8(message) {
        Ok(message) => message,
        Err(error) => std::str::from_utf8(&message[..error.valid_up_to()]).unwrap_or_default(),
    };
    (FaultCode::from_u16(u16::from_le_bytes([*c0, *c1])), message)
}
