//! A layered service that all calls share.
//!
//! Tower's contract is that whoever has found a service ready calls that very service next. So a call
//! takes a turn: nobody else has the service until it is ready and called. What it then answers with is
//! the call's own.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::sync::{Mutex, OwnedMutexGuard};
use tower::Service;

/// How often to look whether the service is free before the call queues for it, which costs some
/// microseconds: most are ready and called within nanoseconds.
const SPINS: u32 = 100;

/// The answer to a call.
pub(crate) type Answering<A, E> = Pin<Box<dyn Future<Output = Result<A, E>> + Send>>;

/// A layered service without its type: calls `Q`, answers `A`, errors `E`.
pub(crate) struct Shared<Q, A, E> {
    /// Not a lock: whoever has it may wait. A queue, one at a time.
    service: Arc<Mutex<AnyService<Q, A, E>>>,
}

impl<Q, A, E> Clone for Shared<Q, A, E> {
    fn clone(&self) -> Self {
        Shared { service: self.service.clone() }
    }
}

impl<Q, A, E> Shared<Q, A, E>
where
    Q: Send + 'static,
    A: Send + 'static,
    E: Send + 'static,
{
    /// `service`, whose errors `translate` makes our own.
    pub(crate) fn new<S>(service: S, translate: fn(S::Error) -> E) -> Self
    where
        S: Service<Q, Response = A> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: 'static,
    {
        Shared { service: Arc::new(Mutex::new(Box::new(Translated { service, translate }))) }
    }

    /// A place in the queue, for one call after the other.
    pub(crate) fn visitor(&self) -> Visitor<Q, A, E> {
        Visitor { shared: self.clone(), turn: Turn::None }
    }

    /// The whole of a call.
    pub(crate) async fn call(&self, request: Q) -> Result<A, E> {
        let mut visitor = self.visitor();
        std::future::poll_fn(|cx| visitor.poll_ready(cx)).await?;
        visitor.call(request).await
    }
}

/// Somebody who makes calls to the service.
pub(crate) struct Visitor<Q, A, E> {
    shared: Shared<Q, A, E>,
    turn: Turn<Q, A, E>,
}

type Guard<Q, A, E> = OwnedMutexGuard<AnyService<Q, A, E>>;

enum Turn<Q, A, E> {
    None,
    Queued(Pin<Box<dyn Future<Output = Guard<Q, A, E>> + Send>>),
    Taken(Guard<Q, A, E>),
    Ready(Guard<Q, A, E>),
}

impl<Q, A, E> Clone for Visitor<Q, A, E> {
    /// Its turn is its own.
    fn clone(&self) -> Self {
        Visitor { shared: self.shared.clone(), turn: Turn::None }
    }
}

impl<Q, A, E> Visitor<Q, A, E>
where
    Q: Send + 'static,
    A: Send + 'static,
    E: Send + 'static,
{
    /// Ready when it is this visitor's turn and the service is ready. It stays so until
    /// [`call`](Self::call), or until the visitor is dropped.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        loop {
            match &mut self.turn {
                Turn::None => {
                    let service = &self.shared.service;
                    let mut tries = (0..SPINS).map(|_| {
                        std::hint::spin_loop();
                        service.clone().try_lock_owned()
                    });
                    self.turn = match tries.find_map(Result::ok) {
                        Some(guard) => Turn::Taken(guard),
                        None => Turn::Queued(Box::pin(service.clone().lock_owned())),
                    };
                }
                Turn::Queued(queued) => self.turn = Turn::Taken(ready!(queued.as_mut().poll(cx))),
                Turn::Taken(service) => {
                    let checked = ready!(service.poll_ready(cx));
                    let taken = std::mem::replace(&mut self.turn, Turn::None);
                    return Poll::Ready(checked.map(|()| {
                        if let Turn::Taken(service) = taken {
                            self.turn = Turn::Ready(service);
                        }
                    }));
                }
                Turn::Ready(_) => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Calls the service, and lets the next visitor have it.
    ///
    /// # Panics
    /// If it is not ready.
    pub(crate) fn call(&mut self, request: Q) -> Answering<A, E> {
        match std::mem::replace(&mut self.turn, Turn::None) {
            Turn::Ready(mut service) => service.call(request),
            _ => panic!("a layer called what is behind it before that was ready"),
        }
    }
}

type AnyService<Q, A, E> = Box<dyn Layered<Q, A, E>>;

trait Layered<Q, A, E>: Send {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>>;
    fn call(&mut self, request: Q) -> Answering<A, E>;
}

struct Translated<S, F, E> {
    service: S,
    translate: fn(F) -> E,
}

impl<S, Q, A, E> Layered<Q, A, E> for Translated<S, S::Error, E>
where
    S: Service<Q, Response = A> + Send,
    S::Future: Send + 'static,
    S::Error: 'static,
    A: 'static,
    E: 'static,
{
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.service.poll_ready(cx).map_err(self.translate)
    }

    fn call(&mut self, request: Q) -> Answering<A, E> {
        let translate = self.translate;
        let answering = self.service.call(request);
        Box::pin(async move { answering.await.map_err(translate) })
    }
}
