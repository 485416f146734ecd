//! Calls of `go` that go on by themselves: as many as the client takes.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use netrpc_core::{Error, error::Disconnected};
use tokio::sync::Notify;

use super::{Ended, Tracked};
use crate::{
    client::builder::ClientLimits,
    sync::{JoinHandle, Mutex},
};

/// Calls of `go` whose answer nobody has taken.
pub(super) struct Going {
    /// Calls, and bytes of their arguments.
    now: Mutex<(usize, usize)>,
    limits: (usize, usize),
    /// Told when one is over.
    over: Notify,
}

/// A call's place among them, until its answer is taken.
struct Place {
    going: Arc<Going>,
    bytes: usize,
}

/// A call in a task of its own.
pub(in crate::client) struct Journey {
    task: JoinHandle<Ended>,
    is_detached: bool,
    _place: Place,
}

impl Going {
    pub(super) fn new(limits: &ClientLimits) -> Arc<Self> {
        let limits = (limits.calls, limits.queued_bytes);
        Arc::new(Going { now: Mutex::default(), limits, over: Notify::new() })
    }

    fn enter(self: &Arc<Self>, bytes: usize) -> Result<Place, Error> {
        let mut now = self.now.lock();
        let ((in_flight, queued), (calls, most)) = (*now, self.limits);
        if in_flight >= calls {
            return Err(Error::TooManyCalls { in_flight, limit: calls });
        }
        if queued > most {
            return Err(Error::QueueFull { queued, limit: most });
        }
        *now = (in_flight + 1, queued + bytes);
        Ok(Place { going: self.clone(), bytes })
    }

    /// Waits until a call would be taken.
    pub(super) async fn ready(&self) {
        loop {
            let over = self.over.notified();
            {
                let (calls, bytes) = *self.now.lock();
                if calls < self.limits.0 && bytes <= self.limits.1 {
                    return;
                }
            }
            over.await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        {
            let mut now = self.going.now.lock();
            *now = (now.0 - 1, now.1 - self.bytes);
        }
        self.going.over.notify_waiters();
    }
}

impl Journey {
    /// Starts a call; it is sent before this returns if that can be.
    ///
    /// # Errors
    /// If there is no room for it.
    pub(super) fn start(mut call: Tracked) -> Result<Journey, Error> {
        let sessions = call.sessions().clone();
        let place = sessions.going.enter(call.bytes())?;
        call.try_start()?;
        let task = sessions.runtime.spawn(async move { call.finish().await });
        Ok(Journey { task, is_detached: false, _place: place })
    }

    /// The answer, once it is there.
    pub(in crate::client) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let ended = ready!(Pin::new(&mut self.task).poll(cx));
        Poll::Ready(ended.unwrap_or_else(|_| {
            let cause = Arc::new(Disconnected::Runtime);
            (Err(Error::Shutdown { may_have_run: true, cause }), None)
        }))
    }

    /// Lets it go on though nobody waits for it.
    pub(in crate::client) fn detach(mut self) {
        self.is_detached = true;
    }
}

impl Drop for Journey {
    fn drop(&mut self) {
        if !self.is_detached {
            self.task.abort();
        }
    }
}
