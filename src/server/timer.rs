//! The one timer of a connection.

use std::{
    hash::{BuildHasher, RandomState},
    task::Context,
    time::Instant,
};

use netrpc_core::patience::{Patience, Times};

use crate::{alarm::Alarm, client::now};

/// Rings when the connection's [`Patience`] says so.
#[derive(Debug)]
pub(super) struct Timer {
    pub(super) patience: Patience,
    alarm: Option<Alarm>,
}

impl Timer {
    /// For a connection that begins now.
    pub(super) fn new(handshake: Instant, times: &Times) -> Self {
        let jitter = RandomState::new().hash_one(0);
        Timer { patience: Patience::new(now(), handshake, jitter, times), alarm: None }
    }

    /// The peer has said what it speaks; a native one can be asked whether it is still there.
    pub(super) fn greeted(&mut self, native: bool, times: &Times) {
        self.patience.greeted();
        if native {
            self.patience.keep_alive(now(), times);
        }
    }

    /// The time, if the timer has rung; else the task is woken when it does.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Instant> {
        let due = self.patience.settle(now)?;
        let alarm = self.alarm.get_or_insert_with(|| Alarm::new(due.into()));
        alarm.set(due.into());
        alarm.has_rung(cx).then(|| now().max(due))
    }
}
