//! A call that its caller awaits.

use std::{
    borrow::Cow,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use netrpc_core::{
    Error,
    pending::{Lost, Outcome},
};

use super::{Arguments, Client, Handle, call::Timeout, is_full, options::End, shared::Answer};
use crate::observe::MadeCall;

/// A call that its caller awaits, from its first poll to its reply. What [`Call`](super::Call) is to those
/// who come back later, without what they need for that.
///
/// It is sent again only if it has not run. Dropping it before its end gives the call up.
pub(super) struct Attempt<'c, A: ?Sized, F> {
    client: &'c Client,
    method: &'c str,
    args: &'c A,
    observed: &'c MadeCall,
    /// Reads the answer where it lies.
    read: F,
    stage: Stage<'c>,
    /// When the call is over; known once it has begun.
    end: Option<End>,
    timeout: Option<Timeout>,
}

enum Stage<'c> {
    /// Nobody has asked for it yet.
    New,
    Unsent,
    /// It was not sent, for want of room.
    Waiting(Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'c>>),
    Sent {
        connection: Cow<'c, Arc<Handle>>,
        seq: u64,
    },
    /// It was sent, and is over.
    Over,
}

impl<'c, A, F, R> Attempt<'c, A, F>
where
    A: Arguments + ?Sized,
    F: Fn(&mut Option<Answer>) -> Result<R, Error>,
{
    /// Nothing is sent yet, and no time runs.
    #[inline]
    pub(super) fn new(
        client: &'c Client,
        (method, args): (&'c str, &'c A),
        observed: &'c MadeCall,
        read: F,
    ) -> Self {
        let (stage, end, timeout) = (Stage::New, None, None);
        Attempt { client, method, args, observed, read, stage, end, timeout }
    }

    /// Sends the call at first, and then looks for its answer.
    ///
    /// # Panics
    /// If it is over.
    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<R, Error>> {
        loop {
            match &mut self.stage {
                Stage::Sent { connection, seq } => {
                    let mut answer = None;
                    if let Poll::Ready(ready) = connection.shared.poll_into(*seq, cx, &mut answer) {
                        self.stage = Stage::Over;
                        let error = match ready.map(|()| (self.read)(&mut answer)) {
                            Ok(Ok(reply)) => return Poll::Ready(Ok(reply)),
                            Ok(Err(error)) => error,
                            Err(lost) => shut_down(lost),
                        };
                        if !self.client.sends_again(&error) {
                            return Poll::Ready(Err(error));
                        }
                        self.renew()?;
                        continue;
                    }
                }
                Stage::New if self.client.options.limits_time() => {
                    self.begin()?;
                    continue;
                }
                Stage::New | Stage::Unsent => {
                    // The waker is left with the request, which spares a look at the table of calls.
                    let Attempt { client, method, args, observed, .. } = *self;
                    let (end, waker) = (self.end.as_ref(), Some(cx.waker()));
                    match client.start_call(method, args, end, waker, observed) {
                        Ok((connection, seq)) => self.stage = Stage::Sent { connection, seq },
                        Err(error) => {
                            self.wait(error)?;
                            continue;
                        }
                    }
                }
                Stage::Waiting(room) => {
                    ready!(room.as_mut().poll(cx))?;
                    self.renew()?;
                    continue;
                }
                Stage::Over => panic!("a call polled after completion"),
            }
            let Some(timeout) = &mut self.timeout else { return Poll::Pending };
            ready!(timeout.poll(cx));
            let may_have_run = self.give_up();
            return Poll::Ready(Err(Error::Deadline { may_have_run }));
        }
    }

    /// Has the time run.
    ///
    /// # Errors
    /// If it is over.
    #[cold]
    fn begin(&mut self) -> Result<(), Error> {
        self.end = self.client.options.end()?;
        self.timeout = Timeout::at(self.end);
        self.stage = Stage::Unsent;
        Ok(())
    }

    /// Waits for room, if that is all there was not.
    ///
    /// # Errors
    /// The same, if it is not.
    #[cold]
    fn wait(&mut self, error: Error) -> Result<(), Error> {
        if !is_full(&error) {
            return Err(error);
        }
        self.stage = Stage::Waiting(Box::pin(self.client.room(self.end)));
        Ok(())
    }

    /// Makes it a call that was not sent, with as much time as is left.
    ///
    /// # Errors
    /// If none is.
    #[cold]
    fn renew(&mut self) -> Result<(), Error> {
        self.end = self.end.map(End::again).transpose()?;
        self.timeout = Timeout::at(self.end);
        self.stage = Stage::Unsent;
        Ok(())
    }
}

impl<A: ?Sized, F> Attempt<'_, A, F> {
    /// Gives the call up. Whether it may have run, or still will.
    fn give_up(&mut self) -> bool {
        let Stage::Sent { connection, seq } = std::mem::replace(&mut self.stage, Stage::Over)
        else {
            return false;
        };
        connection.shared.abandon(seq)
    }
}

impl<A: ?Sized, F> Drop for Attempt<'_, A, F> {
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
