//! When a connection may give its buffers back.

use std::{task::Context, time::Duration};

use tokio::time::Instant;

use crate::alarm::Alarm;

/// How long nothing must have happened. To give memory back after each large frame would cost a third
/// to a half of what can be moved.
const QUIET: Duration = Duration::from_millis(500);

/// Notices that a connection has been quiet for a while: for one to two periods, so that a busy one
/// sets a timer twice a second and not at every batch.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    timer: Option<Alarm>,
    /// Whether something has happened since the timer was set.
    busy: bool,
}

impl Quiet {
    /// Something happens.
    pub(crate) fn disturb(&mut self) {
        self.busy = true;
    }

    /// Asked by a task that goes to sleep, while it holds memory: whether it is to be given back.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            let timer = self.timer.get_or_insert_with(|| Alarm::new(Instant::now() + QUIET));
            if !timer.has_rung(cx) {
                return false;
            }
            self.timer = None;
            if !std::mem::take(&mut self.busy) {
                return true;
            }
        }
    }
}
