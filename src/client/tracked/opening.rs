//! A session is opened, once for all calls that wait for it.

use std::{
    sync::{Arc, OnceLock, Weak},
    time::{Duration, Instant},
};

use netrpc_core::{
    Error, Fault, Refusal,
    backoff::Schedule,
    error::Disconnected,
    fault::FaultCode,
    pending::Outcome,
    semantics::{Epoch, Grant, Standing, Xid},
    wire::{AckFrame, FaultBody, Frame, Kind, SessionFrame},
};
use tokio::sync::Notify;

use super::{
    Sessions, acks,
    awaited::{Awaited, Question},
};
use crate::{
    client::{Unsent, now, shared::Answer},
    sync::atomic::{AtomicUsize, Ordering},
};

/// How long somebody who has asked for a session waits on for the answer when nobody needs it any more: it may
/// be on its way, and the next call need not ask again.
const GRACE: Duration = Duration::from_secs(10);

/// The opening of a session: one at a time, by a task of its own, for all who wait.
#[derive(Default)]
pub(super) struct Opening {
    /// Written under the sessions' lock when it becomes more than none.
    waiting: AtomicUsize,
    /// Told when nobody waits any more.
    unwanted: Notify,
    outcome: OnceLock<Result<(), NotOpened>>,
    /// Told when there is an outcome.
    over: Notify,
}

/// Why there is no session.
#[derive(Clone)]
pub(super) enum NotOpened {
    Refused(Fault),
    Lost(Arc<Disconnected>),
}

impl NotOpened {
    /// The error of a call that has waited. It has not run.
    fn error(self) -> Error {
        match self {
            NotOpened::Lost(cause) => Unsent::lost(cause),
            NotOpened::Refused(fault) => {
                let message = format!("no session for calls that run once: {}", fault.message());
                match Error::from_fault(fault) {
                    Error::Refused { refusal, .. } => Error::Refused { refusal, message },
                    _ => Error::Refused { refusal: Refusal::Unsupported, message },
                }
            }
        }
    }
}

/// Somebody who waits for a session.
pub(super) struct Waiter(Arc<Opening>);

impl Waiter {
    /// Made under the sessions' lock.
    pub(super) fn new(opening: Arc<Opening>) -> Self {
        opening.waiting.fetch_add(1, Ordering::SeqCst);
        Waiter(opening)
    }

    /// Waits until there is one.
    ///
    /// # Errors
    /// If it is refused, or there is no way to ask for it.
    pub(super) async fn opened(self) -> Result<(), Error> {
        loop {
            let over = self.0.over.notified();
            if let Some(outcome) = self.0.outcome.get() {
                return outcome.clone().map_err(NotOpened::error);
            }
            over.await;
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.unwanted.notify_one();
        }
    }
}

/// What came of asking once.
enum Asked {
    Opened,
    Later(Duration),
    /// Nobody waits any more.
    Unwanted,
    Not(NotOpened),
}

impl Opening {
    /// Begins to open a session; for whoever has the sessions' lock.
    pub(super) fn start(sessions: &Sessions, strong: Arc<Sessions>) -> Arc<Opening> {
        let opening = Arc::new(Opening::default());
        drop(sessions.runtime.spawn(open(Arc::downgrade(&strong), opening.clone())));
        opening
    }
}

/// Asks until a session is granted or refused, or nobody wants it.
async fn open(sessions: Weak<Sessions>, opening: Arc<Opening>) {
    let mut task = Task { sessions, opening, over: false };
    let Some(mut schedule) = task.sessions.upgrade().map(|it| it.allowance().schedule()) else {
        return;
    };
    let outcome = loop {
        match task.ask(&mut schedule).await {
            Asked::Opened => break Ok(()),
            Asked::Not(not) => break Err(not),
            Asked::Unwanted if task.retire() => return,
            Asked::Unwanted => {}
            Asked::Later(after) => {
                tokio::select! {
                    biased;
                    () = task.opening.unwanted.notified() => {}
                    () = tokio::time::sleep(after) => {}
                }
                if task.retire() {
                    return;
                }
            }
        }
    };
    task.end(outcome);
}

