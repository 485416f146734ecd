//! A client's line to its server: the present connection, and how it comes by the next.
//!
//! A connection that is still to be made takes calls already: they are parked in it. So a call finds its
//! connection by one look, and what is sent again is only ever what its own caller sends again.
//!
//! Lock order: a line's state, then a connection's; neither is held while a waker is woken.

#[cfg(feature = "durable")]
use std::sync::OnceLock;
use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

use netrpc_core::{
    Error,
    backoff::Schedule,
    error::{Disconnected, chain},
};
use tokio::sync::Notify;

#[cfg(feature = "durable")]
use super::Recovered;
use super::{
    Handle,
    builder::ClientLimits,
    connection,
    reconnect::{ConnectionState, Reconnect},
    repeat::Allowance,
    route::WeakRoute,
    shared::{Leaving, Shared},
    tracked::Sessions,
};
use crate::{
    Connector,
    observe::ClientObserver,
    sync::{Handle as Runtime, Mutex},
    transport,
};

/// A client's line to its server.
pub(crate) struct Line {
    dialer: Arc<dyn Dial>,
    limits: ClientLimits,
    runtime: Runtime,
    /// Those of its tracked calls.
    sessions: Arc<Sessions>,
    /// Those of calls that a log knows, if there is one.
    logged: Option<Arc<Sessions>>,
    #[cfg(feature = "durable")]
    recovered: OnceLock<Recovered>,
    this: Weak<Line>,
    state: Mutex<State>,
    /// Told when the phase has changed.
    changed: Notify,
}

/// What the line's lock protects.
struct State {
    phase: ConnectionState,
    /// No attempt has been made yet.
    untried: bool,
    /// The server is known to speak our protocol.
    known: bool,
    /// Where calls go.
    current: Arc<Handle>,
    /// Earlier connections that may still have calls to be answered.
    earlier: Vec<Weak<Shared>>,
    /// Why the last attempt failed, while none has succeeded since.
    failure: Option<Arc<Disconnected>>,
    schedule: Schedule,
    /// Set by `close`, for ever.
    closed: Option<Arc<Disconnected>>,
}

impl Line {
    /// A line with its first connection made, or, if it is lazy, without one.
    pub(super) async fn open(
        connector: impl Connector,
        limits: ClientLimits,
        reconnect: Reconnect,
        observer: ClientObserver,
        logged: impl FnOnce(WeakRoute, u64) -> Option<Arc<Sessions>>,
    ) -> Result<Arc<Line>, Error> {
        let dialer = Arc::new(Dialer { connector, observer });
        let first = if reconnect.lazy { None } else { Some(dialer.dial(limits.connect).await?) };
        let line = Arc::new_cyclic(|this| {
            let shared = Arc::new(Shared::parked(limits, this.clone(), true));
            let phase = if first.is_some() {
                ConnectionState::Connecting
            } else {
                // As if there had been one that has ended.
                shared.end(&Arc::new(Disconnected::Closed), 0);
                ConnectionState::Idle
            };
            let logged = logged(WeakRoute::Line(this.clone()), !reconnect.jitter_seed());
            // Whoever has a session to resume has spoken with the server before.
            let known = logged.as_ref().is_some_and(|logged| logged.resumes());
            Line {
                dialer,
                limits,
                runtime: Runtime::current(),
                sessions: Sessions::new(
                    WeakRoute::Line(this.clone()),
                    Runtime::current(),
                    &limits,
                    reconnect.jitter_seed(),
                ),
                logged,
                #[cfg(feature = "durable")]
                recovered: OnceLock::new(),
                this: this.clone(),
                state: Mutex::new(State {
                    phase,
                    untried: first.is_none(),
                    known,
                    current: Arc::new(Handle::of_line(shared)),
                    earlier: Vec::new(),
                    failure: None,
                    schedule: reconnect.schedule(),
                    closed: None,
                }),
                changed: Notify::new(),
            }
        });
        if let Some(start) = first {
            let shared = line.state.lock().current.shared.clone();
            start(shared);
        }
        Ok(line)
    }

    /// Where a call goes now.
    ///
    /// # Errors
    /// Why there is no connection, if the caller does not want to wait for one.
    pub(super) fn current(&self, waits: bool) -> Result<Arc<Handle>, Arc<Disconnected>> {
        let state = self.state.lock();
        match &state.failure {
            Some(failure) if !waits => Err(failure.clone()),
            _ => Ok(state.current.clone()),
        }
    }

