//! A started call that is sent again: where it provably has not run, or may run twice.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use netrpc_core::{
    Error, Metadata, Refusal,
    fault::FaultCode,
    pending::Outcome,
    semantics::retry::{Failure, Next},
    wire::{FaultBody, Kind, write_repeatable},
};

use super::{
    Handle, Unsent, is_full, line::Line, options::End, repeat::Repeat, send, shared::Answer,
};

/// What it takes to send a call again.
pub(super) struct Again {
    line: Arc<Line>,
    method: Box<str>,
    /// The arguments, encoded.
    body: Vec<u8>,
    metadata: Metadata,
    end: Option<End>,
    /// For a call that may run twice.
    repeat: Option<Repeat>,
    /// Runs while there is no room for the request, or it is not time yet.
    stalled: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// Where a call has been sent.
pub(super) struct Sent {
    pub(super) connection: Arc<Handle>,
    pub(super) seq: u64,
}

impl Again {
    pub(super) fn new(
        line: Arc<Line>,
        method: &str,
        body: Vec<u8>,
        metadata: Metadata,
        end: Option<End>,
        repeat: Option<Repeat>,
    ) -> Self {
        Again { line, method: method.into(), body, metadata, end, repeat, stalled: None }
    }

    pub(super) fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// Sends the call on the present connection, or the next.
    ///
    /// # Errors
    /// If that cannot be. What to do where there is no room is for the caller to decide.
    pub(super) fn send(&mut self, awaited: bool) -> Result<Sent, Error> {
        let mut connection = self.line.current(true).map_err(Unsent::lost)?;
        loop {
            let encode = |frame: &mut Vec<u8>| {
                frame.extend_from_slice(&self.body);
                Ok(())
            };
            let Again { method, metadata, end, repeat, .. } = self;
            // What carries datagrams may send it again by itself.
            let marks = connection.shared.limits.over_datagrams && repeat.is_some();
            let mark = |head: &mut Vec<u8>| if marks { write_repeatable(head) } else { 0 };
            match send(
                &connection.shared,
                method,
                metadata,
                end.as_ref(),
                None,
                awaited,
                mark,
                encode,
            ) {
                Ok(seq) => return Ok(Sent { connection, seq }),
                Err(Unsent::Ended(_)) => {
                    connection = self.line.renew(&connection).map_err(Unsent::lost)?;
                }
                Err(unsent) => return Err(unsent.into()),
            }
        }
    }

    /// The same, in the time that is left, and waiting for room.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<Sent, Error>> {
        loop {
            if let Some(stalled) = &mut self.stalled {
                ready!(stalled.as_mut().poll(cx));
                self.stalled = None;
            }
            self.end = match self.end.map(End::again).transpose() {
                Ok(end) => end,
                Err(late) => return Poll::Ready(Err(late)),
            };
            match self.send(true) {
                Err(error) if is_full(&error) => {}
                sent => return Poll::Ready(sent),
            }
            let connection = match self.line.current(true) {
                Ok(connection) => connection,
                Err(cause) => return Poll::Ready(Err(Unsent::lost(cause))),
            };
            self.stalled = Some(Box::pin(async move { connection.shared.room().await }));
        }
    }

    /// Whether a call that ended so is sent again; [`poll_send`](Self::poll_send) is next then.
    pub(super) fn wants(&mut self, outcome: &Outcome<Answer>) -> bool {
        let Some(repeat) = &mut self.repeat else { return has_not_run(outcome, &self.line) };
        if self.line.is_in_copies() && is_of_its_time(outcome) {
            // That this copy has not run does not say that none before it has.
            repeat.doubt();
        }
        let Some(failure) = failure(outcome, &self.line) else { return false };
        if repeat.next(failure) != Next::Again {
            return false;
        }
        // What never left costs nobody anything.
        if failure != Failure::NotSent {
            let allowance = self.line.allowance().clone();
            self.stalled = Some(Box::pin(repeat.pause(allowance, Duration::ZERO)));
        }
        true
    }

    /// Whether an attempt may have run.
    pub(super) fn may_have_run(&self) -> bool {
        self.repeat.as_ref().is_some_and(Repeat::may_have_run)
    }

    /// Whether the call waits for room, or its time.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.is_some()
    }
}

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Again").field("method", &self.method).finish_non_exhaustive()
    }
}

/// What a call has failed of, that another attempt may fare better with.
fn failure(outcome: &Outcome<Answer>, line: &Line) -> Option<Failure> {
    match outcome {
        Outcome::Lost { cause, .. } if line.is_hopeless(cause) => None,
        Outcome::Lost { may_have_run: true, .. } => Some(Failure::Lost),
        Outcome::Answered(Answer::Frame(frame)) if frame.kind == Kind::Fault => {
            let fault = FaultBody::parse(frame.body_slice()).ok()?;
            matches!(fault.code, FaultCode::Overloaded | FaultCode::AskAgain)
                .then_some(Failure::Later)
                .or_else(|| has_not_run(outcome, line).then_some(Failure::NotSent))
        }
        outcome => has_not_run(outcome, line).then_some(Failure::NotSent),
    }
}

/// Whether the server has refused a call for a reason that it may not have had before.
fn is_of_its_time(outcome: &Outcome<Answer>) -> bool {
    let Outcome::Answered(Answer::Frame(frame)) = outcome else { return false };
    frame.kind == Kind::Fault
        && FaultBody::parse(frame.body_slice()).is_ok_and(|fault| {
            matches!(
                fault.code,
                FaultCode::Expired | FaultCode::Overloaded | FaultCode::ShuttingDown
            )
        })
}

/// Whether a call that ended so has not run, and may fare better on another connection.
fn has_not_run(outcome: &Outcome<Answer>, line: &Line) -> bool {
    match outcome {
        Outcome::Lost { may_have_run, cause } => !may_have_run && !line.is_hopeless(cause),
        Outcome::Answered(Answer::Frame(frame)) if frame.kind == Kind::Fault => {
            FaultBody::parse(frame.body_slice())
                .is_ok_and(|fault| fault.code == FaultCode::ShuttingDown)
        }
        Outcome::Answered(_) => false,
    }
}

/// The same of an error.
pub(super) fn can_be_sent_again(error: &Error, line: &Line) -> bool {
    match error {
        Error::Shutdown { may_have_run, cause } => !may_have_run && !line.is_hopeless(cause),
        Error::Refused { refusal: Refusal::ShuttingDown, .. } => true,
        _ => false,
    }
}
