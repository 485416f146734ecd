//! What a handler can know about the call it serves.

use std::{
    any::Any,
    fmt,
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{self, Poll, Waker},
    time::{Duration, Instant},
};

use core::net::SocketAddr;

use crate::{
    Extensions,
    identity::Identity,
    metadata::Metadata,
    semantics::Xid,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    trace::TraceContext,
    tracked::{NoTxn, TrackedCall, Txn},
};

/// A call seen from its handler: deadline, cancellation, peer, metadata, identity.
///
/// A method asks for it with a first parameter `cx: &Context`; methods that do not, pay nothing.
/// Cloning is cheap, and a clone may outlive the call.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    call: CallId,
    caller: Arc<Caller>,
    deadline: Option<Instant>,
    now: fn() -> Instant,
    metadata: Metadata,
    /// The span that serves the call, if there is one.
    span: Option<TraceContext>,
    /// What the server's checks and layers have left; of a connection's, until one is added.
    extensions: Option<Arc<Extensions>>,
    /// If it must not run twice.
    tracked: Option<Arc<TrackedCall>>,
    /// What goes back with the reply; locked for single inserts only.
    reply_metadata: Mutex<Metadata>,
    cancellation: Cancellation,
}

impl Context {
    /// A context for a call of `caller`; `now` reads the driver's clock.
    pub fn new(
        call: CallId,
        caller: Arc<Caller>,
        deadline: Option<Instant>,
        metadata: Metadata,
        cancellation: Cancellation,
        now: fn() -> Instant,
    ) -> Self {
        let reply_metadata = Mutex::new(Metadata::new());
        let inner = Inner {
            call,
            caller,
            deadline,
            now,
            metadata,
            span: None,
            extensions: None,
            tracked: None,
            reply_metadata,
            cancellation,
        };
        Context { inner: Arc::new(inner) }
    }

