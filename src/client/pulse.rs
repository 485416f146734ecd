//! Whether the server is still there.

use std::{task::Context, time::Duration};

use netrpc_core::keep_alive::{KeepAlive, Sign, Times};

use super::builder::ClientLimits;
use crate::alarm::Alarm;

/// The server's signs of life, for as long as they matter: while it owes an answer, or always.
pub(super) struct Pulse {
    /// `None`: they never do.
    times: Option<Times>,
    idle: bool,
    /// Nothing before the first call is out, or after a while in which none was.
    beat: Option<Beat>,
    /// The time is over, and the stream is looked at once more: if nobody drove this connection, a sign may
    /// lie there.
    doubtful: bool,
}

struct Beat {
    machine: KeepAlive,
    timer: Alarm,
}

/// What is to be done.
pub(super) enum Pulsed {
    Ping,
    LookAgain,
    Dead(Duration),
}

impl Pulse {
    pub(super) fn new(limits: &ClientLimits) -> Self {
        // Go's protocols have no pings.
        let times = limits.keep_alive.filter(|_| limits.wire.is_none());
        Pulse { times, idle: limits.keep_alive_idle, beat: None, doubtful: false }
    }

    /// Something has arrived, or was taken.
    #[inline]
    pub(super) fn heard(&mut self) {
        if let Some(beat) = &mut self.beat {
            beat.machine.heard();
            self.doubtful = false;
        }
    }

    /// Asked by a task that goes to sleep; `waits` if it waits for answers.
    pub(super) fn poll(&mut self, waits: bool, cx: &mut Context<'_>) -> Option<Pulsed> {
        let times = self.times.as_ref()?;
        let matters = waits || self.idle;
        if self.beat.is_none() {
            if !matters {
                return None;
            }
            let machine = KeepAlive::new(super::now(), times);
            let timer = Alarm::new(machine.next_timeout()?.into());
            self.beat = Some(Beat { machine, timer });
        }
        let Beat { machine, timer } = self.beat.as_mut()?;
        while timer.has_rung(cx) {
            if machine.is_asking() && !std::mem::replace(&mut self.doubtful, true) {
                return Some(Pulsed::LookAgain);
            }
            let sign = machine.on_timeout(super::now(), times);
            if sign == Some(Sign::Dead) {
                return Some(Pulsed::Dead(times.timeout));
            }
            if sign == Some(Sign::Ping) && !matters {
                self.beat = None;
                return None;
            }
            self.doubtful = false;
            timer.set(machine.next_timeout()?.into());
            if sign == Some(Sign::Ping) {
                return Some(Pulsed::Ping);
            }
        }
        None
    }
}
