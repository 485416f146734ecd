//! A started call that is sent again where it provably has not run.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use netrpc_core::{
    Error, Metadata, Refusal,
    fault::FaultCode,
    pending::Outcome,
    wire::{FaultBody, Kind},
};

use super::{
    Handle, Unsent,
    line::{Line, is_hopeless},
    options::End,
    send,
    shared::Answer,
};

/// What it takes to send a call again.
pub(super) struct Again {
    line: Arc<Line>,
    method: Box<str>,
    /// The arguments, encoded.
    body: Vec<u8>,
    metadata: Metadata,
    end: Option<End>,
    /// Runs while there is no room for the request.
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
    ) -> Self {
        Again { line, method: method.into(), body, metadata, end, stalled: None }
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
            let Again { method, metadata, end, .. } = self;
            match send(&connection.shared, method, metadata, *end, None, awaited, encode) {
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
                Err(Error::QueueFull { .. } | Error::TooManyCalls { .. }) => {}
                sent => return Poll::Ready(sent),
            }
            let connection = match self.line.current(true) {
                Ok(connection) => connection,
                Err(cause) => return Poll::Ready(Err(Unsent::lost(cause))),
            };
            self.stalled = Some(Box::pin(async move { connection.shared.room().await }));
        }
    }

    /// Whether the call waits for room.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.is_some()
    }
}

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Again").field("method", &self.method).finish_non_exhaustive()
    }
}

/// Whether a call that ended so has not run, and may fare better on another connection.
pub(super) fn has_not_run(outcome: &Outcome<Answer>) -> bool {
    match outcome {
        Outcome::Lost { may_have_run, cause } => !may_have_run && !is_hopeless(cause),
        Outcome::Answered(Answer::Frame(frame)) if frame.kind == Kind::Fault => {
            FaultBody::parse(frame.body_slice())
                .is_ok_and(|fault| fault.code == FaultCode::ShuttingDown)
        }
        Outcome::Answered(_) => false,
    }
}

/// The same of an error.
pub(super) fn can_be_sent_again(error: &Error) -> bool {
    match error {
        Error::Shutdown { may_have_run, cause } => !may_have_run && !is_hopeless(cause),
        Error::Refused { refusal: Refusal::ShuttingDown, .. } => true,
        _ => false,
    }
}