    /// The same call, served by this span; the driver's side, before anybody else holds it.
    #[must_use]
    pub fn in_span(mut self, span: Option<TraceContext>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.span = span;
        }
        self
    }

    /// The same, with what is known of its connection; the driver's side.
    #[must_use]
    pub fn with_extensions(mut self, extensions: Option<Arc<Extensions>>) -> Self {
        if extensions.is_some() {
            self.inner_mut().extensions = extensions;
        }
        self
    }

    /// The same, of a call that must not run twice; the driver's side, before anybody else holds it.
    #[must_use]
    pub fn tracked(mut self, call: Arc<TrackedCall>) -> Self {
        self.inner_mut().tracked = Some(call);
        self
    }

    /// What only one context knows: this one, from now on.
    fn inner_mut(&mut self) -> &mut Inner {
        if Arc::get_mut(&mut self.inner).is_none() {
            self.inner = Arc::new(self.inner.copy());
        }
        Arc::get_mut(&mut self.inner).expect("nobody else has it")
    }

    /// The call's identity within this server process.
    pub fn call_id(&self) -> CallId {
        self.inner.call
    }

    /// The identity of a call that must not run twice, the same however often and on whatever connection
    /// its caller asks; `None` of any other call.
    ///
    /// Handed on, it is an idempotency key for others: what has been done under it needs not be done again.
    pub fn xid(&self) -> Option<Xid> {
        self.inner.tracked.as_ref().map(|call| call.xid())
    }

    /// Reads and writes in the ledger's own store, of a method that is `#[method(exactly_once)]`: kept
    /// together with the call's outcome, or not at all. See [`Txn`].
    ///
    /// ```
    /// # use netrpc_core::{Context, Fault};
    /// fn deposit(cx: &Context, (account, amount): (&str, u64)) -> Result<u64, Fault> {
    ///     let mut txn = cx.txn()?;
    ///     let balance = txn.get("accounts", account.as_bytes())?;
    ///     let balance = balance.map_or(0, |it| u64::from_le_bytes(it.try_into().unwrap_or_default()));
    ///     txn.put("accounts", account.as_bytes(), &(balance + amount).to_le_bytes());
    ///     Ok(balance + amount)
    /// }
    /// ```
    ///
    /// # Errors
    /// If the call has no transaction, or another guard has it.
    pub fn txn(&self) -> Result<Txn<'_>, NoTxn> {
        self.inner.tracked.as_ref().ok_or(NoTxn::NotDeclared)?.txn()
    }

    /// Where the call comes from.
    pub fn peer(&self) -> &Peer {
        &self.inner.caller.peer
    }

    /// Who the caller has proved to be, with a certificate that the server has verified; `None`
    /// without one. A server asks for it if it is told to: see the feature `tls`.
    ///
    /// ```
    /// use netrpc_core::{Context, Fault};
    ///
    /// fn only_billing(cx: &Context) -> Result<(), Fault> {
    ///     let identity = cx.peer_identity().ok_or_else(|| Fault::new("who are you?"))?;
    ///     if identity.dns_names().iter().any(|name| name == "billing.internal") {
    ///         return Ok(());
    ///     }
    ///     Err(Fault::new(format!("{identity} may not do this")))
    /// }
    /// ```
    pub fn peer_identity(&self) -> Option<&Identity> {
        self.inner.caller.identity.as_ref()
    }

    /// When the caller stops waiting, by this machine's clock; `None` if it never does.
    pub fn deadline(&self) -> Option<Instant> {
        self.inner.deadline
    }

    /// How long the caller will still wait: zero once the deadline has passed, `None` without one.
    pub fn time_left(&self) -> Option<Duration> {
        self.inner.deadline.map(|deadline| deadline.saturating_duration_since((self.inner.now)()))
    }

    /// Metadata that came with the call.
    pub fn metadata(&self) -> &Metadata {
        &self.inner.metadata
    }

    /// The call's place in a trace: the span that serves it, where there are spans, and else the
    /// caller's; `None` if neither is there, or what the caller has sent means nothing.
    ///
    /// Calls that the handler makes on are its children by themselves, while it runs. What goes on
    /// elsewhere takes this along.
    pub fn trace(&self) -> Option<TraceContext> {
        let Inner { span, metadata, .. } = &*self.inner;
        span.clone().or_else(|| TraceContext::from_metadata(metadata))
    }

    /// Metadata that came with the call, to be changed by what stands before its handler. Clones made
    /// earlier keep what they have.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.inner_mut().metadata
    }

    /// What the server's checks, of the connection or of this call, or its layers have left: the
    /// caller's principal, say. `None` if nobody has left a `T`.
    pub fn extension<T: Any>(&self) -> Option<&T> {
        self.inner.extensions.as_ref()?.get()
    }

    /// Leaves a value for those who see the call after this, in place of one of its type. Clones made
    /// earlier keep what they have.
    pub fn insert_extension<T: Any + Send + Sync>(&mut self, value: T) {
        let extensions = self.inner_mut().extensions.get_or_insert_default();
        Arc::make_mut(extensions).insert(value);
    }

    /// Sends a metadata entry back with the reply; an entry of the same key is replaced.
    ///
    /// Metadata over its limits (64 entries, 16 KiB) turns the reply into a fault that says so.
    pub fn set_reply_metadata(&self, key: impl Into<String>, value: impl AsRef<[u8]>) {
        self.inner.reply_metadata.lock().insert(key, value);
    }

    /// Takes what [`set_reply_metadata`](Self::set_reply_metadata) has gathered; the driver's side.
    pub fn take_reply_metadata(&self) -> Metadata {
        std::mem::take(&mut self.inner.reply_metadata.lock())
    }

    /// Whether nobody waits for the reply any more: the caller dropped the call, its connection
    /// ended, or its deadline has passed.
    ///
    /// A synchronous handler that works long should look now and then.
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancellation.is_cancelled() || self.time_left() == Some(Duration::ZERO)
    }

    /// Waits until the caller drops the call or its connection ends.
    ///
    /// An `async` handler is dropped at its next `.await` then and does not need this, unless its
    /// method is marked `no_cancel`.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost when the future is dropped.
    pub fn cancelled(&self) -> Cancelled<'_> {
        self.inner.cancellation.cancelled()
    }

    /// The token behind [`cancelled`](Self::cancelled), to hand to other tasks.
    pub fn cancellation(&self) -> &Cancellation {
        &self.inner.cancellation
    }
}

impl Inner {
    /// The same call, for one who changes what is known of it.
    fn copy(&self) -> Inner {
        let reply_metadata = self.reply_metadata.lock().clone();
        Inner {
            call: self.call,
            caller: self.caller.clone(),
            deadline: self.deadline,
            now: self.now,
            metadata: self.metadata.clone(),
            span: self.span.clone(),
            extensions: self.extensions.clone(),
            tracked: self.tracked.clone(),
            reply_metadata: Mutex::new(reply_metadata),
            cancellation: self.cancellation.clone(),
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("call", &self.inner.call)
            .field("peer", &self.inner.caller.peer)
            .field("peer_identity", &self.inner.caller.identity)
            .field("deadline", &self.inner.deadline)
            .field("metadata", &self.inner.metadata)
            .field("cancelled", &self.inner.cancellation.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// A call's identity within one server process: the connection's number and the call's on it.
///
/// Displays as `connection-sequence`, for logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId {
    /// Connections are numbered as they are accepted, from 1.
    pub connection: u64,
    /// The sequence number the client gave the call.
    pub seq: u64,
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.connection, self.seq)
    }
}

/// Who is at the other end of a connection: where it comes from, and who it has proved to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Where the connection comes from.
    pub peer: Peer,
    /// Who is there, if that was proved and verified.
    pub identity: Option<Identity>,
}

impl From<Peer> for Caller {
    /// Nothing was proved.
    fn from(peer: Peer) -> Self {
        Caller { peer, identity: None }
    }
}

/// Where a connection comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peer {
    /// A TCP peer at this address.
    Tcp(SocketAddr),
    /// A peer on a Unix socket; its path, if it has bound one.
    Unix(Option<PathBuf>),
    /// A stream that was handed over already connected.
    Stream,
    /// A UDP peer at this address, at which it has proved to receive what it is sent.
    Udp(SocketAddr),
}

