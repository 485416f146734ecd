//! Which connections are served: the owner's check of each.

use std::{
    any::{Any, TypeId},
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Instant,
};

use netrpc_core::{Caller, Extensions, Fault, Identity, Peer, error::Disconnected};

use super::{ServerBuilder, answer, hooks::Hooks};

/// A check of each connection, before anything is read from it: [`ServerBuilder::authenticate`].
///
/// Implemented by closures of the same shape; a type of its own can borrow from `self` and the
/// connection.
///
/// ```
/// use netrpc::{Authenticate, ConnectionInfo, Fault};
/// use std::{collections::HashSet, net::IpAddr};
///
/// struct Neighbours(HashSet<IpAddr>);
///
/// impl Authenticate for Neighbours {
///     type Principal = ();
///
///     async fn authenticate(&self, connection: &ConnectionInfo) -> Result<(), Fault> {
///         match connection.peer().addr() {
///             Some(addr) if self.0.contains(&addr.ip()) => Ok(()),
///             _ => Err(Fault::denied("neighbours only")),
///         }
///     }
/// }
/// ```
pub trait Authenticate: Send + Sync + 'static {
    /// What is known of the peer afterwards, for [`Context::extension`](crate::Context::extension);
    /// `()` for nothing.
    type Principal: Any + Send + Sync;

    /// Lets the connection in, or says why not.
    ///
    /// # Errors
    /// The reason, which the peer is told; of the fault it is the text that counts.
    fn authenticate(
        &self,
        connection: &ConnectionInfo,
    ) -> impl Future<Output = Result<Self::Principal, Fault>> + Send;
}

impl<F, Checking, P> Authenticate for F
where
    F: Fn(ConnectionInfo) -> Checking + Send + Sync + 'static,
    Checking: Future<Output = Result<P, Fault>> + Send,
    P: Any + Send + Sync,
{
    type Principal = P;

    fn authenticate(
        &self,
        connection: &ConnectionInfo,
    ) -> impl Future<Output = Result<P, Fault>> + Send {
        self(connection.clone())
    }
}

/// A connection that wants to be served: where it comes from, and who has proved to be there.
///
/// What its peer speaks is not known yet. Cloning is cheap.
#[derive(Clone)]
pub struct ConnectionInfo {
    caller: Arc<Caller>,
    number: u64,
    extensions: Arc<Extensions>,
}

impl ConnectionInfo {
    /// Where it comes from.
    pub fn peer(&self) -> &Peer {
        &self.caller.peer
    }

    /// Who has proved to be there, with a certificate; see
    /// [`Context::peer_identity`](crate::Context::peer_identity).
    pub fn peer_identity(&self) -> Option<&Identity> {
        self.caller.identity.as_ref()
    }

    /// The connection's number within this server process: that of the
    /// [`CallId`](crate::CallId)s of its calls.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What an earlier check has left.
    pub fn extension<T: Any>(&self) -> Option<&T> {
        self.extensions.get()
    }
}

impl fmt::Debug for ConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionInfo")
            .field("number", &self.number)
            .field("peer", &self.caller.peer)
            .field("peer_identity", &self.caller.identity)
            .field("extensions", &self.extensions)
            .finish()
    }
}

impl ServerBuilder {
    /// Has each connection checked before anything is read from it; later checks see the connections
    /// that the earlier ones let in. There is none unless set.
    ///
    /// What the check gives, every call of the connection finds in
    /// [`Context::extension`](crate::Context::extension).
    ///
    /// ```
    /// use netrpc::{ConnectionInfo, Fault, Server};
    ///
    /// /// Who is at the other end.
    /// struct Principal(String);
    ///
    /// let server = Server::builder().authenticate(|connection: ConnectionInfo| async move {
    ///     match connection.peer_identity() {
    ///         Some(identity) => Ok(Principal(identity.to_string())),
    ///         None => Err(Fault::unauthenticated("come with a certificate")),
    ///     }
    /// });
    /// # let _ = server.build();
    /// ```
    ///
    /// A peer that is refused is told why: a client of ours in a go-away, with which its calls end and
    /// of which they know that they have not run; a Go program in the answer to its first call, or
    /// with 403 over HTTP. Then the connection is closed.
    ///
    /// The check is a part of the handshake: it comes after that of TLS, has what is left of
    /// [`handshake_timeout`](Self::handshake_timeout), and its connection counts as one of
    /// [`max_connections`](Self::max_connections) meanwhile. It runs in the connection's own task, so
    /// a slow one keeps nobody else waiting. If it panics, the peer is refused.
    pub fn authenticate(mut self, check: impl Authenticate) -> Self {
        self.hooks.authenticate.push(Arc::new(check));
        self
    }
}

type Check<'a> = Pin<Box<dyn Future<Output = Result<(), Fault>> + Send + 'a>>;

/// [`Authenticate`] without its types.
pub(super) trait CheckConnection: Send + Sync {
    /// Lets the connection in, and leaves in `known` what is known of the peer.
    fn check<'a>(&'a self, connection: ConnectionInfo, known: &'a mut Extensions) -> Check<'a>;
}

impl<A: Authenticate> CheckConnection for A {
    fn check<'a>(&'a self, connection: ConnectionInfo, known: &'a mut Extensions) -> Check<'a> {
        Box::pin(async move {
            let principal = self.authenticate(&connection).await?;
            if TypeId::of::<A::Principal>() != TypeId::of::<()>() {
                known.insert(principal);
            }
            Ok(())
        })
    }
}

impl Hooks {
    /// Has a connection checked, until `deadline`; gives what is known of its peer then.
    ///
    /// # Errors
    /// [`Disconnected::Refused`].
    pub(super) async fn check_connection(
        &self,
        caller: &Caller,
        number: u64,
        deadline: Instant,
    ) -> Result<Option<Arc<Extensions>>, Disconnected> {
        if self.authenticate.is_empty() {
            return Ok(None);
        }
        let mut known = Extensions::new();
        let caller = Arc::new(caller.clone());
        let checks = async {
            for check in &self.authenticate {
                let extensions = Arc::new(known.clone());
                let connection = ConnectionInfo { caller: caller.clone(), number, extensions };
                let mut checking = check.check(connection, &mut known);
                let checked = poll_fn(|cx| match answer::catch(|| checking.as_mut().poll(cx)) {
                    Ok(poll) => poll,
                    Err(panic) => {
                        let panic = answer::panic_text(&*panic);
                        tracing::error!(panic, "a check of a connection panicked");
                        Poll::Ready(Err(Fault::new("the server cannot tell whether to let it in")))
                    }
                });
                checked.await?;
            }
            Ok(())
        };
        let checked = tokio::time::timeout_at(deadline.into(), checks).await.unwrap_or_else(|_| {
            Err(Fault::new("the server could not tell in time whether to let it in"))
        });
        match checked {
            Ok(()) => Ok((!known.is_empty()).then(|| Arc::new(known))),
            Err(fault) => Err(Disconnected::Refused(fault.message().to_owned())),
        }
    }
}
