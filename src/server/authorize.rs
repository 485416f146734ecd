//! Which calls may run: the owner's check of each.

use std::{
    any::{Any, TypeId},
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::Instant,
};

use netrpc_core::{
    CallId, Context, Fault, Identity, Metadata, Peer, dialect::Protocol, service::Entry,
};

use super::{ServerBuilder, hooks::refusal};

/// A check of each call, before anything of it runs: [`ServerBuilder::authorize`].
///
/// Implemented by closures of the same shape; a type of its own can borrow from `self` and the call.
///
/// ```
/// use netrpc::{Authorize, CallInfo, Fault};
/// use std::collections::HashMap;
///
/// /// Who has which token.
/// struct Tokens(HashMap<String, User>);
///
/// #[derive(Clone)]
/// struct User(String);
///
/// impl Authorize for Tokens {
///     type Principal = User;
///
///     async fn authorize(&self, call: &CallInfo) -> Result<User, Fault> {
///         let token = call.metadata().get("token");
///         let token = token.ok_or_else(|| Fault::unauthenticated("there is no token"))?;
///         let user = self.0.get(token).ok_or_else(|| Fault::unauthenticated("no such token"))?;
///         if call.service() == "Admin" && user.0 != "root" {
///             return Err(Fault::denied("only root may do that"));
///         }
///         Ok(user.clone())
///     }
/// }
/// ```
pub trait Authorize: Send + Sync + 'static {
    /// What is known of the caller afterwards, for [`Context::extension`]; `()` for nothing.
    type Principal: Any + Send + Sync;

    /// Lets the call pass, or says why not.
    ///
    /// # Errors
    /// The reason, with which the call is answered: [`Fault::unauthenticated`],
    /// [`Fault::denied`], or [`Fault::overloaded`] where the check itself is overloaded.
    fn authorize(
        &self,
        call: &CallInfo,
    ) -> impl Future<Output = Result<Self::Principal, Fault>> + Send;
}

impl<F, Checking, P> Authorize for F
where
    F: Fn(CallInfo) -> Checking + Send + Sync + 'static,
    Checking: Future<Output = Result<P, Fault>> + Send,
    P: Any + Send + Sync,
{
    type Principal = P;

    fn authorize(&self, call: &CallInfo) -> impl Future<Output = Result<P, Fault>> + Send {
        self(call.clone())
    }
}

/// A call, as those see it who decide whether it may run: who, what, how, until when.
///
/// Cloning is cheap.
#[derive(Clone)]
pub struct CallInfo {
    cx: Context,
    method: Named,
    protocol: Protocol,
}

/// What a call names.
#[derive(Clone)]
pub(super) enum Named {
    /// A method that there is.
    Method(Arc<Entry>),
    /// Something else, as its caller wrote it.
    Unknown(Arc<str>),
}

impl Named {
    pub(super) fn full_name(&self) -> &str {
        match self {
            Named::Method(entry) => entry.full_name(),
            Named::Unknown(name) => name,
        }
    }

    /// Service and method; the service's name ends at the last dot.
    fn parts(&self) -> (&str, &str) {
        match self {
            Named::Method(entry) => (entry.service(), entry.name()),
            Named::Unknown(name) => name.rsplit_once('.').unwrap_or((name, "")),
        }
    }
}

impl CallInfo {
    pub(super) fn new(cx: Context, method: Named, protocol: Protocol) -> Self {
        CallInfo { cx, method, protocol }
    }

    /// The method's full name, `Arith.Multiply`: whatever alias the caller has used, it is the one
    /// name that `#[service]` gave it, so that a rule about a name cannot be gone round. Of a method
    /// that does not exist it is the name as the caller wrote it.
    pub fn full_name(&self) -> &str {
        self.method.full_name()
    }

    /// The service's name: `Arith`.
    pub fn service(&self) -> &str {
        self.method.parts().0
    }

    /// The method's name within the service: `Multiply`.
    pub fn method(&self) -> &str {
        self.method.parts().1
    }

    /// Whether there is such a method. If there is not, the caller is told so once it has passed the
    /// check.
    pub fn exists(&self) -> bool {
        matches!(self.method, Named::Method(_))
    }

    /// What the caller speaks. Go's protocols carry no metadata and no deadline.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The call as its handler will see it: what is below, and more.
    pub fn context(&self) -> &Context {
        &self.cx
    }

    /// Where the call comes from.
    pub fn peer(&self) -> &Peer {
        self.cx.peer()
    }

    /// Who the caller has proved to be with a certificate; see [`Context::peer_identity`].
    pub fn peer_identity(&self) -> Option<&Identity> {
        self.cx.peer_identity()
    }

    /// The call's identity within this server process.
    pub fn call_id(&self) -> CallId {
        self.cx.call_id()
    }

    /// Metadata that came with the call.
    pub fn metadata(&self) -> &Metadata {
        self.cx.metadata()
    }

    /// When the caller stops waiting; `None` if it never does.
    pub fn deadline(&self) -> Option<Instant> {
        self.cx.deadline()
    }

    /// What an earlier check has left: that of the connection, say.
    pub fn extension<T: Any>(&self) -> Option<&T> {
        self.cx.extension()
    }
}

impl fmt::Debug for CallInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallInfo")
            .field("method", &self.full_name())
            .field("protocol", &self.protocol)
            .field("context", &self.cx)
            .finish_non_exhaustive()
    }
}

impl ServerBuilder {
    /// Has each call checked before it runs, whatever protocol it came in; later checks see the calls
    /// that the earlier ones let pass. There is none unless set, and it costs nothing then.
    ///
    /// What the check gives, the handler gets from [`Context::extension`]: the caller's principal.
    ///
    /// ```
    /// use netrpc::{CallInfo, Fault, Server};
    ///
    /// let server = Server::builder().authorize(|call: CallInfo| async move {
    ///     match call.metadata().get("token") {
    ///         Some("secret") => Ok(()),
    ///         Some(_) => Err(Fault::unauthenticated("no such token")),
    ///         None => Err(Fault::unauthenticated("send a token")),
    ///     }
    /// });
    /// # let _ = server.build();
    /// ```
    ///
    /// A check counts as a part of its call: it takes one of the connection's
    /// [`max_calls`](Self::max_calls), ends with the call's deadline or cancellation, and its panic is
    /// an error of its call alone. One that is ready at once costs the connection's task no switch.
    ///
    /// **Names are not given away.** Callers whom the check refuses cannot tell methods that exist
    /// from others: a call of an unknown method is checked like any other, and only one who passes is
    /// told that there is none.
    pub fn authorize(mut self, check: impl Authorize) -> Self {
        self.hooks.authorize.push(Arc::new(check));
        self
    }
}

type Check<'a> = Pin<Box<dyn Future<Output = Result<(), Fault>> + Send + 'a>>;

/// [`Authorize`] without its types.
pub(super) trait CheckCall: Send + Sync {
    /// Lets the call pass, and leaves in `cx` what is known of the caller.
    fn check<'a>(&'a self, call: CallInfo, cx: &'a mut Context) -> Check<'a>;
}

impl<A: Authorize> CheckCall for A {
    fn check<'a>(&'a self, call: CallInfo, cx: &'a mut Context) -> Check<'a> {
        Box::pin(async move {
            let principal = self.authorize(&call).await.map_err(refusal)?;
            // With the last clone gone, the context is not copied for what is added to it.
            drop(call);
            if TypeId::of::<A::Principal>() != TypeId::of::<()>() {
                cx.insert_extension(principal);
            }
            Ok(())
        })
    }
}
