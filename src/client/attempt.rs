//! One attempt to make a call that its caller awaits.

use std::{
    borrow::Cow,
    sync::Arc,
    task::{Context, Poll, ready},
};

use netrpc_core::{
    Error,
    pending::{Lost, Outcome},
};

use super::{Arguments, Client, Handle, call::Timeout, options::End, shared::Answer};
use crate::observe::MadeCall;

/// A call that its caller awaits, from its first poll to its answer. What [`Call`](super::Call) is to those
/// who come back later, without what they need for that.
///
/// Dropping it before its end gives the call up.
pub(super) struct Attempt<'c> {
    stage: Stage<'c>,
    timeout: Option<Timeout>,
}

enum Stage<'c> {
    New,
    Sent {
        connection: Cow<'c, Arc<Handle>>,
        seq: u64,
    },
    /// It was sent, and is over.
    Over,
}

impl<'c> Attempt<'c> {
    /// Nothing is sent yet. The call is over at `end`.
    #[inline]
    pub(super) fn new(end: Option<End>) -> Self {
        Attempt { stage: Stage::New, timeout: Timeout::at(end) }
    }

    /// Sends the call at first, and then looks for its answer, which `read` reads where it lies.
    #[inline]
    pub(super) fn poll<A: Arguments + ?Sized, R>(
        &mut self,
        client: &'c Client,
        (method, args): (&str, &A),
        end: Option<End>,
        observed: &MadeCall,
        read: impl FnOnce(&mut Option<Answer>) -> Result<R, Error>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<R, Error>> {
        match &self.stage {
            Stage::Sent { connection, seq } => {
                let mut answer = None;
                if let Poll::Ready(ready) = connection.shared.poll_into(*seq, cx, &mut answer) {
                    self.stage = Stage::Over;
                    return Poll::Ready(match ready {
                        Ok(()) => read(&mut answer),
                        Err(lost) => Err(shut_down(lost)),
                    });
                }
            }
            Stage::New => {
                // The waker is left with the request, which spares a look at the table of calls.
                let waker = Some(cx.waker());
                let (connection, seq) = client.start_call(method, args, end, waker, observed)?;
                self.stage = Stage::Sent { connection, seq };
            }
            Stage::Over => panic!("a call polled after completion"),
        }
        match &mut self.timeout {
            None => Poll::Pending,
            Some(timeout) => {
                ready!(timeout.poll(cx));
                let may_have_run = self.give_up();
                Poll::Ready(Err(Error::Deadline { may_have_run }))
            }
        }
    }

    /// Whether it was not sent, for want of room or of a connection.
    pub(super) fn is_unsent(&self) -> bool {
        matches!(self.stage, Stage::New)
    }

    /// Gives the call up. Whether it may have run, or still will.
    fn give_up(&mut self) -> bool {
        let Stage::Sent { connection, seq } = std::mem::replace(&mut self.stage, Stage::Over)
        else {
            return false;
        };
        connection.shared.abandon(seq)
    }
}

impl Drop for Attempt<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Stage::Sent { .. } = self.stage {
            self.give_up();
        }
    }
}

/// What came of a call: an answer, or the end of its connection.
#[inline]
pub(super) fn answer(outcome: Outcome<Answer>) -> Result<Answer, Error> {
    match outcome {
        Outcome::Answered(answer) => Ok(answer),
        Outcome::Lost { may_have_run, cause } => Err(shut_down(Lost { may_have_run, cause })),
    }
}

fn shut_down(Lost { may_have_run, cause }: Lost) -> Error {
    Error::Shutdown { may_have_run, cause }
}
