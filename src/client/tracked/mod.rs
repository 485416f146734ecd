//! Calls that run once: sent again until they are answered, under a number by which the server's ledger knows
//! them.
//!
//! | noun | file | what it owns |
//! |---|---|---|
//! | [`Tracked`] | `mod` | a call: numbered, sent, sent again, and what became of it |
//! | [`Sessions`] | `sessions` | where numbers come from, and who hears what answers say of them |
//! | `Opening` | `opening` | how a session comes to be, once for all who wait |
//! | – | `acks` | acknowledgements that travel alone |
//! | – | `verdict` | what an answer means |
//! | `Awaited` | `awaited` | something that was sent, until its answer is there |
//! | [`Journey`] | `going` | a call of `go`, which goes on by itself |

mod acks;
pub(super) mod awaited;
mod going;
#[cfg_attr(not(feature = "durable"), path = "no_journal.rs")]
mod journal;
mod opening;
mod parting;
#[cfg(feature = "durable")]
mod recovery;
mod sessions;
mod verdict;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use netrpc_core::{
    Error, Metadata,
    pending::Outcome,
    semantics::{
        Fingerprint, Semantics,
        retry::{Failure, Next},
    },
    wire,
};

#[cfg(feature = "tower")]
use super::CallOptions;
use super::{
    Handle, Unsent, now,
    options::End,
    repeat::{Repeat, doubt},
    route::Route,
    send,
    shared::Answer,
};

pub(super) use going::Journey;
#[cfg(feature = "durable")]
pub use journal::LogSync;
#[cfg(feature = "durable")]
pub(super) use journal::log_error;
#[cfg(feature = "durable")]
pub use recovery::{Receipt, Recovered, RecoveredCall};
pub(super) use sessions::Sessions;

use awaited::Awaited;
pub(in crate::client) use sessions::Number;
use sessions::{Begun, Said};

/// A call that runs once.
pub(super) struct Tracked {
    route: Route,
    sessions: Arc<Sessions>,
    method: Box<str>,
    /// The arguments, encoded.
    body: Vec<u8>,
    metadata: Metadata,
    /// What its maker knows it by.
    tag: Arc<[u8]>,
    end: Option<End>,
    semantics: Semantics,
    repeat: Repeat,
    /// Who it is, once it was to be sent.
    identity: Option<Identity>,
    under_way: Option<UnderWay>,
}

/// What makes all attempts of a call one call.
struct Identity {
    number: Number,
    fingerprint: Fingerprint,
    /// How often it was sent.
    attempts: u16,
}

struct UnderWay {
    awaited: Awaited,
    sent: Instant,
    /// It goes in datagrams, of which the server may get more than one.
    in_copies: bool,
}

/// How a call has ended: what it is told, and its number if it is still to be settled.
pub(in crate::client) type Ended = (Result<Told, Error>, Option<Number>);

/// What a call is told.
pub(super) struct Told {
    pub(super) answer: Answer,
    /// The answer is not that of the ledger, and an attempt before may have run.
    pub(super) in_doubt: bool,
}

/// What becomes of a call.
enum Verdict {
    Over(Told),
    /// It is sent again, once it has waited.
    Again,
    /// It has not run, and is made as another call.
    Anew,
}

impl Tracked {
    pub(super) fn new(
        route: Route,
        method: &str,
        body: Vec<u8>,
        (metadata, tag): (Metadata, Arc<[u8]>),
        end: Option<End>,
        semantics: Semantics,
    ) -> Self {
        let sessions = route.sessions(semantics).clone();
        let repeat = sessions.allowance().call(semantics);
        Tracked {
            route,
            sessions,
            method: method.into(),
            body,
            metadata,
            tag,
            end,
            semantics,
            repeat,
            identity: None,
            under_way: None,
        }
    }

    /// Starts the call and lets it go on by itself.
    ///
    /// # Errors
    /// If there is no room for it.
    pub(super) fn go(self) -> Result<Journey, Error> {
        Journey::start(self)
    }

    /// Sends the call until it has an outcome or its time is over. Then it is settled, but for one that a log
    /// knows: that is settled when its outcome is taken. It is settled too if the future is dropped.
    pub(super) async fn finish(mut self) -> Ended {
        let outcome = self.outcome().await;
        let identity = self.identity.take().filter(|identity| identity.number.is_logged());
        (outcome, identity.map(|identity| identity.number))
    }

