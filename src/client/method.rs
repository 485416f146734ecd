//! What a call names: a method by its text, or one whose types are known.

use std::{fmt, marker::PhantomData};

use netrpc_core::semantics::Demand;

/// The name of a method that takes `A` and replies `R`.
///
/// A string names a method of any types; a [`TypedMethod`] fixes them.
pub trait MethodName<A: ?Sized, R> {
    /// The full name: `Arith.Multiply`.
    fn name(&self) -> &str;

    /// What the method insists on, as far as its caller knows; the server insists on it in any case.
    fn demands(&self) -> Demand {
        Demand::None
    }
}

impl<A: ?Sized, R> MethodName<A, R> for str {
    fn name(&self) -> &str {
        self
    }
}

impl<A: ?Sized, R> MethodName<A, R> for String {
    fn name(&self) -> &str {
        self
    }
}

impl<A: ?Sized, R, N: MethodName<A, R> + ?Sized> MethodName<A, R> for &N {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn demands(&self) -> Demand {
        (**self).demands()
    }
}

impl<A: ?Sized, R> MethodName<A, R> for TypedMethod<A, R> {
    fn name(&self) -> &str {
        self.name
    }

    fn demands(&self) -> Demand {
        self.demands
    }
}

/// A method's name with the types of its arguments and reply.
///
/// `#[service]` makes one of each method, as a constant of the stub; a program can also write its
/// own:
///
/// ```
/// use netrpc::{Client, Error, TypedMethod};
///
/// const DOUBLE: TypedMethod<i64, i64> = TypedMethod::new("Clock.Double");
///
/// async fn double(client: &Client, hours: i64) -> Result<i64, Error> {
///     client.call(DOUBLE, &hours).await // no type to be said
/// }
/// ```
pub struct TypedMethod<A: ?Sized, R> {
    name: &'static str,
    demands: Demand,
    /// Covariant: a method that takes `Args<'static>` takes any `Args<'_>`.
    types: PhantomData<Types<A, R>>,
}

/// Both types, as results only.
type Types<A, R> = fn() -> (Box<A>, R);

impl<A: ?Sized, R> TypedMethod<A, R> {
    /// The method of this full name.
    pub const fn new(name: &'static str) -> Self {
        TypedMethod { name, demands: Demand::None, types: PhantomData }
    }

    /// The same method, which insists on this: a call under less is refused before it is sent.
    ///
    /// `#[service]` says it of its constants, as the method does with
    /// `#[method(at_most_once)]` or `#[method(exactly_once)]`.
    #[must_use]
    pub const fn demanding(self, demands: Demand) -> Self {
        TypedMethod { demands, ..self }
    }

    /// The full name: `Arith.Multiply`.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it insists on.
    pub const fn demands(&self) -> Demand {
        self.demands
    }
}

impl<A: ?Sized, R> Clone for TypedMethod<A, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A: ?Sized, R> Copy for TypedMethod<A, R> {}

impl<A: ?Sized, R> fmt::Debug for TypedMethod<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedMethod").field(&self.name).finish()
    }
}