    /// Where calls go now that `old` takes no more: the connection that somebody else has begun to make,
    /// or a new one.
    ///
    /// # Errors
    /// If the line is closed.
    pub(super) fn renew(&self, old: &Arc<Handle>) -> Result<Arc<Handle>, Arc<Disconnected>> {
        let mut state = self.state.lock();
        if let Some(closed) = &state.closed {
            return Err(closed.clone());
        }
        if Arc::ptr_eq(&state.current, old) {
            let left = self.make_next(&mut state);
            state.phase = ConnectionState::Connecting;
            let next = state.current.clone();
            drop(state);
            self.changed.notify_waiters();
            drop(left); // not under the lock: it says goodbye
            return Ok(next);
        }
        Ok(state.current.clone())
    }

    /// Puts a connection that is still to be made in the place of the present one.
    fn make_next(&self, state: &mut State) -> Arc<Handle> {
        let hopeful = state.failure.is_none();
        let shared = Arc::new(Shared::parked(self.limits, self.this.clone(), hopeful));
        let next = Arc::new(Handle::of_line(shared.clone()));
        let left = std::mem::replace(&mut state.current, next);
        state.earlier.retain(|earlier| earlier.upgrade().is_some_and(|e| !e.ended.is_cancelled()));
        if !left.shared.ended.is_cancelled() {
            state.earlier.push(Arc::downgrade(&left.shared));
        }
        let delay = state.schedule.next_delay();
        // Those who begin do not come all at once, as those do who were sent away.
        let delay = if std::mem::take(&mut state.untried) { Duration::ZERO } else { delay };
        let within = self.limits.connect;
        let (line, dialer) = (self.this.clone(), self.dialer.clone());
        // Spawned, not run: it wants the line's lock.
        self.runtime.spawn(dial(line, dialer, Dialing(Some(shared)), delay, within));
        left
    }

    /// Notes what has become of a connection, if it is the one that calls go to; `false` if not.
    fn note(&self, shared: &Shared, note: impl FnOnce(&mut State)) -> bool {
        {
            let mut state = self.state.lock();
            if state.closed.is_some() || !std::ptr::eq(&*state.current.shared, shared) {
                return false;
            }
            note(&mut state);
        }
        self.changed.notify_waiters();
        true
    }

    /// The server is there.
    pub(super) fn established(&self, shared: &Shared) {
        let noted = self.note(shared, |state| {
            state.failure = None;
            state.known = true;
            state.phase = ConnectionState::Connected;
        });
        if noted {
            tracing::debug!(server = %self.dialer.server(), "connected");
            self.sessions.connected();
            self.logged.iter().for_each(|logged| logged.connected());
        }
    }

    /// Whether no later attempt would do better than one that ended so.
    pub(super) fn is_hopeless(&self, cause: &Disconnected) -> bool {
        match cause {
            // A server that has spoken our protocol before speaks it again: bits of its first bytes, which have no
            // checksum, were flipped on the way.
            Disconnected::NotNetrpc(_) | Disconnected::Unacceptable(_) => !self.state.lock().known,
            cause => is_hopeless(cause),
        }
    }

    /// The connection has brought the answer to a call.
    pub(super) fn proven(&self, shared: &Shared) {
        let _ = self.note(shared, |state| state.schedule.reset());
    }

    /// The connection takes no more calls.
    pub(super) fn lost(&self, shared: &Shared) {
        let _ = self.note(shared, |state| state.phase = ConnectionState::Idle);
    }

    /// The connection has ended, and its calls are about to be told.
    pub(super) fn ended(&self, shared: &Shared, cause: &Arc<Disconnected>) {
        let was_there = shared.state.lock().parked.is_none();
        if was_there {
            let (server, cause) = (self.dialer.server(), chain(&**cause));
            tracing::debug!(%server, %cause, "connection lost");
            self.lost(shared);
        } else {
            self.failed(shared, cause);
        }
    }

    /// The attempt to make this connection has failed: the next follows.
    fn failed(&self, shared: &Shared, cause: &Arc<Disconnected>) {
        let mut left = None;
        let noted = self.note(shared, |state| {
            state.failure = Some(cause.clone());
            left = Some(self.make_next(state));
            state.phase = ConnectionState::Failing;
        });
        drop(left); // not under the lock
        if noted {
            let (server, cause) = (self.dialer.server(), chain(&**cause));
            tracing::warn!(%server, %cause, "cannot connect, and tries again");
        }
    }

    /// Ends every connection, for ever, and waits until that is so.
    pub(super) async fn close(&self) {
        for shared in self.leave() {
            shared.close().await;
        }
    }

