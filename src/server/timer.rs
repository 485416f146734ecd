//! The one timer of a connection.

use std::{
    future::Future,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use netrpc_core::patience::{Patience, Times};
use tokio::time::Sleep;

use crate::client::now;

/// Rings when the connection's [`Patience`] says so.
#[derive(Debug)]
pub(super) struct Timer {
    pub(super) patience: Patience,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// For a connection that begins now.
    pub(super) fn new(handshake: Instant, times: &Times) -> Self {
        let jitter = RandomState::new().hash_one(0);
        Timer { patience: Patience::new(now(), handshake, jitter, times), sleep: None }
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
        let sleep =
            self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due.into())));
        if sleep.deadline() != due.into() {
            sleep.as_mut().reset(due.into());
        }
        match sleep.as_mut().poll(cx) {
            Poll::Ready(()) => Some(now().max(due)),
            Poll::Pending => None,
        }
    }
}
