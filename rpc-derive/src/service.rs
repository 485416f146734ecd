//! What `#[service]` knows about a block once it has been checked: enough to generate from.

use proc_macro2::{Span, TokenStream};
use syn::{Attribute, Generics, Ident, Path, Type, Visibility};

/// A block without a mistake.
pub(crate) struct Service {
    pub(crate) krate: Path,
    /// `Arith`, the first half of `Arith.Multiply`.
    pub(crate) name: String,
    pub(crate) subject: Subject,
    /// Conditions on the whole block.
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) docs: Vec<Attribute>,
    /// The stub's visibility, and the server's.
    pub(crate) vis: Visibility,
    pub(crate) client: Option<Ident>,
    pub(crate) methods: Vec<Method>,
    pub(crate) shared_names: Vec<SharedName>,
}

/// Whose methods they are.
pub(crate) enum Subject {
    /// `impl<T> Kv<T>`
    Type { ty: Box<Type>, generics: Box<Generics> },
    /// `trait Arithmetic`, and what to call the service made of an implementor.
    Trait { ident: Ident, server: Option<Ident> },
}

/// A method that can be served.
pub(crate) struct Method {
    pub(crate) ident: Ident,
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) docs: Vec<Attribute>,
    /// `#[deprecated]`
    pub(crate) deprecated: Option<Attribute>,
    pub(crate) receiver: Receiver,
    pub(crate) run: Run,
    /// Where it asks for a `&Context`, if it does.
    pub(crate) context: Option<Span>,
    pub(crate) demand: Demand,
    /// It is in the stub as well.
    pub(crate) in_stub: bool,
    pub(crate) arguments: Arguments,
    pub(crate) reply: Reply,
    /// The type of its errors, or the nearest thing to it that is written; `None` if it cannot fail.
    pub(crate) error: Option<TokenStream>,
}

/// How a method takes its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receiver {
    /// `&self`
    Ref,
    /// `self: Arc<Self>`
    Arc,
    /// `self: &Arc<Self>`
    RefArc,
}

/// How a method runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    Sync { blocking: bool },
    Async { no_cancel: bool },
}

/// How often a method may run, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// It says nothing.
    None,
    Idempotent,
    AtMostOnce,
    ExactlyOnce,
}

/// What a method is called with.
pub(crate) struct Arguments {
    pub(crate) ty: Type,
    /// Their name, if they have one.
    pub(crate) ident: Option<Ident>,
}

/// Where a method leaves its reply.
pub(crate) enum Reply {
    /// `reply: &mut R`
    Written(Type),
    /// `-> Result<R, E>`
    Returned(Type),
}

/// A wire name of two methods that are never there together, if their `#[cfg]`s are right.
pub(crate) struct SharedName {
    pub(crate) name: String,
    pub(crate) methods: [(Ident, Vec<Attribute>); 2],
}

impl Reply {
    /// `R`
    pub(crate) fn ty(&self) -> &Type {
        let (Reply::Written(ty) | Reply::Returned(ty)) = self;
        ty
    }
}
