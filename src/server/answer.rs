//! From what a handler gave to the frame its caller gets.

use std::{any::Any, panic};

use netrpc_core::{
    Context, Fault, Metadata,
    fault::FaultCode,
    service::{Body, Entry, ReplyBuf},
    wire::{self, FrameStart, FrameTooLarge, Kind},
};

use crate::{observe::ServedCall, outgoing::Outgoing};

/// What a handler gave; `Err` is its panic.
pub(super) type Outcome = Result<Result<(), Fault>, Panic>;

/// What a handler panicked with.
pub(super) type Panic = Box<dyn Any + Send>;

/// Runs a handler, or a part of it; a panic ends nothing but the call.
#[inline]
pub(super) fn catch<T>(run: impl FnOnce() -> T) -> Result<T, Panic> {
    // Nothing of ours is seen again after a panic but the connection, which is locked in between.
    panic::catch_unwind(panic::AssertUnwindSafe(run))
}

/// A reply on its way out: a frame that is not sealed.
pub(super) struct Reply {
    pub(super) start: FrameStart,
    pub(super) reply: ReplyBuf,
    pub(super) metadata: Metadata,
}

/// The frame of the reply to `body` has begun.
#[inline]
pub(super) fn begin(mut buffer: Vec<u8>, body: &Body) -> (FrameStart, ReplyBuf) {
    buffer.clear();
    let start = wire::begin(&mut buffer);
    (start, ReplyBuf::new(buffer, body.format().clone()))
}

/// The same, in a buffer for replies that may lie in parts.
#[inline]
pub(super) fn begin_in(reply: &mut ReplyBuf, body: &Body) -> FrameStart {
    reply.restart(body.format());
    wire::begin(reply.bytes_mut())
}

/// Puts the reply to call `seq` where it goes out, if it is small, and only its body was written to what was
/// begun; `false` if not.
#[inline]
pub(super) fn push_small(
    output: &mut Outgoing,
    seq: u64,
    reply: &ReplyBuf,
    max_frame: u32,
) -> bool {
    let Some(begun) = reply.whole().filter(|begun| Outgoing::is_small(begun.len())) else {
        return false;
    };
    let body = &begun[wire::HEADER_LEN..];
    let mut written = false;
    output.write(|out| written = wire::write_reply(out, seq, body, max_frame).is_ok());
    written
}

/// Makes the frame that answers call `seq` of what was begun: the reply, or a fault. The call ends with it.
#[inline]
pub(super) fn seal(
    entry: &Entry,
    (seq, observed): (u64, &mut ServedCall),
    (start, frame): (FrameStart, &mut Vec<u8>),
    outcome: Outcome,
    cx: Option<&Context>,
    max_frame: u32,
) {
    let sealed = match outcome {
        Ok(Ok(())) => {
            let metadata = cx.map(Context::take_reply_metadata);
            finish(frame, start, seq, metadata.as_ref(), max_frame)
        }
        outcome => self::outcome(entry, outcome),
    };
    observed.finish(sealed.as_ref().copied());
    if let Err(fault) = sealed {
        frame.clear();
        write_fault(frame, seq, &fault, max_frame);
    }
}

/// The same of a reply whose end lies `apart` and is long: makes one frame of both, in the one buffer or in
/// both. Returns what still lies apart.
#[cold]
pub(super) fn seal_apart(
    entry: &Entry,
    (seq, observed): (u64, &mut ServedCall),
    (start, frame, apart): (FrameStart, &mut Vec<u8>, Vec<u8>),
    outcome: Outcome,
    cx: Option<&Context>,
    max_frame: u32,
) -> Vec<u8> {
    if !matches!(outcome, Ok(Ok(()))) || cx.is_some() {
        frame.extend_from_slice(&apart);
        seal(entry, (seq, observed), (start, frame), outcome, cx, max_frame);
        return Vec::new();
    }
    match start.measure_apart(frame, &apart, 0, max_frame) {
        Ok(measured) => {
            measured.seal(frame, Kind::Reply, seq);
            observed.finish(Ok(()));
            apart
        }
        Err(too_large) => {
            let fault = reply_too_large(&too_large);
            observed.finish(Err(&fault));
            write_fault(frame, seq, &fault, max_frame);
            Vec::new()
        }
    }
}

