//! What the tests call, and how often it has run.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use netrpc::{CallOptions, Client, Error, Fault, Ledger, Reconnect, Semantics, Server, service};
use tokio::sync::Semaphore;

use crate::net::Net;

/// Counts how often each call has begun, and lets it end when it may.
pub struct Bank {
    runs: Mutex<HashMap<u64, u32>>,
    pub begun: Semaphore,
    pub open: Semaphore,
}

#[service]
impl Bank {
    /// Ends at once.
    fn debit(&self, n: u64, reply: &mut u64) {
        self.note(n);
        *reply = n;
    }

    /// Ends when the test lets it.
    async fn pass(&self, n: u64, reply: &mut u64) {
        self.note(n);
        self.open.acquire().await.expect("never closed").forget();
        *reply = n;
    }

    fn refuse(&self, n: u64) -> Result<(), Fault> {
        self.note(n);
        Err(Fault::new("overdrawn"))
    }

    fn panic(&self, n: u64, _reply: &mut u64) {
        self.note(n);
        panic!("out of money");
    }
}

impl Bank {
    pub fn new() -> Arc<Bank> {
        let (begun, open) = (Semaphore::new(0), Semaphore::new(0));
        Arc::new(Bank { runs: Mutex::default(), begun, open })
    }

    fn note(&self, n: u64) {
        *self.runs.lock().unwrap().entry(n).or_default() += 1;
        self.begun.add_permits(1);
    }

    pub fn runs(&self, n: u64) -> u32 {
        self.runs.lock().unwrap().get(&n).copied().unwrap_or(0)
    }

    /// Waits until so many calls have begun since this was asked last.
    pub async fn begun(&self, calls: u32) {
        crate::common::soon(self.begun.acquire_many(calls)).await.unwrap().forget();
    }
}

/// A server of the bank.
pub fn server(bank: &Arc<Bank>, ledger: Ledger) -> Server {
    let server = Server::builder().ledger(ledger).build();
    server.register(bank.clone()).unwrap();
    server
}

pub fn volatile(bank: &Arc<Bank>) -> Server {
    server(bank, Ledger::volatile())
}

/// A client whose calls run at most once.
pub async fn client(net: &Net) -> Client {
    let builder = Client::builder().reconnect(Reconnect::new().seed(7));
    let client = builder.connect_with(net.clone()).await.unwrap();
    under(&client, Semantics::AtMostOnce)
}

pub fn under(client: &Client, semantics: Semantics) -> Client {
    client.with(CallOptions::new().semantics(semantics))
}

pub async fn call(client: &Client, method: &str, n: u64) -> Result<u64, Error> {
    crate::common::soon(client.call(method, &n)).await
}