struct Task {
    sessions: Weak<Sessions>,
    opening: Arc<Opening>,
    over: bool,
}

impl Task {
    /// Asks once, on the present connection or the next.
    async fn ask(&self, schedule: &mut Schedule) -> Asked {
        let (awaited, asked, question) = match self.send() {
            Ok(sent) => sent,
            Err(not) => return Asked::Not(not),
        };
        let mut awaited = awaited;
        let outcome = tokio::select! {
            biased;
            outcome = awaited.outcome() => outcome,
            () = self.unwanted() => return Asked::Unwanted,
        };
        drop(awaited);
        let Some(sessions) = self.sessions.upgrade() else { return Asked::Unwanted };
        let frame = match outcome {
            Outcome::Answered(Answer::Frame(frame)) => frame,
            Outcome::Answered(_) => return Asked::Not(NotOpened::Refused(nonsense())),
            Outcome::Lost { cause, .. } => {
                sessions.disconnected();
                let has_hope = sessions.route.upgrade().is_some_and(|route| route.has_hope(&cause));
                return match has_hope {
                    // The next connection takes its own time to come.
                    true => Asked::Later(Duration::ZERO),
                    false => Asked::Not(NotOpened::Lost(cause)),
                };
            }
        };
        match (question, Said::of(&frame)) {
            (Asking::Open | Asking::Resume, Said::Granted(grant)) => {
                sessions.granted(asked, grant);
                // One that is over when it comes is not asked for again at once.
                match sessions.ends() {
                    false => Asked::Opened,
                    true => Asked::Later(schedule.next_delay()),
                }
            }
            (Asking::Renew(xid), Said::Confirmed(standing)) => {
                sessions.heard(asked, &Standing { xid, ..standing });
                // A session that will not be renewed makes room for another.
                if sessions.renewed() { Asked::Opened } else { Asked::Later(Duration::ZERO) }
            }
            (_, Said::Fault(fault)) if is_passing(fault.code()) => {
                Asked::Later(schedule.next_delay())
            }
            (Asking::Resume, Said::Fault(fault)) if is_forgotten(fault.code()) => {
                // What became of its calls nobody will know. Others are made in another.
                sessions.state.lock().resume = None;
                Asked::Later(Duration::ZERO)
            }
            (_, Said::Fault(fault)) if fault.code() == FaultCode::Fenced => {
                sessions.fenced(fault.clone());
                Asked::Not(NotOpened::Refused(fault))
            }
            (Asking::Renew(xid), Said::Fault(_)) => {
                sessions.gone(xid.domain, xid.session);
                Asked::Later(Duration::ZERO)
            }
            (Asking::Open | Asking::Resume, Said::Fault(fault)) => {
                Asked::Not(NotOpened::Refused(fault))
            }
            _ => Asked::Not(NotOpened::Refused(nonsense())),
        }
    }

    /// Sends the question.
    fn send(&self) -> Result<(Awaited, Instant, Asking), NotOpened> {
        let gone = || NotOpened::Lost(Arc::new(Disconnected::Closed));
        let sessions = self.sessions.upgrade().ok_or_else(gone)?;
        let route = sessions.route.upgrade().ok_or_else(gone)?;
        let lost = |error: Error| match error {
            Error::Shutdown { cause, .. } => NotOpened::Lost(cause),
            _ => gone(),
        };
        let (question, asking) = sessions.question();
        let mut connection = route.current().map_err(lost)?;
        loop {
            match Awaited::question(connection.clone(), &question) {
                Ok(awaited) => return Ok((awaited, now(), asking)),
                Err(cause) => connection = route.renew(&connection, cause).map_err(lost)?,
            }
        }
    }

    /// Waits until nobody has waited for a while.
    async fn unwanted(&self) {
        self.opening.unwanted.notified().await;
        tokio::time::sleep(GRACE).await;
    }

