//! `#[service]` on a trait: one interface, any implementor, the same stub.

use std::sync::{Arc, Mutex};

use netrpc::{Context, Server, service};
use serde::{Deserialize, Serialize};

use crate::connect;

#[derive(Serialize, Deserialize)]
pub(crate) struct Entry<'a> {
    key: &'a str,
    value: &'a str,
}

/// What a server and its clients agree on.
#[service(name = "Kv")]
pub(crate) trait KeyValue {
    /// What all methods fail with; a caller gets its text.
    type Error: std::fmt::Display + Send;

    const LIMIT: usize = 3;

    /// Gets.
    async fn get(&self, key: &str) -> Result<Option<String>, Self::Error>;

    async fn put(&self, entry: Entry<'_>, replaced: &mut bool) -> Result<(), Self::Error>;

    fn len(&self, cx: &Context, _: (), reply: &mut usize);

    /// With a body that all implementors have in common, unless they say otherwise.
    async fn get_all(&self, keys: Vec<String>) -> Result<Vec<String>, Self::Error> {
        let mut values = Vec::new();
        for key in keys.iter().take(Self::LIMIT) {
            let Some(value) = self.get(key).await? else { return Ok(Vec::new()) };
            values.push(value);
        }
        Ok(values)
    }

    fn shared(self: Arc<Self>, _: (), reply: &mut usize) {
        *reply = Arc::strong_count(&self);
    }

    #[method(skip)]
    fn empty() -> Self
    where
        Self: Sized;
}

struct Memory(Mutex<Vec<(String, String)>>);

impl KeyValue for Memory {
    type Error = String;

    async fn get(&self, key: &str) -> Result<Option<String>, String> {
        tokio::task::yield_now().await;
        let entries = self.0.lock().unwrap();
        Ok(entries.iter().find(|(k, _)| k == key).map(|(_, value)| value.clone()))
    }

    async fn put(&self, entry: Entry<'_>, replaced: &mut bool) -> Result<(), String> {
        *replaced = self.get(entry.key).await?.is_some();
        let mut entries = self.0.lock().unwrap();
        entries.retain(|(key, _)| key != entry.key);
        entries.push((entry.key.to_owned(), entry.value.to_owned()));
        Ok(())
    }

    fn len(&self, _: &Context, _: (), reply: &mut usize) {
        *reply = self.0.lock().unwrap().len();
    }

    fn empty() -> Self {
        Memory(Mutex::default())
    }
}

struct ReadOnly;

impl KeyValue for ReadOnly {
    type Error = anyhow::Error;

    async fn get(&self, key: &str) -> anyhow::Result<Option<String>> {
        Ok(Some(key.to_uppercase()))
    }

    async fn put(&self, entry: Entry<'_>, _replaced: &mut bool) -> anyhow::Result<()> {
        anyhow::bail!("`{}` is read-only", entry.key)
    }

    fn len(&self, cx: &Context, _: (), reply: &mut usize) {
        *reply = cx.metadata().len();
    }

    fn empty() -> Self {
        ReadOnly
    }
}

#[tokio::test]
async fn two_implementors_serve_one_interface() {
    let server = Server::new();
    server.register(KeyValueServer::new(Memory::empty())).unwrap();
    server.register_name("Fixed", KeyValueServer::new(ReadOnly)).unwrap();
    let client = connect(&server);
    let memory = KeyValueClient::new(client.clone());
    let fixed = KeyValueClient::with_name(client, "Fixed");
    let entry = |value| Entry { key: "k", value };

    assert_eq!(memory.get("k").await.unwrap(), None);
    assert!(!memory.put(&entry("v")).await.unwrap());
    assert!(memory.put(&entry("w")).await.unwrap());
    assert_eq!(memory.get("k").await.unwrap().as_deref(), Some("w"));
    assert_eq!(memory.len().await.unwrap(), 1);

    assert_eq!(fixed.get("k").await.unwrap().as_deref(), Some("K"));
    assert_eq!(fixed.put(&entry("v")).await.unwrap_err().to_string(), "`k` is read-only");
    assert_eq!(fixed.len().await.unwrap(), 0);
    assert_eq!(KeyValueClient::PUT.name(), "Kv.Put");
}

#[tokio::test]
async fn a_method_with_a_body_need_not_be_implemented() {
    let server = Server::new();
    server.register(KeyValueServer::new(ReadOnly)).unwrap();
    let client = KeyValueClient::new(connect(&server));
    let keys = ["a", "b", "c", "d"].map(String::from);
    assert_eq!(client.get_all(&keys).await.unwrap(), ["A", "B", "C"]);
}

#[tokio::test]
async fn an_implementor_that_is_shared_already_is_served_as_it_is() {
    let memory = Arc::new(Memory::empty());
    let server = Server::new();
    server.register(KeyValueServer::from(memory.clone())).unwrap();
    let client = KeyValueClient::new(connect(&server));
    assert_eq!(client.shared().await.unwrap(), 3, "ours, the server's, the call's");
    client.put(&Entry { key: "k", value: "v" }).await.unwrap();
    assert_eq!(memory.get("k").await.unwrap().as_deref(), Some("v"));
}

/// Without `async` a trait can be an object.
#[service(server = "ClockService")]
trait Clock: Send + Sync {
    fn hours(&self, _: (), reply: &mut u8);
}

impl Clock for u8 {
    fn hours(&self, _: (), reply: &mut u8) {
        *reply = *self;
    }
}

#[tokio::test]
async fn an_object_can_be_served() {
    let clock: Arc<dyn Clock> = Arc::new(7_u8);
    let server = Server::new();
    server.register(ClockService::from(clock)).unwrap();
    let client = ClockClient::new(connect(&server));
    assert_eq!(client.hours().await.unwrap(), 7);
}

/// The methods of a trait that is only called from here.
#[service(server = false)]
trait Elsewhere {
    #[allow(dead_code)]
    async fn answer(&self, _: ()) -> Result<i64, String>;
}

#[tokio::test]
async fn a_client_may_want_no_server() {
    let client = ElsewhereClient::new(connect(&Server::new()));
    let error = client.answer().await.unwrap_err();
    assert_eq!(error.to_string(), "rpc: can't find service Elsewhere.Answer");
}
