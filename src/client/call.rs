//! The handle of a call.

use std::{
    fmt,
    future::{Future, poll_fn},
    marker::PhantomData,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use netrpc_core::{
    Error, Fault, Metadata, codec,
    fault::FaultCode,
    pending::Outcome,
    wire::{FaultBody, Frame, Kind, ReplyHead},
};
use serde::de::DeserializeOwned;
use tokio::time::Sleep;

#[cfg(feature = "tower")]
use super::layer::Journey;
use super::{
    Handle,
    again::{Again, Sent},
    attempt,
    options::End,
    repeat::doubt,
    shared::Answer,
    tracked::{self, Told},
};
use crate::observe::MadeCall;

/// A call that has been started: a future of its reply, Go's `*rpc.Call`.
///
/// The call is under way whether or not the handle is polled. The handle is `Unpin`, can be sent to
/// another task and awaited there, or collected with others in a `FuturesUnordered`, as Go programs
/// share one `Done` channel.
///
/// # Cancel safety
/// Dropping it cancels the call: the server is told, and the handler's
/// [`Context`](crate::Context) sees it. [`detach`](Self::detach) lets the call run. To wait for a
/// while and keep the call, await `&mut call`.
#[must_use = "dropping a call cancels it: await it, or `detach` it"]
pub struct Call<R> {
    state: State,
    /// It is over, and an attempt before its last may have run.
    in_doubt: bool,
    observed: MadeCall,
    reply: PhantomData<fn() -> R>,
}

enum State {
    /// The call could not be made; told at the first poll.
    Failed(Error),
    Waiting(Waiting),
    /// It runs once, in a task of its own.
    Tracked(tracked::Journey),
    /// It passes layers, in a task of its own.
    #[cfg(feature = "tower")]
    Layered(Journey),
    Done,
    /// Done, and settled when this is dropped.
    Unsettled(#[allow(dead_code)] Box<tracked::Number>),
}

struct Waiting {
    connection: Arc<Handle>,
    seq: u64,
    timeout: Option<Timeout>,
    /// For a call that is sent again where it has not run.
    again: Option<Box<Again>>,
}

/// When a call is over at the latest.
pub(super) enum Timeout {
    /// Counting from when the call was made; the timer is not needed until someone polls.
    Ahead(tokio::time::Instant),
    Running(Pin<Box<Sleep>>),
}

impl Timeout {
    #[inline]
    pub(super) fn at(end: Option<End>) -> Option<Self> {
        end.and_then(|end| end.at).map(|at| Timeout::Ahead(at.into()))
    }

    /// Ready when the time is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Timeout::Ahead(deadline) = self {
            *self = Timeout::Running(Box::pin(tokio::time::sleep_until(*deadline)));
        }
        let Timeout::Running(sleep) = self else { unreachable!("it runs since just now") };
        sleep.as_mut().poll(cx)
    }
}

impl<R> Call<R> {
    pub(super) fn failed(error: Error) -> Self {
        Self::of(State::Failed(error))
    }

    pub(super) fn new(connection: Arc<Handle>, seq: u64, end: Option<End>) -> Self {
        Self::waiting(Waiting { connection, seq, timeout: Timeout::at(end), again: None })
    }

    /// A call that has been sent, and is sent again where it has not run.
    pub(super) fn persistent(sent: Sent, end: Option<End>, again: Again) -> Self {
        let Sent { connection, seq } = sent;
        let again = Some(Box::new(again));
        Self::waiting(Waiting { connection, seq, timeout: Timeout::at(end), again })
    }

    /// A call that is numbered, and goes on by itself.
    pub(super) fn tracked(journey: tracked::Journey) -> Self {
        Self::of(State::Tracked(journey))
    }

    #[cfg(feature = "tower")]
    pub(super) fn layered(journey: Journey) -> Self {
        Self::of(State::Layered(journey))
    }

    fn waiting(waiting: Waiting) -> Self {
        Self::of(State::Waiting(waiting))
    }

    fn of(state: State) -> Self {
        Call { state, in_doubt: false, observed: MadeCall::default(), reply: PhantomData }
    }

    /// The same; whoever asked for it is told of its end.
    pub(super) fn observed(mut self, observed: MadeCall) -> Self {
        self.observed = observed;
        self
    }

    /// Lets the call run to its end though nobody waits for its reply.
    pub fn detach(mut self) {
        let waiting = match mem::replace(&mut self.state, State::Done) {
            State::Waiting(waiting) => waiting,
            State::Tracked(journey) => {
                mem::take(&mut self.observed).detach();
                return journey.detach();
            }
            #[cfg(feature = "tower")]
            State::Layered(journey) => {
                mem::take(&mut self.observed).detach();
                return journey.detach();
            }
            State::Failed(_) | State::Done | State::Unsettled(_) => return,
        };
        mem::take(&mut self.observed).detach();
        let Some(again) = &waiting.again else {
            return waiting.connection.shared.detach(waiting.seq);
        };
        // Somebody has to be there to send it again.
        let runtime = again.line().runtime().clone();
        let mut call = Call::<()>::waiting(waiting);
        runtime.spawn(async move { drop(poll_fn(|cx| call.poll_answer(cx)).await) });
    }