    /// The same without waiting; gives the connections that end.
    pub(super) fn leave(&self) -> Vec<Arc<Shared>> {
        let all: Vec<Arc<Shared>> = {
            let mut state = self.state.lock();
            state.closed.get_or_insert_with(|| Arc::new(Disconnected::Closed));
            state.failure = None;
            state.phase = ConnectionState::Closed;
            let earlier = std::mem::take(&mut state.earlier);
            let earlier = earlier.iter().filter_map(Weak::upgrade);
            earlier.chain([state.current.shared.clone()]).collect()
        };
        self.changed.notify_waiters();
        all.iter().for_each(|shared| shared.leave(Leaving::Closed));
        all
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed.is_some()
    }

    #[cfg(feature = "tower")]
    pub(super) fn limits(&self) -> &ClientLimits {
        &self.limits
    }

    /// Whether what is sent may arrive more than once: in datagrams.
    pub(super) fn is_in_copies(&self) -> bool {
        self.limits.over_datagrams
    }

    /// What its calls may send again.
    pub(super) fn allowance(&self) -> &Arc<Allowance> {
        self.sessions.allowance()
    }

    pub(super) fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// What its log has remembered.
    #[cfg(feature = "durable")]
    pub(super) fn recovers(&self, recovered: Recovered) {
        let _ = self.recovered.set(recovered);
    }

    #[cfg(feature = "durable")]
    pub(super) fn recovered(&self) -> Recovered {
        self.recovered.get().cloned().unwrap_or_else(Recovered::none)
    }

    /// The sessions of calls that a log knows.
    pub(super) fn logged(&self) -> Option<&Arc<Sessions>> {
        self.logged.as_ref()
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(super) fn phase(&self) -> ConnectionState {
        self.state.lock().phase
    }

    /// Waits until the phase is another than `from`.
    pub(super) async fn phase_changed(&self, from: ConnectionState) -> ConnectionState {
        loop {
            let changed = self.changed.notified();
            let phase = self.phase();
            if phase != from {
                return phase;
            }
            changed.await;
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let current = self.state.lock().current.clone();
        self.sessions.take_leave(&current.shared);
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("phase", &self.phase()).finish_non_exhaustive()
    }
}

/// Whether no later attempt would do better than one that ended so, at a server of which nothing else is known.
fn is_hopeless(cause: &Disconnected) -> bool {
    match cause {
        Disconnected::Unreachable { cause, .. } => cause.kind() == io::ErrorKind::InvalidInput,
        Disconnected::Closed
        | Disconnected::NotNetrpc(_)
        | Disconnected::Unacceptable(_)
        | Disconnected::Runtime => true,
        _ => false,
    }
}

type Starts = Box<dyn FnOnce(Arc<Shared>) + Send>;

/// A connector, whatever its streams are.
trait Dial: Send + Sync {
    /// Whom it connects to, for people.
    fn server(&self) -> String;

    /// Connects once; what comes of it starts the connection's task.
    fn dial(
        &self,
        within: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<Starts, Error>> + Send + '_>>;
}

struct Dialer<C> {
    connector: C,
    observer: ClientObserver,
}

impl<C: Connector> Dial for Dialer<C> {
    fn server(&self) -> String {
        self.connector.target()
    }

    fn dial(
        &self,
        within: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<Starts, Error>> + Send + '_>> {
        Box::pin(async move {
            let stream = transport::connect(&self.connector, within).await?;
            let observed = self.observer.connected();
            let start = move |shared| connection::start(stream, shared, observed);
            Ok(Box::new(start) as Starts)
        })
    }
}

/// A connection that is being made. Its calls are told if that ends halfway, with the runtime.
struct Dialing(Option<Arc<Shared>>);

impl Drop for Dialing {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.end(&Arc::new(Disconnected::Runtime), 0);
        }
    }
}

/// Makes a connection, unless nobody wants it any more.
async fn dial(
    line: Weak<Line>,
    dialer: Arc<dyn Dial>,
    mut dialing: Dialing,
    delay: Duration,
    within: Duration,
) {
    let Some(shared) = dialing.0.clone() else { return };
    let attempt = async {
        tokio::time::sleep(delay).await;
        dialer.dial(within).await
    };
    let cause = tokio::select! {
        biased;
        () = shared.unwanted() => Disconnected::Closed,
        attempt = attempt => match attempt {
            Ok(start) => {
                dialing.0 = None;
                return start(shared);
            }
            Err(Error::Connect { addr, cause }) => Disconnected::Unreachable { addr, cause },
            Err(other) => Disconnected::Io(io::Error::other(other)),
        },
    };
    let cause = Arc::new(cause);
    if let (false, Some(line)) = (matches!(*cause, Disconnected::Closed), line.upgrade()) {
        line.failed(&shared, &cause);
    }
    dialing.0 = None;
    shared.end(&cause, 0);
}
