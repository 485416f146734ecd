//! The `#[service]` attribute of [netrpc](https://docs.rs/netrpc), which re-exports it.
//!
//! | | |
//! |---|---|
//! | `parse` | from an item's tokens to the methods in it that want to be served |
//! | `check` | every rule about what can be served, each with what to do instead |
//! | `expand` | from what has passed to code: the implementation, the `handler`s, the `stub`, and for a trait its `interface` |
//!
//! All of it works on tokens and needs no compiler, so that it can be tested without one.
#![forbid(unsafe_code)]

mod attr;
mod case;
mod check;
mod errors;
mod expand;
mod handler;
mod interface;
mod parse;
mod service;
mod stub;
#[cfg(test)]
mod tests;
mod types;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};

use crate::{attr::ServiceOptions, errors::Errors, parse::Block};

/// Makes every method of an `impl` block callable by name, and a typed stub to call them with.
///
/// ```
/// use netrpc::{Server, service};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Args {
///     a: i64,
///     b: i64,
/// }
///
/// struct Arith;
///
/// #[service]
/// impl Arith {
///     fn multiply(&self, args: Args, reply: &mut i64) {
///         *reply = args.a * args.b;
///     }
///
///     fn divide(&self, args: Args, reply: &mut i64) -> Result<(), String> {
///         *reply = args.a.checked_div(args.b).ok_or("divide by zero")?;
///         Ok(())
///     }
/// }
///
/// # #[tokio::main]
/// # async fn main() -> anyhow::Result<()> {
/// let server = Server::new();
/// server.register(Arith)?;
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let addr = listener.local_addr()?;
/// tokio::spawn(server.serve(listener));
///
/// let arith = ArithClient::dial(addr).await?; // made by the attribute
/// assert_eq!(arith.multiply(&Args { a: 6, b: 7 }).await?, 42);
///
/// let call = arith.divide_go(&Args { a: 1, b: 0 }); // sent, not waited for
/// assert_eq!(call.await.unwrap_err().to_string(), "divide by zero");
///
/// let reply: i64 = arith.client().call("Arith.Multiply", &Args { a: 6, b: 7 }).await?; // by name
/// assert_eq!(reply, 42);
/// # Ok(())
/// # }
/// ```
///
/// # Methods
///
/// A method that takes `self` is served if it has one of these shapes, whether or not it is `pub`:
///
/// | shape | |
/// |---|---|
/// | `fn m(&self, args: A, reply: &mut R) -> Result<(), E>` | Go's |
/// | `fn m(&self, args: A, reply: &mut R)` | cannot fail |
/// | `fn m(&self, args: A) -> Result<R, E>` | for an `R` without `Default` |
/// | with a first parameter `cx: &Context` | deadline, cancellation, peer, metadata of the call |
/// | with `self: Arc<Self>` or `self: &Arc<Self>` | to hand the service on, to a task for one |
/// | `async fn` of any of these | |
///
/// - **`A`** is anything `Deserialize`. It may borrow from the request: `&str`, `&[u8]`, `Args<'_>`.
///   A method takes one argument: several are a struct or a tuple, `(a, b): (i64, i64)`, and none is
///   `_: ()`.
/// - **`R`** is anything `Serialize`, and `Default` if it is written: that is what it is before the
///   method runs. A returned reply may borrow from the service or from the arguments.
/// - **`E`** is anything that displays: `String`, `&str`, `anyhow::Error`, an error enum. Its text is
///   what the caller gets. A `netrpc::Fault` also keeps its typed detail, and does so inside of an
///   `anyhow::Error`. `Result` may be an alias, if its name ends so: `io::Result<()>`, `MyResult<R>`.
/// - **`Context`** is known by that name, whatever the path to it.
///
/// Whatever else takes or lacks a `self` is a mistake, which the compiler reports at its place with
/// what to do about it, together with all others of the block. Associated constants may stand in
/// the block; for functions that are not to be served there is `#[method(skip)]`, or another `impl`
/// block.
///
/// # What is generated
///
/// | for `impl Arith { fn multiply… }` | |
/// |---|---|
/// | the block, as it is | |
/// | `impl netrpc::Service for Arith` | what `Server::register` asks for |
/// | `ArithClient` | the typed stub: `Clone`, and cheap to clone |
/// | `ArithClient::new(client)`, `::dial(addr)` | it calls the service by its own name, |
/// | `ArithClient::with_name(client, "newServer.Arith")` | or by that given to `Server::register_name` |
/// | `.with(options)`, `.client()` | the same with other `CallOptions`; the client behind it |
/// | `.multiply(&args).await` | calls, and waits for the reply |
/// | `.multiply_go(&args)` | starts a call; the handle is a future of the reply |
/// | `ArithClient::MULTIPLY` | the method's name and types, for `Client::call` and `Client::go` |
///
/// The stub takes arguments by reference: `&str` for a `String`, `&[T]` for a `Vec<T>`, nothing for
/// `()`, and only numbers, `bool` and `char` by value. It returns replies owned: `String` for a
/// `&str`. Types that are only `Deserialize` as arguments, or only `Serialize` as replies, can be
/// served, but not called by the stub.
///
/// Comments, `#[cfg]` and `#[deprecated]` of a method are those of the stub's as well.
///
/// # Names
///
/// On the wire a method is `Type.UpperCamel`, which is what Go's clients ask for, and its exact Rust
/// name is an alias: `Arith.GetUserId` and `Arith.get_user_id`.
///
/// | `#[service(…)]` | |
/// |---|---|
/// | `name = "newServer.Arith"` | the service's name, instead of the type's |
/// | `rename_all = "snake_case"` | how its methods' names are written: `UpperCamelCase`, `lowerCamelCase`, `snake_case`, `SCREAMING_SNAKE_CASE`, `kebab-case` |
/// | `client = "Caller"`, `client = false` | the stub's name, or no stub |
/// | `server = "Service"`, `server = false` | on a trait: the same of `ArithmeticServer` |
/// | `vis = "pub(crate)"` | who can name the stub; everybody otherwise, or whoever can name the trait |
/// | `crate = "crate::rpc"` | the path to `netrpc`, if it is not `::netrpc` |
///
/// | `#[method(…)]` | |
/// |---|---|
/// | `name = "Times"` | its name on the wire; the Rust name stays an alias |
/// | `alias = "Product"` | another one; any number of them |
/// | `skip` | it is not served |
/// | `blocking` | it blocks its thread: it runs on the thread pool from the start |
/// | `idempotent` | running it twice does no more than running it once |
/// | `at_most_once` | it must not run twice: calls under less than `Semantics::AtMostOnce` are refused, by the stub before they are sent |
/// | `exactly_once` | nor be forgotten: calls under less than `Semantics::ExactlyOnce` are refused, and what it writes through `cx.txn()` is committed with its outcome |
/// | `no_cancel` | an `async` method that runs to its end, also when nobody waits any more |
///
/// # On a trait
///
/// A trait is an interface that servers and clients can share as a crate. Beside the stub
/// `ArithmeticClient` there is `ArithmeticServer`, a service made of any implementor:
///
/// ```
/// use netrpc::{Server, service};
///
/// #[service]
/// pub trait Arithmetic {
///     type Error: std::fmt::Display + Send;
///
///     fn multiply(&self, args: (i64, i64), reply: &mut i64);
///     async fn divide(&self, args: (i64, i64)) -> Result<i64, Self::Error>;
/// }
///
/// struct Wrapping;
///
/// impl Arithmetic for Wrapping {
///     type Error = &'static str;
///
///     fn multiply(&self, (a, b): (i64, i64), reply: &mut i64) {
///         *reply = a.wrapping_mul(b);
///     }
///
///     async fn divide(&self, (a, b): (i64, i64)) -> Result<i64, &'static str> {
///         if b == 0 { Err("divide by zero") } else { Ok(a.wrapping_div(b)) }
///     }
/// }
///
/// # #[tokio::main]
/// # async fn main() -> anyhow::Result<()> {
/// let server = Server::new();
/// server.register(ArithmeticServer::new(Wrapping))?; // or `ArithmeticServer::from(an_arc)`
/// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// # let addr = listener.local_addr()?;
/// # tokio::spawn(server.serve(listener));
///
/// let arithmetic = ArithmeticClient::dial(addr).await?;
/// assert_eq!(arithmetic.divide(&(42, 6)).await?, 7);
/// # Ok(())
/// # }
/// ```
///
/// The name on the wire is the trait's. An `async fn` becomes an `fn` that returns an
/// `impl Future + Send`, so that it can be served; an implementor still writes `async fn`. What
/// methods take and reply cannot depend on `Self`, their errors can.
///
/// # Generic services
///
/// `#[service] impl<S: Storage> Kv<S>` serves `Kv<S>` for every `S` that makes it
/// `Send + Sync + 'static`, as `Kv`. The stub has those parameters that the methods' signatures
/// mention, and no others: if `S` is in none of them, it is just `KvClient`.
///
/// # Limits
///
/// - One block of a type can be a `#[service]`; the compiler calls a second one conflicting.
/// - The type has no lifetime parameters, since it lives as long as the server. Methods can have
///   some; types and conditions they can not, nor can a trait.
/// - The stub has functions `new`, `with_name`, `dial`, `with` and `client` of its own, and a
///   `get_go` for a `get`. A method of such a name has to be renamed, which `#[method(name = "…")]`
///   hides from its callers; or the stub is left out.
/// - Macros in the block are not looked into, and `#[cfg_attr(…, method(…))]` is not possible.
#[proc_macro_attribute]
pub fn service(
    options: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    generate(options.into(), item.into()).into()
}

/// The block, and what is generated beside it or what is wrong with it.
fn generate(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let options = ServiceOptions::parse(options, &mut errors);
    let (block, generated) = match parse::parse(item, &mut errors) {
        Err(item) => (item, None),
        Ok((mut block, candidates)) => {
            let service = check::check(options, &block, &candidates, &mut errors);
            if let Block::Trait(item) = &mut block {
                interface::make_futures_send(item);
            }
            (block.into_token_stream(), service.as_ref().map(expand::expand))
        }
    };
    // Whatever is wrong, the block stays and what is right in it is served: no mistake brings
    // others in its train.
    let errors = errors.into_compile_errors();
    quote!(#block #generated #errors)
}
