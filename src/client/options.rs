//! How a call is to be made.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use netrpc_core::{Context, Error, Metadata, semantics::Semantics, trace::TraceContext};

/// Options of calls: one idea for `call`, `go`, typed stubs and the blocking client.
///
/// [`Client::with`](crate::Client::with) gives the same connection with other options:
///
/// ```
/// # use netrpc::{CallOptions, Client, Error};
/// # use std::time::Duration;
/// # async fn f(client: Client) -> Result<(), Error> {
/// let patient = client.with(CallOptions::new().timeout(Duration::from_secs(30)));
/// let reply: i64 = patient.call("Arith.Multiply", &(7, 8)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "options do nothing until a client is given them"]
pub struct CallOptions {
    timeout: Option<Timeout>,
    /// The latest that any call may take.
    deadline: Option<Instant>,
    wait_for_ready: Option<bool>,
    semantics: Option<Semantics>,
    tag: Option<Arc<[u8]>>,
    pub(crate) metadata: Metadata,
}

#[derive(Debug, Clone, Copy)]
enum Timeout {
    After(Duration),
    Never,
}

impl CallOptions {
    /// No timeout, no metadata.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a handler that calls on gives its calls: they end when its own call does.
    ///
    /// The context's deadline, if it has one, is set as [`deadline`](Self::deadline). Metadata is not
    /// inherited: what a caller says to one server is not for the next.
    ///
    /// ```
    /// # use netrpc::{service, CallOptions, Client, Context, Error};
    /// struct Shop {
    ///     bank: Client,
    /// }
    ///
    /// #[service]
    /// impl Shop {
    ///     async fn buy(&self, cx: &Context, price: u64, reply: &mut u64) -> Result<(), Error> {
    ///         let bank = self.bank.with(CallOptions::inherit(cx));
    ///         *reply = bank.call("Bank.Withdraw", &price).await?; // no longer than `buy` may take
    ///         Ok(())
    ///     }
    /// }
    /// ```
    ///
    /// When the caller gives up, an `async` handler is dropped, and with it the calls it waits for: they
    /// are cancelled in turn.
    pub fn inherit(cx: &Context) -> Self {
        CallOptions { deadline: cx.deadline(), ..Self::default() }
    }

