//! Letting others go first.

use std::{future::Future, pin::pin, task::Context};

use crate::sync;

/// How often a connection is read from, as long as there is something to read, before all others have had
/// their turn: a peer that never pauses has no thread for itself. At 256 KiB a read, what that costs is
/// nothing beside the reads.
pub(crate) const READS: u32 = 16;

/// Has the current task polled again when the others that are ready have had their turn and the
/// runtime has looked at its sockets; the task then returns `Pending`.
///
/// Waking oneself would not do: the task would go to the end of the queue at once, and an idle worker
/// be woken to take it from there.
pub(crate) fn step_aside(cx: &mut Context<'_>) {
    // Polled once, it hands the waker to the scheduler; it is not needed again.
    let _ = pin!(sync::yield_now()).poll(cx);
}