    /// Whether nobody waits; then this opening is over, and the next call begins another.
    fn retire(&mut self) -> bool {
        let Some(sessions) = self.sessions.upgrade() else { return true };
        let mut state = sessions.state.lock();
        if self.opening.waiting.load(Ordering::SeqCst) > 0 {
            return false;
        }
        self.over = true;
        state.opening = None;
        true
    }

    fn end(&mut self, outcome: Result<(), NotOpened>) {
        self.over = true;
        if let Some(sessions) = self.sessions.upgrade() {
            sessions.state.lock().opening = None;
        }
        let _ = self.opening.outcome.set(outcome);
        self.opening.over.notify_waiters();
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // The runtime is gone, and nobody else tells those who wait.
        if !self.over {
            self.end(Err(NotOpened::Lost(Arc::new(Disconnected::Runtime))));
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy)]
enum Asking {
    Open,
    /// The session that a log knows.
    Resume,
    /// That a session's time begins anew.
    Renew(Xid),
}

impl Sessions {
    fn question(&self) -> (Question, Asking) {
        let mut state = self.state.lock();
        if let Some(resume) = &state.resume {
            return (Question::Session(SessionFrame::Resume(resume.key)), Asking::Resume);
        }
        let Some(series) = &mut state.current else {
            return (Question::Session(SessionFrame::Open), Asking::Open);
        };
        let xid = series.xid(0);
        (Question::Acknowledgement(acks::acknowledgement(series)), Asking::Renew(xid))
    }

    /// Whether no call begins in the present session.
    fn ends(&self) -> bool {
        self.state.lock().current.as_ref().is_some_and(|series| series.is_ending(now()))
    }

    /// Whether calls begin in the present session; it is let go of if not.
    fn renewed(&self) -> bool {
        let mut state = self.state.lock();
        let ends = state.current.take_if(|series| series.is_ending(now()));
        let renewed = ends.is_none();
        state.retire(ends);
        renewed
    }
}

/// What the answer to a question about a session says.
pub(super) enum Said {
    Granted(Grant),
    /// Nothing of the call but its session.
    Confirmed(Standing),
    Closed,
    Fault(Fault),
    Nonsense,
}

impl Said {
    pub(super) fn of(frame: &Frame) -> Said {
        let body = frame.body_slice();
        match frame.kind {
            Kind::Session => match SessionFrame::parse(body) {
                Ok(SessionFrame::Granted(grant)) => Said::Granted(grant),
                Ok(SessionFrame::Closed) => Said::Closed,
                _ => Said::Nonsense,
            },
            Kind::Acknowledgement => match AckFrame::parse(body) {
                Ok(AckFrame::Confirmed { domain, session, epoch, floor, lease_left }) => {
                    Said::Confirmed(standing(
                        Xid { domain, session, seq: 0 },
                        epoch,
                        floor,
                        lease_left,
                    ))
                }
                _ => Said::Nonsense,
            },
            _ => match FaultBody::parse(body) {
                Ok(fault) => Said::Fault(Fault::with_code(fault.code, fault.message)),
                Err(_) => Said::Nonsense,
            },
        }
    }
}

fn standing(xid: Xid, epoch: Epoch, floor: u64, lease_left: Duration) -> Standing {
    Standing {
        xid,
        epoch,
        floor,
        lease_left,
        retry_after: Duration::ZERO,
        is_final: true,
        is_replayed: false,
    }
}

/// Whether a session that is refused so will never be there again.
fn is_forgotten(code: FaultCode) -> bool {
    matches!(
        code,
        FaultCode::WrongDomain
            | FaultCode::WrongEpoch
            | FaultCode::SessionExpired
            | FaultCode::SessionUnknown
    )
}

/// Whether a question that is refused so may fare better later.
fn is_passing(code: FaultCode) -> bool {
    matches!(code, FaultCode::AskAgain | FaultCode::Overloaded | FaultCode::ShuttingDown)
}

fn nonsense() -> Fault {
    Fault::with_code(FaultCode::Unsupported, "the server's answer is not one to what it was asked")
}
