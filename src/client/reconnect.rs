//! How a client connects again, and what can be seen of it.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    time::Duration,
};

use netrpc_core::backoff::{Backoff, Schedule};

/// How a client connects again; for [`ClientBuilder::reconnect`](crate::ClientBuilder::reconnect).
///
/// ```no_run
/// # use netrpc::{CallOptions, Client, Error, Reconnect};
/// # use std::time::Duration;
/// # async fn f() -> Result<(), Error> {
/// let client = Client::builder()
///     .reconnect(Reconnect::new())
///     .options(CallOptions::new().wait_for_ready(true).timeout(Duration::from_secs(30)))
///     .dial("localhost:1234")
///     .await?;
/// # Ok(())
/// # }
/// ```
///
/// # When it connects
/// A connection that has ended, or that takes no more calls because the server is shutting down, is replaced
/// when the next call is made, or a call that waits is to be sent again; an idle client does not disturb a
/// server that has sent it away. An attempt that fails is followed by others until one succeeds.
///
/// Before each attempt but the very first it waits a random time between nothing and a ceiling, so that the
/// clients of a server that is restarted do not come back all at once: 100 ms, twice that after each
/// failure, and never more than 30 s. The ceiling is the lowest again when a connection has brought the answer
/// to a call; one that is merely accepted proves nothing.
#[derive(Debug, Clone)]
#[must_use = "give it to `ClientBuilder::reconnect`"]
pub struct Reconnect {
    first: Duration,
    cap: Duration,
    seed: Option<u64>,
    pub(super) lazy: bool,
}

impl Reconnect {
    /// After up to 100 ms, doubling up to 30 s.
    pub fn new() -> Self {
        Reconnect {
            first: Duration::from_millis(100),
            cap: Duration::from_secs(30),
            seed: None,
            lazy: false,
        }
    }

    /// The longest wait before the first attempt after a connection that was good.
    pub fn first_delay(mut self, longest: Duration) -> Self {
        self.first = longest;
        self
    }

    /// The longest wait before any attempt.
    pub fn max_delay(mut self, longest: Duration) -> Self {
        self.cap = longest;
        self
    }

    /// Whether the first connection too is made only when a call needs it.
    ///
    /// `dial` then succeeds at once, also where there is no server, and has nothing to report.
    pub fn lazy(mut self, lazy: bool) -> Self {
        self.lazy = lazy;
        self
    }

    /// Makes the random waits the same in each run; for tests.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    pub(super) fn schedule(&self) -> Schedule {
        Schedule::new(Backoff::new(self.first, self.cap), self.jitter_seed())
    }

    /// The seed, if one was set.
    pub(super) fn set_seed(&self) -> Option<u64> {
        self.seed
    }

    pub(super) fn jitter_seed(&self) -> u64 {
        self.seed.unwrap_or_else(random_seed)
    }
}

/// Another number each time.
pub(super) fn random_seed() -> u64 {
    // Every `RandomState` has keys of its own, which the operating system made random once.
    RandomState::new().build_hasher().finish()
}

impl Default for Reconnect {
    fn default() -> Self {
        Self::new()
    }
}

/// How a client's connection fares: [`Client::state`](crate::Client::state).
///
/// ```text
///                 a call                 the server is there
///          Idle ─────────▶ Connecting ────────────────────────▶ Connected
///           ▲                  │                                ▲    │
///           │           failed ▼        the server is there     │    │
///           │               Failing ────────────────────────────┘    │
///           └────────────────────────────────────────────────────────┘
///                             the connection ended
/// ```
///
/// From each of them `close` leads to `Closed`. A client that does not reconnect is `Connected`, then
/// `Closed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionState {
    /// There is no connection; the next call makes one.
    Idle,
    /// One is being made.
    Connecting,
    /// There is one.
    Connected,
    /// The last attempt failed, and others follow. Calls that do not wait fail with its reason.
    Failing,
    /// There will be none any more.
    Closed,
}
