//! What the machines' tests share.

use std::{sync::LazyLock, time::Instant};

/// A fixed time: any will do, and asking the clock is forbidden here.
pub(crate) fn now() -> Instant {
    static START: LazyLock<Instant> = LazyLock::new(|| {
        #[allow(clippy::disallowed_methods)] // the one origin of time in these tests
        Instant::now()
    });
    *START
}
