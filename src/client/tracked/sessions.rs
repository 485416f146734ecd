//! The sessions that a client's tracked calls are made in: one at a time, kept across connections.
//!
//! ```text
//!          a call needs one                granted                  no call begins in it any more
//!   none ──────────────────▶ opening ──────────────────▶ current ──────────────────▶ earlier ──▶ closed
//!     ▲                         │ refused                   │    its lease ends         its calls are settled
//!     └─────────────────────────┴───────────────────────────┘
//!                                  the server knows it no more
//! ```

use std::{
    fmt,
    pin::pin,
    sync::{Arc, Weak},
    time::Instant,
};

use netrpc_core::{
    Error, Fault, Refusal,
    error::Disconnected,
    semantics::{
        Domain, Fingerprint, Grant, NotNow, Secret, Semantics, Series, SeriesLimits, SessionId,
        Stamp, Standing, Xid,
    },
    wire::SessionKey,
};
use tokio::sync::Notify;

use super::{
    going::Going,
    journal::{Journal, Ticket},
    opening::{Opening, Waiter},
};
use crate::{
    client::{Unsent, builder::ClientLimits, now, repeat::Allowance, route::WeakRoute},
    sync::{Handle as Runtime, Mutex},
};

/// The sessions of a client.
pub(in crate::client) struct Sessions {
    this: Weak<Sessions>,
    pub(super) route: WeakRoute,
    pub(super) runtime: Runtime,
    allowance: Arc<Allowance>,
    pub(super) going: Arc<Going>,
    /// Where calls are written before they are sent.
    pub(super) journal: Option<Arc<Journal>>,
    /// Locked for single steps. Taken before a line's, a connection's and a journal's, never after one of them.
    pub(super) state: Mutex<State>,
    /// Told when a call that found no room may look again.
    room: Notify,
    /// Told when an acknowledgement is due before its time.
    pub(super) bell: Arc<Notify>,
}

/// What the lock protects.
#[derive(Default)]
pub(super) struct State {
    /// Where calls begin.
    pub(super) current: Option<Series>,
    /// Sessions in which no call begins any more, and some are not settled.
    earlier: Vec<Series>,
    /// Sessions that nobody needs, and whose server is still to hear of that.
    pub(super) parting: Vec<SessionKey>,
    pub(super) opening: Option<Arc<Opening>>,
    /// Somebody sees to what is to be acknowledged.
    pub(super) acking: bool,
    /// Calls that wait for the server to confirm that others are settled.
    pub(super) waiting: usize,
    /// The session of a log, which is to be resumed first.
    pub(super) resume: Option<Resume>,
    /// Why no call begins any more: the client is closed …
    closed: Option<Arc<Disconnected>>,
    /// … or another process has its log.
    fenced: Option<Fault>,
}

/// What a log knows of a session.
pub(super) struct Resume {
    pub(super) key: SessionKey,
    /// The highest number that was given.
    pub(super) newest: u64,
    /// Those of calls that are not settled, in order.
    pub(super) pending: Vec<u64>,
}

/// What a call says, as it is kept.
#[cfg_attr(not(feature = "durable"), allow(dead_code))] // nobody keeps it
pub(super) struct Said<'a> {
    pub(super) tag: &'a Arc<[u8]>,
    pub(super) method: &'a str,
    pub(super) body: &'a [u8],
}

/// A call's number. Dropped, the call is settled: nobody asks about it any more.
pub(in crate::client) struct Number {
    sessions: Arc<Sessions>,
    pub(super) xid: Xid,
    /// What its fingerprint is made with.
    secret: Secret,
    /// Its entry in the log, if there is one and it may not be on disk yet.
    ticket: Option<Ticket>,
    /// It is settled by hand, and not when it is dropped.
    is_kept: bool,
}

/// What came of an attempt to begin a call.
pub(super) enum Begun<T> {
    Now(T),
    /// It is to wait: so many calls are not settled, or not yet confirmed to be.
    Full(usize),
    /// It is to wait for a session.
    Opening(Waiter),
}