    /// The same, for a call that can be asked for again under its number.
    pub(super) async fn outcome(&mut self) -> Result<Told, Error> {
        let outcome = match self.end.and_then(|end| end.at) {
            None => self.drive().await,
            Some(at) => match tokio::time::timeout_at(at.into(), self.drive()).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Error::Deadline { may_have_run: self.abandon() }),
            },
        };
        outcome.map_err(|error| match error {
            error if self.repeat.may_have_run() => doubt(error),
            error if self.is_logged() => later(error),
            error => error,
        })
    }

    /// Whether a log knows of the call: who opens it next sends the call, unless it is settled by then.
    fn is_logged(&self) -> bool {
        self.identity.as_ref().is_some_and(|identity| identity.number.is_logged())
    }

    fn said(&self) -> Said<'_> {
        Said { tag: &self.tag, method: &self.method, body: &self.body }
    }

    /// Whether it has a number.
    #[cfg(feature = "tower")]
    pub(super) fn has_begun(&self) -> bool {
        self.identity.is_some()
    }

    /// The call is to be asked for again, with these options.
    ///
    /// # Errors
    /// If it is another call.
    #[cfg(feature = "tower")]
    pub(super) fn ask_again(
        &mut self,
        method: &str,
        body: &[u8],
        options: &CallOptions,
    ) -> Result<(), Error> {
        if (method, body) != (&*self.method, &*self.body) {
            let may_have_run = self.under_way.is_some() || self.repeat.may_have_run();
            let cause = "a layer sent a call that runs once again, with other arguments".into();
            return Err(Error::Layer { may_have_run, cause });
        }
        self.end = options.end()?;
        self.metadata = options.metadata.clone();
        Ok(())
    }

    fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// Bytes of its arguments.
    fn bytes(&self) -> usize {
        self.body.len()
    }

    /// Nobody waits for what is under way any more; whether it may have run.
    fn abandon(&mut self) -> bool {
        let left = self.under_way.take().is_some_and(|mut it| it.awaited.abandon());
        if left {
            self.repeat.doubt();
        }
        self.repeat.may_have_run()
    }

    /// Sends the call, if that needs no waiting.
    ///
    /// # Errors
    /// If there is no room for it.
    fn try_start(&mut self) -> Result<(), Error> {
        match self.sessions.try_begin(&self.said())? {
            Begun::Now(number) => self.is_now(number),
            Begun::Opening(_) => return Ok(()),
            Begun::Full(in_flight) => {
                return Err(Error::TooManyCalls { in_flight, limit: in_flight });
            }
        }
        if self.identity.as_ref().is_some_and(|identity| !identity.number.may_leave()) {
            return Ok(());
        }
        let connection = self.route.current()?;
        match self.try_send(&connection) {
            // The rest is for the call's own task.
            Ok(_) | Err(Unsent::Ended(_)) => Ok(()),
            Err(Unsent::Failed(error)) => Err(*error),
        }
    }

    async fn drive(&mut self) -> Result<Told, Error> {
        loop {
            if self.under_way.is_none() {
                if self.identity.is_none() {
                    let number = self.sessions.begin(&self.said()).await?;
                    self.is_now(number);
                }
                if let Some(identity) = &mut self.identity {
                    identity.number.is_safe().await?;
                }
                if !self.send().await? {
                    // Another call has found out that its session is over.
                    let next = self.repeat.next(Failure::SessionGone);
                    match next {
                        Next::GiveUp { may_have_run } => {
                            return Err(verdict::session_gone(may_have_run));
                        }
                        Next::Again | Next::Anew => self.identity = None,
                    }
                    continue;
                }
            }
            let under_way = self.under_way.as_mut().expect("it was sent");
            let outcome = under_way.awaited.outcome().await;
            let UnderWay { sent, in_copies, .. } = *under_way;
            self.under_way = None;
            match self.judge((sent, in_copies), outcome).await? {
                Verdict::Over(told) => return Ok(told),
                Verdict::Again => {}
                Verdict::Anew => self.identity = None,
            }
        }
    }

    fn is_now(&mut self, number: Number) {
        let fingerprint = number.fingerprint(&self.method, &self.body);
        self.identity = Some(Identity { number, fingerprint, attempts: 0 });
    }

    /// Sends the call on the present connection or the next; `false` if its session is over.
    ///
    /// # Errors
    /// If it cannot be sent.
    async fn send(&mut self) -> Result<bool, Error> {
        let mut connection = self.route.current()?;
        loop {
            self.end = self.end.map(End::again).transpose()?;
            match self.try_send(&connection) {
                Ok(is_sent) => return Ok(is_sent),
                Err(Unsent::Ended(cause)) => connection = self.route.renew(&connection, cause)?,
                Err(Unsent::Failed(error)) if super::is_full(&error) => {
                    connection.shared.room().await;
                }
                Err(Unsent::Failed(error)) => return Err(*error),
            }
        }
    }

    fn try_send(&mut self, connection: &Arc<Handle>) -> Result<bool, Unsent> {
        let Tracked { sessions, method, body, metadata, end, semantics, .. } = &*self;
        let Identity { number, fingerprint, attempts } =
            self.identity.as_ref().expect("it was numbered");
        let attempt = attempts.saturating_add(1);
        let Some(stamp) = sessions.stamp(number, attempt, *semantics, *fingerprint) else {
            return Ok(false);
        };
        let stamped = |head: &mut Vec<u8>| wire::write_stamp(head, &stamp);
        let encode = |frame: &mut Vec<u8>| {
            frame.extend_from_slice(body);
            Ok(())
        };
        let seq =
            send(&connection.shared, method, metadata, end.as_ref(), None, true, stamped, encode)?;
        let awaited = Awaited::call(connection.clone(), seq);
        let in_copies = connection.shared.limits.over_datagrams;
        self.under_way = Some(UnderWay { awaited, sent: now(), in_copies });
        self.identity.as_mut().expect("as just now").attempts = attempt;
        Ok(true)
    }

    /// What becomes of the call after an attempt that ended so.
    ///
    /// # Errors
    /// If it is given up.
    async fn judge(
        &mut self,
        (sent, in_copies): (Instant, bool),
        outcome: Outcome<Answer>,
    ) -> Result<Verdict, Error> {
        let answer = match outcome {
            Outcome::Answered(answer) => answer,
            Outcome::Lost { may_have_run, cause } => {
                self.sessions.disconnected();
                let failure = if may_have_run { Failure::Lost } else { Failure::NotSent };
                let next = self.repeat.next(failure);
                if next != Next::Again || !self.route.has_hope(&cause) {
                    return Err(Error::Shutdown { may_have_run, cause });
                }
                return Ok(self.again(failure, Duration::ZERO).await);
            }
        };
        let standing = verdict::standing(&answer);
        if let Some(standing) = &standing {
            self.sessions.heard(sent, standing);
        }
        let failure = verdict::failure(&answer, standing.as_ref());
        // One that is to go elsewhere has nowhere to go.
        let failure = failure.filter(|it| *it != Failure::NotSent || self.route.reconnects());
        let Some(failure) = failure else {
            let is_final = standing.is_some_and(|standing| standing.is_final);
            let in_doubt = !is_final && self.repeat.may_have_run();
            return Ok(Verdict::Over(Told { answer, in_doubt }));
        };
        if in_copies && (ends_session(failure) || failure == Failure::NotSent) {
            // That this copy has not run does not say that none before it has.
            self.repeat.doubt();
        }
        if ends_session(failure)
            && let Some(Identity { number, .. }) = &self.identity
        {
            self.sessions.gone(number.xid.domain, number.xid.session);
            if failure == Failure::Fenced {
                self.sessions.fenced(verdict::fault(&answer));
            }
        }
        match self.repeat.next(failure) {
            Next::Again => {
                let retry_after = verdict::retry_after(standing.as_ref());
                Ok(self.again(failure, retry_after).await)
            }
            Next::Anew => Ok(Verdict::Anew),
            Next::GiveUp { may_have_run } => Err(verdict::error(&answer, failure, may_have_run)),
        }
    }

    /// Waits until the call is to be sent again.
    async fn again(&mut self, failure: Failure, retry_after: Duration) -> Verdict {
        // What never left costs nobody anything.
        if failure != Failure::NotSent {
            self.repeat.pause(self.sessions.allowance().clone(), retry_after).await;
        }
        Verdict::Again
    }
}

/// The error of a call that has not left, and is in a log.
fn later(error: Error) -> Error {
    match error {
        Error::Deadline { .. } => Error::Deadline { may_have_run: true },
        Error::Shutdown { cause, .. } => Error::Shutdown { may_have_run: true, cause },
        error => error,
    }
}

/// Whether no call of the session fares better than one that ended so.
fn ends_session(failure: Failure) -> bool {
    matches!(
        failure,
        Failure::Elsewhere | Failure::SessionGone | Failure::Fenced | Failure::Misused
    )
}