    /// A future of the reply together with the metadata the handler sent with it.
    pub fn with_metadata(self) -> CallWithMetadata<R> {
        CallWithMetadata { call: self }
    }

    /// A future of the outcome together with what keeps it from being forgotten.
    ///
    /// Without a receipt the outcome of a call that a [log](crate::ClientBuilder::log) knows counts as taken when
    /// the handle is dropped. A process that dies right then finds nothing of the call in its log any more,
    /// and nothing that it had noted of it either.
    ///
    /// ```no_run
    /// # use netrpc::{Client, Error};
    /// # fn note(_: Result<u64, Error>) {}
    /// # async fn f(client: Client) {
    /// let (outcome, receipt) = client.go("Bank.Debit", &7u64).with_receipt().await;
    /// note(outcome); // on disk, that is
    /// receipt.settle();
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// Dropping it gives the call up, as dropping the handle does.
    #[cfg(feature = "durable")]
    pub async fn with_receipt(mut self) -> (Result<R, Error>, super::Receipt)
    where
        R: DeserializeOwned,
    {
        let answer = poll_fn(|cx| self.poll_answer(cx)).await;
        let result = self.conclude(answer.and_then(read));
        mem::take(&mut self.observed).finish(result.as_ref());
        let number = match mem::replace(&mut self.state, State::Done) {
            State::Unsettled(number) => Some(*number),
            _ => None,
        };
        (result, super::Receipt::new(number))
    }

    /// What `read` makes of the answer, with what is known of earlier attempts.
    pub(super) async fn read<T>(
        mut self,
        read: impl FnOnce(&mut Option<Answer>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let answer = poll_fn(|cx| self.poll_answer(cx)).await;
        self.conclude(answer.and_then(|answer| read(&mut Some(answer))))
    }

    /// The answer, once it is there.
    #[inline]
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Error>> {
        let waiting = match &mut self.state {
            State::Waiting(waiting) => waiting,
            State::Failed(_) => {
                let State::Failed(error) = mem::replace(&mut self.state, State::Done) else {
                    unreachable!("it was just now");
                };
                return Poll::Ready(Err(error));
            }
            State::Tracked(journey) => {
                let (told, number) = ready!(journey.poll_answer(cx));
                self.state = number.map_or(State::Done, |it| State::Unsettled(Box::new(it)));
                return Poll::Ready(told.map(|Told { answer, in_doubt }| {
                    self.in_doubt = in_doubt;
                    answer
                }));
            }
            #[cfg(feature = "tower")]
            State::Layered(journey) => {
                let answer = ready!(journey.poll_answer(cx));
                self.state = State::Done;
                return Poll::Ready(answer);
            }
            State::Done | State::Unsettled(_) => panic!("`Call` polled after completion"),
        };
        if let Poll::Ready(outcome) = waiting.poll_outcome(cx) {
            self.in_doubt = waiting.may_have_run();
            self.state = State::Done;
            return Poll::Ready(outcome.and_then(attempt::answer));
        }
        let Some(timeout) = &mut waiting.timeout else { return Poll::Pending };
        ready!(timeout.poll(cx));
        let may_have_run = waiting.connection.shared.abandon(waiting.seq);
        self.in_doubt = waiting.may_have_run();
        self.state = State::Done;
        Poll::Ready(Err(Error::Deadline { may_have_run }))
    }

    /// The result, with what is known of earlier attempts.
    fn conclude<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if self.in_doubt { result.map_err(doubt) } else { result }
    }
}

impl Waiting {
    /// Whether an attempt before the present one may have run.
    fn may_have_run(&self) -> bool {
        self.again.as_ref().is_some_and(|again| again.may_have_run())
    }

    /// What the call has ended with, once it is not sent again.
    #[inline]
    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Result<Outcome<Answer>, Error>> {
        if self.again.is_none() {
            return self.connection.shared.poll(self.seq, cx).map(Ok);
        }
        self.poll_again(cx)
    }

    #[cold]
    fn poll_again(&mut self, cx: &mut Context<'_>) -> Poll<Result<Outcome<Answer>, Error>> {
        let again = self.again.as_mut().expect("the caller has looked");
        loop {
            if !again.is_stalled() {
                let outcome = ready!(self.connection.shared.poll(self.seq, cx));
                if !again.wants(&outcome) {
                    return Poll::Ready(Ok(outcome));
                }
            }
            // Until then the number is one that has left its table: whoever gives the call up finds
            // nothing there.
            let Sent { connection, seq } = ready!(again.poll_send(cx))?;
            (self.connection, self.seq) = (connection, seq);
        }
    }
}

