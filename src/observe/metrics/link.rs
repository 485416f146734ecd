//! What is counted of one connection.

use std::{fmt, sync::Once};

use metrics::{Counter, Gauge, counter, gauge};

use super::{names::Side, recorder::counts};

/// What is counted of one connection.
pub(in crate::observe) struct Link {
    side: Side,
    received: Counter,
    sent: Counter,
    current: Gauge,
}

impl Link {
    /// A connection begins; `None` if there is no recorder.
    pub(in crate::observe) fn open(side: Side) -> Option<Self> {
        let names = side.names();
        let current = gauge!(names.connections);
        if !counts(&current) {
            return None;
        }
        static DESCRIBED: Once = Once::new();
        DESCRIBED.call_once(|| [Side::Server, Side::Client].into_iter().for_each(Side::describe));
        counter!(names.opened).increment(1);
        current.increment(1);
        let (received, sent) = (counter!(names.received), counter!(names.sent));
        Some(Link { side, received, sent, current })
    }

    pub(in crate::observe) fn received(&self, bytes: u64) {
        self.received.increment(bytes);
    }

    pub(in crate::observe) fn sent(&self, bytes: u64) {
        self.sent.increment(bytes);
    }

    pub(in crate::observe) fn end(&self, kind: &'static str) {
        self.current.decrement(1);
        counter!(self.side.names().closed, "reason" => kind).increment(1);
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("side", &self.side).finish_non_exhaustive()
    }
}