    /// Gives each call this long, from when it is made; then it ends with
    /// [`Error::Deadline`](crate::Error::Deadline).
    ///
    /// All waiting counts: for room, for a connection, for the answer. The server is told how long the
    /// caller will still wait, and does not begin a call too late.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(Timeout::After(timeout));
        self
    }

    /// Takes the timeout back that the client's own options set.
    ///
    /// A [`deadline`](Self::deadline) stays.
    pub fn no_timeout(mut self) -> Self {
        self.timeout = Some(Timeout::Never);
        self
    }

    /// No call made with these options takes longer than until then, whatever its timeout; one that is made
    /// after it is not sent.
    ///
    /// Where several are set, the earliest holds: a call may be given less time, and never more.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = earliest(self.deadline, Some(deadline));
        self
    }

    /// Whether a call waits for a connection while there is none: for a client that
    /// [reconnects](crate::ClientBuilder::reconnect), and of no effect on another.
    ///
    /// Unless set, calls fail fast: a call that is made while the server cannot be reached ends at once with
    /// the reason. (One that is made while the client connects, and nothing is known against the server yet,
    /// waits for how that ends.)
    ///
    /// A call that waits is sent when there is a connection, and sent again when it **provably has
    /// not run**: its connection ended before it was sent, or the server refused it because it is
    /// shutting down. It waits as long as its timeout and deadline allow, for ever without; set
    /// one of them.
    pub fn wait_for_ready(mut self, wait: bool) -> Self {
        self.wait_for_ready = Some(wait);
        self
    }

    /// How often a call may run; [`Semantics::Maybe`] unless set. `docs/SEMANTICS.md` has the whole table of
    /// what is promised.
    ///
    /// Under any other a call is sent again whenever its connection is lost or the server has too much to
    /// do, until it is answered or its time is over; give it a timeout. It
    /// [waits](Self::wait_for_ready) for a connection, and keeps its encoded arguments.
    ///
    /// - [`Semantics::AtLeastOnce`]: it may run more than once. Only a client that
    ///   [reconnects](crate::ClientBuilder::reconnect) can do that; on another such calls fail.
    /// - [`Semantics::AtMostOnce`], [`Semantics::ExactlyOnce`]: it carries a number by which a server that
    ///   [keeps a ledger](crate::ServerBuilder) knows it again, however often it comes, and runs it once. The
    ///   first such call opens a session with the server. On a client that does not reconnect the call ends
    ///   with its connection, and may have run.
    ///
    /// Before a call is sent again it waits a random time of up to 25 ms, twice that after each failure and
    /// never more than 5 s. So that a server that is in trouble does not get more of it, all calls of a
    /// client together send again at most a fifth of what they send first, and ten a second.
    ///
    /// ```
    /// # use netrpc::{CallOptions, Client, Error, Semantics};
    /// # use std::time::Duration;
    /// # async fn f(client: Client) -> Result<(), Error> {
    /// let once = CallOptions::new().semantics(Semantics::AtMostOnce);
    /// let client = client.with(once.timeout(Duration::from_secs(60)));
    /// let () = client.call("Bank.Debit", &("alice", 7)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Giving up
    /// A call that is dropped, or whose time is over, is given up for good: if it has not begun by then it
    /// never will, once the server has heard of that. Whoever wants to wait no longer and know later keeps the
    /// handle, and awaits `&mut call`; a call that is [detached](crate::Call::detach) goes on.
    pub fn semantics(mut self, semantics: Semantics) -> Self {
        self.semantics = Some(semantics);
        self
    }

    /// What each call is known by in the client's log, to whoever recovers it after a crash: an order's number, say.
    /// At most 65,535 bytes; of no effect without a log.
    ///
    /// The server does not hear of it.
    #[cfg(feature = "durable")]
    pub fn tag(mut self, tag: impl AsRef<[u8]>) -> Self {
        self.tag = Some(tag.as_ref().into());
        self
    }

    /// Sends an entry of metadata with each call; an entry of the same key is replaced.
    ///
    /// A call with more than 64 entries, or 16 KiB of them, fails with
    /// [`Error::TooLarge`](crate::Error::TooLarge).
    pub fn metadata(mut self, key: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.metadata.insert(key, value);
        self
    }

    /// Makes each call a part of this trace: `traceparent` and `tracestate` in its metadata.
    ///
    /// A handler's own place is [`Context::trace`](crate::Context::trace). With the feature `trace` the
    /// calls that a handler makes while it runs have it by themselves.
    pub fn trace(mut self, context: &TraceContext) -> Self {
        context.insert_into(&mut self.metadata);
        self
    }

    /// These options, with what `over` sets in place of what is set here.
    pub(crate) fn overridden_by(&self, over: CallOptions) -> Self {
        let mut metadata = self.metadata.clone();
        for (key, value) in &over.metadata {
            metadata.insert(key, value);
        }
        CallOptions {
            timeout: over.timeout.or(self.timeout),
            deadline: earliest(self.deadline, over.deadline),
            wait_for_ready: over.wait_for_ready.or(self.wait_for_ready),
            semantics: over.semantics.or(self.semantics),
            tag: over.tag.or_else(|| self.tag.clone()),
            metadata,
        }
    }

    /// The latest that a call may take, once it is made.
    #[cfg(feature = "tower")]
    pub(crate) fn latest(&self) -> Option<Instant> {
        self.deadline
    }

    /// The same options for a call that was made and has to be over then.
    #[cfg(feature = "tower")]
    pub(crate) fn until(self, end: Option<End>) -> Self {
        match end.and_then(|end| end.at) {
            Some(at) => CallOptions { timeout: None, deadline: Some(at), ..self },
            None => self,
        }
    }

    /// Whether calls wait for a connection.
    pub(crate) fn waits(&self) -> bool {
        self.wait_for_ready == Some(true) || self.repeats()
    }

    /// Whether calls are sent again although they may have run.
    #[inline]
    pub(crate) fn repeats(&self) -> bool {
        self.how_often() != Semantics::Maybe
    }

    /// What calls are known by in a log.
    ///
    /// # Errors
    /// If that is too long.
    pub(crate) fn tagged(&self) -> Result<Arc<[u8]>, Error> {
        match &self.tag {
            None => Ok(Arc::default()),
            Some(tag) if tag.len() <= usize::from(u16::MAX) => Ok(tag.clone()),
            Some(tag) => {
                let text = format!("its tag has {} bytes, the limit is {}", tag.len(), u16::MAX);
                Err(Error::TooLarge(text))
            }
        }
    }

    /// How often calls may run.
    #[inline]
    pub(crate) fn how_often(&self) -> Semantics {
        self.semantics.unwrap_or_default()
    }

    /// Whether calls have to be over at some time.
    #[inline]
    pub(crate) fn limits_time(&self) -> bool {
        self.deadline.is_some() || matches!(self.timeout, Some(Timeout::After(_)))
    }

    /// When a call that is made now has to be over.
    ///
    /// # Errors
    /// If it has to be over already.
    #[inline]
    pub(crate) fn end(&self) -> Result<Option<End>, Error> {
        if self.limits_time() { self.end_of() } else { Ok(None) }
    }

    fn end_of(&self) -> Result<Option<End>, Error> {
        let timeout = match self.timeout {
            Some(Timeout::After(timeout)) => Some(timeout),
            Some(Timeout::Never) | None => None,
        };
        let now = super::now();
        // A time that is beyond the clock's end never comes.
        let at = earliest(timeout.and_then(|timeout| now.checked_add(timeout)), self.deadline);
        let left = at.map(|at| at.saturating_duration_since(now)).or(timeout);
        if left == Some(Duration::ZERO) {
            return Err(Error::Deadline { may_have_run: false });
        }
        Ok(left.map(|left| End { at, left }))
    }
}

/// When a call has to be over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    /// `None` is beyond the clock's end.
    pub(crate) at: Option<Instant>,
    /// How long that was when the call was made.
    pub(crate) left: Duration,
}

impl End {
    /// The same for a call that is sent later.
    ///
    /// # Errors
    /// If it is too late.
    pub(crate) fn again(self) -> Result<Self, Error> {
        let Some(at) = self.at else { return Ok(self) };
        let left = at.saturating_duration_since(super::now());
        if left.is_zero() {
            return Err(Error::Deadline { may_have_run: false });
        }
        Ok(End { left, ..self })
    }
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}
