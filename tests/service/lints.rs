//! Nothing that is generated is warned of, whatever its user asks to be warned of: see `main.rs`.
#![warn(let_underscore, single_use_lifetimes, unused_results)] // too much for the other files

use std::{marker::PhantomData, sync::Arc};

use netrpc::{Context, Fault, service};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Pair<'a> {
    key: &'a str,
    value: &'a str,
}

/// Everything.
#[derive(Debug)]
pub struct All;

#[service]
impl All {
    fn written(&self, args: i64, reply: &mut i64) {
        *reply = args;
    }

    /// Documented.
    async fn returned(&self, cx: &Context, pair: Pair<'_>) -> Result<String, Fault> {
        cx.set_reply_metadata(pair.key, pair.value);
        Ok(pair.value.to_owned())
    }

    fn nothing(self: Arc<Self>, _: (), _reply: &mut ()) -> anyhow::Result<()> {
        Ok(())
    }

    #[deprecated]
    async fn old(self: &Arc<Self>, _text: &str, _reply: &mut String) {}

    #[allow(non_snake_case)]
    fn Loud(&self, _: (), _: &mut ()) -> std::fmt::Result {
        Ok(())
    }
}

/// A service with a parameter.
pub mod generic {
    use super::{Deserialize, PhantomData, Serialize, service};

    /// It serves a type.
    #[derive(Debug)]
    pub struct Of<T>(pub PhantomData<fn() -> T>);

    #[service]
    impl<T: for<'de> Deserialize<'de> + Default + Serialize + Send> Of<T> {
        async fn same(&self, arg: T, reply: &mut T) {
            *reply = arg;
        }
    }
}

/// An interface.
#[service]
pub trait Interface {
    /// With a body.
    async fn one(&self, n: i64, reply: &mut i64) {
        *reply = n;
    }

    /// Without.
    async fn two(&self, text: &str) -> Result<String, String>;

    /// Not async.
    fn three(&self, text: &str, reply: &mut String) -> Result<(), String>;
}

#[service]
pub(crate) trait Hidden {
    fn one(&self, n: i64, reply: &mut i64);
}

impl Interface for All {
    async fn two(&self, text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }

    fn three(&self, text: &str, reply: &mut String) -> Result<(), String> {
        text.clone_into(reply);
        Ok(())
    }
}

impl Hidden for All {
    fn one(&self, n: i64, reply: &mut i64) {
        *reply = n;
    }
}

#[test]
fn it_compiles_and_registers() -> Result<(), netrpc::RegisterError> {
    let server = netrpc::Server::new();
    server.register(All)?;
    server.register(generic::Of(PhantomData::<fn() -> String>))?;
    server.register(InterfaceServer::new(All))?;
    server.register(HiddenServer::new(All))?;
    Ok(())
}