impl Sessions {
    pub(in crate::client) fn new(
        route: WeakRoute,
        runtime: Runtime,
        limits: &ClientLimits,
        seed: u64,
    ) -> Arc<Self> {
        Self::with_journal(route, runtime, limits, seed, None, |_, _| None)
    }

    /// Sessions whose calls are written down, if `journal` gives where; `resume` is the one to begin with.
    pub(super) fn with_journal(
        route: WeakRoute,
        runtime: Runtime,
        limits: &ClientLimits,
        seed: u64,
        resume: Option<Resume>,
        journal: impl FnOnce(Runtime, Weak<Sessions>) -> Option<Arc<Journal>>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Sessions {
            this: this.clone(),
            route,
            allowance: Arc::new(Allowance::new(seed)),
            going: Going::new(limits),
            journal: journal(runtime.clone(), this.clone()),
            runtime,
            state: Mutex::new(State { resume, ..State::default() }),
            room: Notify::new(),
            bell: Arc::default(),
        })
    }

    pub(in crate::client) fn allowance(&self) -> &Arc<Allowance> {
        &self.allowance
    }

    /// Begins a call, once there is a session and room in it.
    ///
    /// # Errors
    /// If there will be none.
    pub(super) async fn begin(&self, said: &Said<'_>) -> Result<Number, Error> {
        self.wait_for(|series, now| self.number(series, now, said)).await
    }

    /// Waits until there is a session.
    ///
    /// # Errors
    /// If there will be none.
    #[cfg(feature = "durable")]
    pub(super) async fn opened(&self) -> Result<(), Error> {
        self.wait_for(|_, _| Ok(())).await
    }

    /// Waits until a call would begin.
    ///
    /// # Errors
    /// If none ever will.
    pub(in crate::client) async fn ready(&self) -> Result<(), Error> {
        self.going.ready().await;
        self.wait_for(|series, now| match () {
            () if series.is_ending(now) => Err(NotNow::LeaseEnds),
            () if is_full(series) => Err(NotNow::Window),
            () => Ok(()),
        })
        .await
    }

    async fn wait_for<T>(
        &self,
        take: impl Fn(&mut Series, Instant) -> Result<T, NotNow>,
    ) -> Result<T, Error> {
        loop {
            let mut room = pin!(self.room.notified());
            match self.attempt(&take)? {
                Begun::Now(taken) => {
                    // There may be room for one more.
                    self.room_for_others();
                    return Ok(taken);
                }
                Begun::Opening(waiter) => waiter.opened().await?,
                Begun::Full(_) => {
                    let _waiting = Waiting::new(self);
                    room.as_mut().enable();
                    // Between the look and this something may have been confirmed.
                    if self.is_full() {
                        if let Some(journal) = &self.journal {
                            journal.write();
                        }
                        self.look();
                        self.bell.notify_one();
                        room.await;
                    }
                }
            }
        }
    }

    /// Begins a call, if that can be now.
    ///
    /// # Errors
    /// If it never can.
    pub(super) fn try_begin(&self, said: &Said<'_>) -> Result<Begun<Number>, Error> {
        self.attempt(|series, now| self.number(series, now, said))
    }

    /// Gives a call its number, under the lock: so its entry is in the order of the numbers.
    fn number(&self, series: &mut Series, now: Instant, said: &Said<'_>) -> Result<Number, NotNow> {
        let xid = series.begin(now)?;
        let ticket = self.journal.as_ref().map(|journal| journal.call(xid, said));
        Ok(Number {
            sessions: self.strong(),
            xid,
            secret: series.grant().secret,
            ticket,
            is_kept: false,
        })
    }

    fn attempt<T>(
        &self,
        take: impl Fn(&mut Series, Instant) -> Result<T, NotNow>,
    ) -> Result<Begun<T>, Error> {
        let mut state = self.state.lock();
        if let Some(closed) = &state.closed {
            return Err(Unsent::lost(closed.clone()));
        }
        if let Some(fenced) = &state.fenced {
            let message = fenced.message().to_owned();
            return Err(Error::Refused { refusal: Refusal::Fenced, message });
        }
        if let Some(failed) = self.journal.as_ref().and_then(|journal| journal.failure()) {
            return Err(failed);
        }
        if let Some(series) = &mut state.current {
            match take(series, now()) {
                Ok(taken) => return Ok(Begun::Now(taken)),
                Err(NotNow::Window) => return Ok(Begun::Full(series.unconfirmed() as usize)),
                Err(NotNow::LeaseEnds) => {}
            }
        }
        let opening = match &state.opening {
            Some(opening) => opening.clone(),
            None => {
                let opening = Opening::start(self, self.strong());
                state.opening = Some(opening.clone());
                opening
            }
        };
        Ok(Begun::Opening(Waiter::new(opening)))
    }

    /// What a call carries when it is sent now; `None` if its session is over.
    pub(super) fn stamp(
        &self,
        number: &Number,
        attempt: u16,
        semantics: Semantics,
        fingerprint: Fingerprint,
    ) -> Option<Stamp> {
        let mut state = self.state.lock();
        let series = state.of(number.xid.domain, number.xid.session)?;
        Some(series.stamp(now(), number.xid.seq, attempt, semantics, fingerprint))
    }

    /// What an answer says, to something that was sent at `asked`.
    pub(super) fn heard(&self, asked: Instant, standing: &Standing) {
        {
            let mut state = self.state.lock();
            let Some(series) = state.of(standing.xid.domain, standing.xid.session) else { return };
            let before = series.confirmed();
            series.heard(asked, standing);
            series.moved(standing.epoch);
            if series.confirmed() == before || state.waiting == 0 {
                return;
            }
        }
        self.room.notify_one();
    }

    /// The server knows nothing of this session, or nothing that is of use.
    pub(super) fn gone(&self, domain: Domain, session: SessionId) {
        let left = {
            let mut state = self.state.lock();
            let is_it = |series: &Series| is_of(series, domain, session);
            state.earlier.retain(|series| !is_it(series));
            state.current.take_if(|series| is_it(series))
        };
        if left.is_some() {
            // They are to find another.
            self.room.notify_waiters();
        }
    }

    /// Whether there is a session of an earlier life.
    pub(in crate::client) fn resumes(&self) -> bool {
        self.state.lock().resume.is_some()
    }

    /// A session is granted, to those who have asked at `asked`.
    pub(super) fn granted(&self, asked: Instant, grant: Grant) {
        {
            let mut state = self.state.lock();
            let limits = SeriesLimits::default();
            let series = match state.resume.take() {
                None => Series::new(asked, grant, limits),
                Some(Resume { newest, pending, .. }) => {
                    let mut series = Series::resume(asked, grant, limits, pending);
                    series.skip_to(newest);
                    series
                }
            };
            if let Some(journal) = &self.journal {
                journal.session(&grant);
            }
            let left = state.current.replace(series);
            state.retire(left);
        }
        self.room.notify_waiters();
        self.look();
    }

    /// What was sent on a connection may not have arrived.
    pub(super) fn disconnected(&self) {
        let mut state = self.state.lock();
        state.current.iter_mut().for_each(Series::disconnected);
    }

    /// No call begins from now on; gives the sessions that there are, with what is to be acknowledged.
    pub(super) fn close(&self, cause: Arc<Disconnected>) -> Vec<SessionKey> {
        let left = {
            let mut state = self.state.lock();
            state.closed.get_or_insert(cause);
            let left: Vec<_> =
                state.current.take().into_iter().chain(state.earlier.drain(..)).collect();
            let mut keys: Vec<_> = left.iter().map(|series| key(series.grant())).collect();
            keys.append(&mut state.parting);
            keys
        };
        self.room.notify_waiters();
        left
    }

    /// Another process goes on with what this client's log knows.
    pub(super) fn fenced(&self, fault: Fault) {
        if self.journal.is_some() {
            self.state.lock().fenced.get_or_insert(fault);
            self.room.notify_waiters();
        }
    }

    fn settle(&self, xid: Xid) {
        let Some(journal) = &self.journal else { return self.are_settled([xid]) };
        let now = {
            let state = self.state.lock();
            if state.closed.is_some() {
                return; // it is for whoever opens the log next
            }
            let window = state.current.as_ref().map_or(0, |series| series.grant().window);
            state.waiting > 0 || 2 * journal.settling() >= window as usize
        };
        journal.settle(xid, now);
    }

    /// Nobody will ask about these calls, whatever happens.
    pub(super) fn are_settled(&self, calls: impl IntoIterator<Item = Xid>) {
        let is_due = {
            let mut state = self.state.lock();
            for xid in calls {
                if let Some(series) = state.of(xid.domain, xid.session) {
                    series.settle(xid.seq);
                }
            }
            state.part();
            let due = |series: &Series| series.ack_due(now()).is_some();
            state.waiting > 0 || state.current.as_ref().is_some_and(due)
        };
        self.look();
        if is_due {
            self.bell.notify_one();
        }
    }

    fn is_full(&self) -> bool {
        self.state.lock().current.as_ref().is_some_and(is_full)
    }

    fn room_for_others(&self) {
        if self.state.lock().waiting > 0 && !self.is_full() {
            self.room.notify_one();
        }
    }

    pub(super) fn strong(&self) -> Arc<Sessions> {
        self.this.upgrade().expect("whoever calls holds it")
    }

    pub(super) fn weak(&self) -> Weak<Sessions> {
        self.this.clone()
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl State {
    /// The calls of a session.
    pub(super) fn of(&mut self, domain: Domain, session: SessionId) -> Option<&mut Series> {
        let all = self.current.iter_mut().chain(&mut self.earlier);
        all.into_iter().find(|series| is_of(series, domain, session))
    }

    /// No call begins in this session any more.
    pub(super) fn retire(&mut self, series: Option<Series>) {
        self.earlier.extend(series);
        self.part();
    }

    /// Lets go of earlier sessions of which all calls are settled.
    fn part(&mut self) {
        let parting = &mut self.parting;
        self.earlier.retain(|series| {
            let is_over = series.unsettled().next().is_none();
            if is_over {
                parting.push(key(series.grant()));
            }
            !is_over
        });
    }
}

impl Number {
    /// That of a call that a log remembers, to be settled by hand.
    #[cfg(feature = "durable")]
    pub(super) fn recovered(sessions: Arc<Sessions>, xid: Xid, secret: Secret) -> Self {
        Number { sessions, xid, secret, ticket: None, is_kept: true }
    }

    /// Waits until the call may be sent.
    ///
    /// # Errors
    /// If it may not.
    pub(super) async fn is_safe(&mut self) -> Result<(), Error> {
        if let (Some(journal), Some(ticket)) = (&self.sessions.journal, self.ticket) {
            journal.is_safe(ticket).await?;
            self.ticket = None;
        }
        Ok(())
    }

    /// Whether the call may be sent at once.
    pub(super) fn may_leave(&self) -> bool {
        self.ticket.is_none()
    }

    /// Whether a log knows of the call.
    pub(super) fn is_logged(&self) -> bool {
        self.sessions.journal.is_some()
    }

    /// From now on it is settled by hand.
    #[cfg(feature = "durable")]
    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }

    /// Settles the call.
    #[cfg(feature = "durable")]
    pub(super) fn settle(mut self) {
        self.is_kept = false;
    }

    pub(super) fn fingerprint(&self, method: &str, body: &[u8]) -> Fingerprint {
        self.secret.fingerprint(method, body)
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        if !self.is_kept {
            self.sessions.settle(self.xid);
        }
    }
}

/// A call that waits for room.
struct Waiting<'a>(&'a Sessions);

impl<'a> Waiting<'a> {
    fn new(sessions: &'a Sessions) -> Self {
        sessions.state.lock().waiting += 1;
        Waiting(sessions)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state.lock().waiting -= 1;
    }
}

fn is_full(series: &Series) -> bool {
    series.unconfirmed() >= u64::from(series.grant().window)
}

fn is_of(series: &Series, domain: Domain, session: SessionId) -> bool {
    (series.grant().domain, series.grant().session) == (domain, session)
}

/// What it takes to speak for a session.
pub(super) fn key(grant: &Grant) -> SessionKey {
    SessionKey { domain: grant.domain, session: grant.session, secret: grant.secret }
}