impl Peer {
    /// The address of a TCP or UDP peer.
    pub fn addr(&self) -> Option<SocketAddr> {
        match self {
            Peer::Tcp(addr) | Peer::Udp(addr) => Some(*addr),
            Peer::Unix(_) | Peer::Stream => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(addr) => addr.fmt(f),
            Peer::Udp(addr) => write!(f, "udp:{addr}"),
            Peer::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Peer::Unix(None) => f.write_str("unix"),
            Peer::Stream => f.write_str("stream"),
        }
    }
}

/// Tells any number of listeners, once, that a call is not wanted any more.
#[derive(Clone, Default)]
pub struct Cancellation {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cancelled: AtomicBool,
    /// Who waits. Empty for ever once `cancelled` is set, which happens under this lock.
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    wakers: Vec<(u64, Waker)>,
}

impl Cancellation {
    /// A token that nobody has cancelled yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels, and wakes every listener. Calls after the first do nothing.
    pub fn cancel(&self) {
        let woken = {
            let mut waiting = self.state.waiting.lock();
            self.state.cancelled.store(true, Ordering::Release);
            std::mem::take(&mut waiting.wakers)
        };
        for (_, waker) in woken {
            waker.wake();
        }
    }

    /// Whether [`cancel`](Self::cancel) has been called.
    pub fn is_cancelled(&self) -> bool {
        self.state.cancelled.load(Ordering::Acquire)
    }

    /// Waits for [`cancel`](Self::cancel).
    pub fn cancelled(&self) -> Cancelled<'_> {
        Cancelled { cancellation: self, key: None }
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancellation").field("cancelled", &self.is_cancelled()).finish()
    }
}

/// The future of [`Cancellation::cancelled`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Cancelled<'a> {
    cancellation: &'a Cancellation,
    key: Option<u64>,
}

impl Future for Cancelled<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        let state = &self.cancellation.state;
        if state.cancelled.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        let mut waiting = state.waiting.lock();
        // Again, now that nobody can cancel in between: whoever cancels takes this lock.
        if state.cancelled.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        if let Some(key) = self.key
            && let Some((_, waker)) = waiting.wakers.iter_mut().find(|(k, _)| *k == key)
        {
            waker.clone_from(cx.waker());
            return Poll::Pending;
        }
        let key = waiting.next;
        waiting.next += 1;
        waiting.wakers.push((key, cx.waker().clone()));
        drop(waiting);
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Cancelled<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.cancellation.state.waiting.lock().wakers.retain(|(k, _)| *k != key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::atomic::AtomicUsize,
        task::{Context as TaskContext, Wake},
    };

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn what_one_context_is_given_its_clones_do_not_see() {
        #[allow(clippy::disallowed_methods)] // nobody asks it
        let now = Instant::now;
        let caller = Arc::new(Peer::Stream.into());
        let call = CallId { connection: 1, seq: 2 };
        let mut all = Extensions::new();
        all.insert("of the connection");
        let all = Arc::new(all);
        let mut cx = Context::new(call, caller, None, Metadata::new(), Cancellation::new(), now)
            .with_extensions(Some(all.clone()));
        cx.set_reply_metadata("a", "1");
        let clone = cx.clone();
        cx.metadata_mut().insert("k", "v");
        cx.insert_extension(7u8);
        assert_eq!((cx.metadata().get("k"), clone.metadata().get("k")), (Some("v"), None));
        assert_eq!((cx.extension::<u8>(), clone.extension::<u8>()), (Some(&7), None));
        assert_eq!(cx.extension(), Some(&"of the connection"));
        assert_eq!(all.get::<u8>(), None, "a call's is not its connection's");
        assert_eq!(cx.take_reply_metadata().get("a"), Some("1"));
        cx.cancellation().cancel();
        assert!(clone.is_cancelled(), "it is the same call");
    }

    #[test]
    fn cancelling_wakes_every_listener_once() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let mut cx = TaskContext::from_waker(&waker);
        let token = Cancellation::new();
        let (mut a, mut b) = (pin!(token.cancelled()), pin!(token.cancelled()));
        assert!(a.as_mut().poll(&mut cx).is_pending());
        assert!(a.as_mut().poll(&mut cx).is_pending(), "polled twice, registered once");
        assert!(b.as_mut().poll(&mut cx).is_pending());
        token.cancel();
        token.cancel();
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
        assert!(a.as_mut().poll(&mut cx).is_ready());
        assert!(b.as_mut().poll(&mut cx).is_ready());
    }

    #[test]
    fn a_dropped_listener_leaves_nothing_behind() {
        let token = Cancellation::new();
        {
            let mut listener = pin!(token.cancelled());
            let mut cx = TaskContext::from_waker(Waker::noop());
            assert!(listener.as_mut().poll(&mut cx).is_pending());
            assert_eq!(token.state.waiting.lock().wakers.len(), 1);
        }
        assert!(token.state.waiting.lock().wakers.is_empty());
    }
}
