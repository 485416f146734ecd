//! Calls that a log remembers of the process before this one.

use std::{fmt, sync::Arc};

use netrpc_core::{
    Error, Metadata,
    semantics::{Secret, Semantics, Xid},
    wire::SessionKey,
};
use netrpc_log::{Log, Session};
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, mpsc};

use super::{
    Ended, Identity, Told, Tracked,
    journal::Journal,
    sessions::{Number, Resume, Sessions},
    verdict,
};
use crate::client::{
    builder::ClientLimits,
    call,
    repeat::doubt,
    route::{Route, WeakRoute},
};
use crate::sync::Handle as Runtime;

/// The calls that a client's log remembered when the client was made: [`Client::recovered`](crate::Client::recovered).
///
/// Cloning is cheap; all clones are one queue.
#[derive(Clone)]
pub struct Recovered {
    calls: Arc<Mutex<mpsc::UnboundedReceiver<RecoveredCall>>>,
}

/// A call that was made before its client crashed, with what has become of it.
///
/// Dropping it leaves it in the log, to be recovered again by the next process; [`Receipt::settle`] takes it out.
pub struct RecoveredCall {
    tag: Vec<u8>,
    method: String,
    ended: Ended,
}

/// What keeps the outcome of a call from being forgotten, by the client's log and by the server.
///
/// Whoever has noted the outcome for good [settles](Self::settle) it. One that is dropped leaves the call in
/// the log: the next process that opens it learns the outcome once more. It keeps a place in the session's window
/// until then.
///
/// The receipt of a call that no log knows has nothing to keep.
#[must_use = "the log keeps the call until its receipt is settled"]
pub struct Receipt {
    number: Option<Number>,
}

impl Receipt {
    pub(in crate::client) fn new(number: Option<Number>) -> Self {
        let number = number.map(|mut number| {
            number.keep();
            number
        });
        Receipt { number }
    }

    /// The outcome is noted for good, and nobody asks for it again.
    pub fn settle(mut self) {
        if let Some(number) = self.number.take() {
            number.settle();
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let xid = self.number.as_ref().map(|number| number.xid);
        f.debug_struct("Receipt").field("xid", &xid).finish()
    }
}

impl Recovered {
    /// None.
    pub(in crate::client) fn none() -> Self {
        Self::of(mpsc::unbounded_channel().1)
    }

    fn of(calls: mpsc::UnboundedReceiver<RecoveredCall>) -> Self {
        Recovered { calls: Arc::new(Mutex::new(calls)) }
    }

    /// The next call whose outcome is known; `None` when there is no other.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn next(&self) -> Option<RecoveredCall> {
        self.calls.lock().await.recv().await
    }
}

impl fmt::Debug for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recovered")
    }
}

impl RecoveredCall {
    /// What its maker has [called it](crate::CallOptions::tag); empty unless set.
    pub fn tag(&self) -> &[u8] {
        &self.tag
    }

    /// The method's full name: `Bank.Debit`.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// What has become of it, and what keeps that from being forgotten.
    ///
    /// [`Error::OutcomeUnknown`] if nobody knows: its session had ended, or the server has lost its memory. It is
    /// never made again as another call.
    pub fn outcome<R: DeserializeOwned>(self) -> (Result<R, Error>, Receipt) {
        let (told, number) = self.ended;
        let outcome = told.and_then(|Told { answer, in_doubt }| {
            let outcome = call::read(answer);
            if in_doubt { outcome.map_err(doubt) } else { outcome }
        });
        (outcome, Receipt::new(number))
    }
}

impl fmt::Debug for RecoveredCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoveredCall")
            .field("tag", &self.tag.escape_ascii().to_string())
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// What a log has to say when it is opened.
pub(in crate::client) struct Kept {
    calls: Vec<netrpc_log::Call>,
    session: Option<Session>,
}

impl Sessions {
    /// Sessions whose calls are written to `log` before they are sent, and what it knows of calls before.
    pub(in crate::client) fn logged(
        route: WeakRoute,
        limits: &ClientLimits,
        seed: u64,
        (log, sync): (Log, super::LogSync),
    ) -> (Arc<Sessions>, Kept) {
        let session = log.current().copied();
        let calls: Vec<_> = log.pending().cloned().collect();
        let resume = session.map(|it| {
            let is_its = |call: &&netrpc_log::Call| is_of(&it, call);
            let mut pending: Vec<_> = calls.iter().filter(is_its).map(|call| call.seq).collect();
            pending.sort_unstable();
            let Session { domain, session, secret, .. } = it;
            Resume { key: SessionKey { domain, session, secret }, newest: log.newest(), pending }
        });
        let runtime = Runtime::current();
        let journal = |runtime, sessions| Some(Journal::new(log, sync, runtime, sessions));
        let sessions = Sessions::with_journal(route, runtime, limits, seed, resume, journal);
        (sessions, Kept { calls, session })
    }
}

impl Kept {
    /// Has every call sent again under its own number, if it can be.
    pub(in crate::client) fn recover(self, route: &Route) -> Recovered {
        let (tell, told) = mpsc::unbounded_channel();
        let sessions = route.sessions(Semantics::ExactlyOnce);
        for call in self.calls {
            let (tag, method) = (call.tag.clone(), call.method.clone());
            let secret = self.session.filter(|it| is_of(it, &call)).map(|it| it.secret);
            let tracked = Tracked::recovered(route.clone(), call, secret);
            let tell = tell.clone();
            drop(sessions.runtime.spawn(async move {
                let ended = tracked.recover(secret.is_some()).await;
                // If nobody listens, it stays in the log.
                let _ = tell.send(RecoveredCall { tag, method, ended });
            }));
        }
        Recovered::of(told)
    }
}

impl Tracked {
    fn recovered(route: Route, call: netrpc_log::Call, secret: Option<Secret>) -> Self {
        let netrpc_log::Call { domain, session, seq, tag, method, body } = call;
        let xid = Xid { domain, session, seq };
        let semantics = Semantics::ExactlyOnce;
        let mut tracked =
            Tracked::new(route, &method, body, (Metadata::new(), tag.into()), None, semantics);
        // The process before may have sent it.
        tracked.repeat.doubt();
        let secret = secret.unwrap_or(Secret::new([0; 16]));
        let number = Number::recovered(tracked.sessions.clone(), xid, secret);
        let fingerprint = number.fingerprint(&tracked.method, &tracked.body);
        tracked.identity = Some(Identity { number, fingerprint, attempts: 0 });
        tracked
    }

    /// Learns the outcome, if anybody can be asked.
    async fn recover(self, can_be_asked: bool) -> Ended {
        if !can_be_asked {
            let number = self.identity.map(|identity| identity.number);
            return (Err(verdict::session_gone(true)), number);
        }
        match self.sessions.opened().await {
            Ok(()) => self.finish().await,
            Err(error) => (Err(doubt(error)), self.identity.map(|identity| identity.number)),
        }
    }
}

fn is_of(session: &Session, call: &netrpc_log::Call) -> bool {
    (session.domain, session.session) == (call.domain, call.session)
}