/// The same of a call that passes more than its handler.
pub(super) fn seal_reply(
    (seq, observed): (u64, Option<ServedCall>),
    outcome: Result<Reply, Fault>,
    max_frame: u32,
) -> Vec<u8> {
    let (mut frame, sealed) = match outcome {
        Ok(Reply { start, reply, metadata }) => {
            let mut frame = reply.into_bytes();
            let sealed = finish(&mut frame, start, seq, Some(&metadata), max_frame);
            (frame, sealed)
        }
        Err(fault) => (Vec::new(), Err(fault)),
    };
    if let Some(mut observed) = observed {
        observed.finish(sealed.as_ref().copied());
    }
    if let Err(fault) = sealed {
        frame.clear();
        write_fault(&mut frame, seq, &fault, max_frame);
    }
    frame
}

/// Seals the frame of a reply.
#[inline]
fn finish(
    frame: &mut Vec<u8>,
    start: FrameStart,
    seq: u64,
    metadata: Option<&Metadata>,
    max_frame: u32,
) -> Result<(), Fault> {
    let head_len = match metadata {
        Some(metadata) if !metadata.is_empty() => insert_metadata(frame, metadata)?,
        _ => 0,
    };
    wire::finish(frame, start, Kind::Reply, head_len, seq, max_frame)
        .map_err(|too_large| reply_too_large(&too_large))
}

/// What a handler gave, where a panic is a fault too.
#[inline]
pub(super) fn outcome(entry: &Entry, outcome: Outcome) -> Result<(), Fault> {
    outcome.unwrap_or_else(|panic| Err(panicked(entry, &*panic)))
}

/// Appends the fault that answers call `seq`.
pub(super) fn write_fault(out: &mut Vec<u8>, seq: u64, fault: &Fault, max_frame: u32) {
    wire::write_fault(out, seq, fault.code(), fault.message(), fault.detail_bytes(), max_frame);
}

/// Puts the metadata that the handler has set in front of the reply: the frame's head.
fn insert_metadata(frame: &mut Vec<u8>, metadata: &Metadata) -> Result<u16, Fault> {
    let mut head = Vec::with_capacity(metadata.encoded_len() + 3);
    let head_len = wire::write_reply_head(&mut head, metadata)
        .map_err(|error| Fault::with_code(FaultCode::BadReply, error.to_string()))?;
    frame.splice(wire::HEADER_LEN..wire::HEADER_LEN, head);
    Ok(head_len)
}

fn reply_too_large(too_large: &FrameTooLarge) -> Fault {
    let FrameTooLarge { length, limit } = too_large;
    let text =
        format!("it has {length} bytes, the server's limit is {limit} (ServerBuilder::max_frame)");
    Fault::with_code(FaultCode::ReplyTooLarge, text)
}

/// What tokio says to a handler that blocks on a future while it runs on a worker of the runtime.
const BLOCKED: [&str; 2] =
    ["Cannot start a runtime from within a runtime", "Cannot block the current thread"];

fn panicked(entry: &Entry, panic: &(dyn Any + Send)) -> Fault {
    let text = panic_text(panic);
    if BLOCKED.iter().any(|blocked| text.starts_with(blocked)) {
        // It may block where it will run from now on.
        entry.pace().blocks();
        let name = entry.name();
        let hint = format!("{text} (hint: mark {name} with #[method(blocking)])");
        return Fault::with_code(FaultCode::Panicked, hint);
    }
    Fault::with_code(FaultCode::Panicked, text)
}

/// What a panic says.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("with a value that is not text")
}
