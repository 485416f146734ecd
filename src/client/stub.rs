//! What every typed stub of `#[service]` is made of: a client, and the service's name there.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use crate::{Call, CallOptions, Client, Demand, Error, MethodName, TypedMethod};

/// A client together with the name its service goes by.
#[derive(Debug, Clone)]
pub struct Stub {
    client: Client,
    /// The name given to `register_name`; `None` is the one in the method constants.
    name: Option<Arc<str>>,
}

impl Stub {
    /// A service registered under its own name.
    pub fn new(client: Client) -> Self {
        Stub { client, name: None }
    }

    /// A service registered under another.
    pub fn with_name(client: Client, name: &str) -> Self {
        Stub { client, name: Some(name.into()) }
    }

    /// The same with other options.
    #[must_use]
    pub fn with(&self, options: CallOptions) -> Self {
        Stub { client: self.client.with(options), name: self.name.clone() }
    }

    /// The connection.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Calls a method and waits for its reply.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn call<A, R>(&self, method: TypedMethod<A, R>, args: &A) -> Result<R, Error>
    where
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        match &self.name {
            None => self.client.call(method, args).await,
            Some(name) => self.client.call(Renamed::new(name, method), args).await,
        }
    }

    /// Starts a call.
    pub fn go<A, R>(&self, method: TypedMethod<A, R>, args: &A) -> Call<R>
    where
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        match &self.name {
            None => self.client.go(method, args),
            Some(name) => self.client.go(Renamed::new(name, method), args),
        }
    }
}

/// A method of a service that goes by another name.
struct Renamed {
    name: String,
    demands: Demand,
}

impl Renamed {
    /// `Arith.Multiply` as a method of the service called `name`.
    fn new<A: ?Sized, R>(name: &str, method: TypedMethod<A, R>) -> Self {
        // A method's name has no dot, which `#[service]` sees to; a service's may.
        let own = method.name();
        let own = own.rsplit_once('.').map_or(own, |(_, own)| own);
        Renamed { name: format!("{name}.{own}"), demands: method.demands() }
    }
}

impl<A: ?Sized, R> MethodName<A, R> for Renamed {
    fn name(&self) -> &str {
        &self.name
    }

    fn demands(&self) -> Demand {
        self.demands
    }
}