impl<R: DeserializeOwned> Future for Call<R> {
    type Output = Result<R, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(self.poll_answer(cx));
        let result = self.conclude(answer.and_then(read));
        mem::take(&mut self.observed).finish(result.as_ref());
        Poll::Ready(result)
    }
}

impl<R> Drop for Call<R> {
    fn drop(&mut self) {
        if let State::Waiting(waiting) = &self.state {
            waiting.connection.shared.abandon(waiting.seq);
        }
    }
}

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Failed(error) => f.debug_tuple("Call").field(error).finish(),
            State::Waiting(waiting) => f.debug_struct("Call").field("seq", &waiting.seq).finish(),
            State::Tracked(_) => f.write_str("Call(once)"),
            #[cfg(feature = "tower")]
            State::Layered(_) => f.write_str("Call(in layers)"),
            State::Done | State::Unsettled(_) => f.write_str("Call(done)"),
        }
    }
}

/// The future of [`Call::with_metadata`].
#[derive(Debug)]
#[must_use = "dropping a call cancels it: await it"]
pub struct CallWithMetadata<R> {
    call: Call<R>,
}

impl<R: DeserializeOwned> Future for CallWithMetadata<R> {
    type Output = Result<(R, Metadata), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(self.call.poll_answer(cx));
        let result = answer.and_then(|answer| {
            let frame = match answer {
                Answer::Frame(frame) => frame,
                #[cfg(feature = "tower")]
                Answer::Layered(response) => {
                    return Ok((response.decode()?, response.metadata().clone()));
                }
                answer => return Ok((foreign_reply(&mut Some(answer))?, Metadata::new())),
            };
            let metadata = ReplyHead::parse(frame.head())
                .map_err(|error| broken(format!("its head: {error}")))?
                .metadata
                .decode();
            Ok((reply(&frame)?, metadata))
        });
        let result = self.call.conclude(result);
        mem::take(&mut self.call.observed).finish(result.as_ref());
        Poll::Ready(result)
    }
}

/// What an answer says to a caller who wants an `R`.
pub(super) fn read<R: DeserializeOwned>(answer: Answer) -> Result<R, Error> {
    read_in_place(&mut Some(answer))
}

/// The same of one that is read where it lies: it is not small. It may be taken from there.
///
/// # Panics
/// If there is none.
#[inline(always)] // a result comes back in registers
pub(super) fn read_in_place<R: DeserializeOwned>(answer: &mut Option<Answer>) -> Result<R, Error> {
    match answer {
        Some(Answer::Frame(frame)) => reply(frame),
        other => foreign_reply(other),
    }
}

/// What else there may be to say to a caller who wants an `R`.
#[cold]
#[inline(never)] // or the answer is moved before it is looked at
fn foreign_reply<R: DeserializeOwned>(answer: &mut Option<Answer>) -> Result<R, Error> {
    match answer.take().expect("there is an answer") {
        Answer::Frame(frame) => reply(&frame),
        Answer::Foreign(reply) => {
            let (body, format) = *reply;
            format.decode(&body).map_err(Error::Decode)
        }
        #[cfg(feature = "tower")]
        Answer::Layered(response) => response.decode(),
        Answer::Fault(fault) => Err(Error::from_fault(*fault)),
        Answer::Oversized(length) => {
            Err(Error::ReplyLost(format!("it has {length} bytes, more than this client takes")))
        }
    }
}

/// What an answer says that is no reply.
#[cfg(feature = "tower")]
pub(super) fn failure(answer: Answer) -> Error {
    match read::<serde::de::IgnoredAny>(answer) {
        Ok(_) => broken("a reply where there was none".to_owned()),
        Err(error) => error,
    }
}

/// What a frame says to a caller who wants an `R`.
#[inline]
fn reply<R: DeserializeOwned>(frame: &Frame) -> Result<R, Error> {
    if frame.kind == Kind::Reply {
        return codec::decode(frame.body_slice()).map_err(Error::Decode);
    }
    Err(fault(frame))
}

/// What a frame says that is no reply.
#[cold]
fn fault(frame: &Frame) -> Error {
    match FaultBody::parse(frame.body_slice()) {
        Ok(FaultBody { code, message, detail }) => {
            let detail = Bytes::copy_from_slice(detail);
            Error::from_fault(Fault::from_wire(code, message.to_owned(), detail))
        }
        Err(error) => broken(format!("a fault that says nothing: {error}")),
    }
}

/// The server has answered, but not in a way that says more than that.
pub(super) fn broken(text: String) -> Error {
    Error::from_fault(Fault::with_code(FaultCode::BadReply, text))
}
