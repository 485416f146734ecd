//! A key-value store: `async` handlers over shared state, metadata, deadlines, typed errors.
//!
//! ```text
//! cargo run --example kv
//! ```
//!
//! prints
//!
//! ```text
//! blue: color is now "navy", version 1
//! blue: color is "navy", version 1
//! green: nothing is called "color"
//! blue: color was changed by somebody else: it is at version 1, not at 7
//! blue: color is now "azure", version 2
//! blue: who watched the color saw "azure"
//! blue: nobody changed the color within 100 ms
//! nobody: a call needs the metadata `tenant`
//! the server holds 1 entry
//! ```
//!
//! What a call is *about* is in its arguments. What concerns the call itself goes beside them, as
//! metadata: here the tenant on whose behalf it is made, set once for a client and sent with every
//! call. A handler reads it from its [`Context`], and sends some back: the version of what it read
//! or wrote.
//!
//! An error that a program has to act on carries a typed detail: [`Fault::with_detail`] on the
//! server, [`Fault::detail`] on the client.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, bail};
use netrpc::{CallOptions, Client, Context, Error, Fault, Metadata, Server, service};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, RwLock};

/// A value, and how often it was written.
#[derive(Clone)]
struct Versioned {
    value: String,
    version: u64,
}

#[derive(Serialize, Deserialize)]
struct Put {
    key: String,
    value: String,
    /// Write only over this version; 0 is a key that is not there yet.
    over: u64,
}

/// The detail of the error when somebody else was quicker.
#[derive(Serialize, Deserialize)]
struct Conflict {
    version: u64,
}

#[derive(Default)]
struct Kv {
    /// By tenant and key.
    entries: RwLock<HashMap<(String, String), Versioned>>,
    /// Told of every change.
    changed: Notify,
}

#[service]
impl Kv {
    /// The value of a key.
    async fn get(&self, cx: &Context, key: String, reply: &mut String) -> Result<(), Fault> {
        let entry = self.find(cx, &key).await?;
        let entry = entry.ok_or_else(|| Fault::new(format!("nothing is called {key:?}")))?;
        cx.set_reply_metadata("version", entry.version.to_string());
        *reply = entry.value;
        Ok(())
    }

    /// Writes a value, if nobody has written another since the caller looked.
    async fn put(&self, cx: &Context, put: Put, _: &mut ()) -> Result<(), Fault> {
        let key = (tenant(cx)?, put.key);
        let mut entries = self.entries.write().await;
        let there = entries.get(&key).map_or(0, |entry| entry.version);
        if there != put.over {
            let fault = Fault::new("changed by somebody else");
            return Err(fault.with_detail(&Conflict { version: there }));
        }
        let written = Versioned { value: put.value, version: there + 1 };
        cx.set_reply_metadata("version", written.version.to_string());
        entries.insert(key, written);
        self.changed.notify_waiters();
        Ok(())
    }

    /// Waits for a version after this one. If the caller's deadline passes first, this future is
    /// dropped where it waits.
    async fn watch(
        &self,
        cx: &Context,
        (key, after): (String, u64),
        reply: &mut String,
    ) -> Result<(), Fault> {
        loop {
            // Before looking, so that no change is missed in between.
            let changed = self.changed.notified();
            if let Some(entry) = self.find(cx, &key).await?.filter(|entry| entry.version > after) {
                *reply = entry.value;
                return Ok(());
            }
            changed.await;
        }
    }

    /// How many entries all tenants have.
    async fn len(&self, (): (), reply: &mut usize) {
        *reply = self.entries.read().await.len();
    }
}

impl Kv {
    /// The caller's own entry of this key.
    async fn find(&self, cx: &Context, key: &str) -> Result<Option<Versioned>, Fault> {
        let key = (tenant(cx)?, key.to_owned());
        Ok(self.entries.read().await.get(&key).cloned())
    }
}

/// On whose behalf the call is made.
fn tenant(cx: &Context) -> Result<String, Fault> {
    let tenant = cx.metadata().get("tenant");
    tenant.map(str::to_owned).ok_or_else(|| Fault::new("a call needs the metadata `tenant`"))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Server::new();
    server.register(Kv::default())?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(server.serve(listener));

    // One connection, and three views of it that differ in what goes with each call.
    let nobody = KvClient::new(Client::dial(addr).await?);
    let blue = nobody.with(CallOptions::new().metadata("tenant", "blue"));
    let green = nobody.with(CallOptions::new().metadata("tenant", "green"));

    // `with_metadata` also gives what the handler sent back beside the reply.
    let put = |value: &str, over| Put { key: "color".into(), value: value.into(), over };
    let ((), back) = blue.put_go(&put("navy", 0)).with_metadata().await?;
    println!("blue: color is now \"navy\", version {}", version(&back)?);
    let (color, back) = blue.get_go("color").with_metadata().await?;
    println!("blue: color is {color:?}, version {}", version(&back)?);

    // Another tenant has its own keys. A handler's error is `Error::Method`.
    let error = green.get("color").await.expect_err("green has written nothing");
    println!("green: {error}");

    // An error with a detail: a program can act on it without reading its text.
    let error = blue.put(&put("red", 7)).await.expect_err("there is no version 7");
    let conflict = error.fault().map(Fault::detail::<Conflict>).transpose()?.flatten();
    let there = conflict.context("a conflict has a detail")?.version;
    println!("blue: color was {error}: it is at version {there}, not at 7");

    // Somebody waits for the next version while another writes it.
    let watching = blue.watch_go(&("color".into(), there));
    let ((), back) = blue.put_go(&put("azure", there)).with_metadata().await?;
    println!("blue: color is now \"azure\", version {}", version(&back)?);
    println!("blue: who watched the color saw {:?}", watching.await?);

    // A deadline goes with the call too: the server knows how long the caller will wait.
    let hasty = blue.with(CallOptions::new().timeout(Duration::from_millis(100)));
    match hasty.watch(&("color".into(), 2)).await {
        Err(Error::Deadline { .. }) => println!("blue: nobody changed the color within 100 ms"),
        other => bail!("nobody changes the color, but it answered {other:?}"),
    }

    let error = nobody.get("color").await.expect_err("it says no tenant");
    println!("nobody: {error}");
    println!("the server holds {} entry", nobody.len().await?);
    Ok(())
}

/// The version that came back beside a reply.
fn version(back: &Metadata) -> anyhow::Result<&str> {
    back.get("version").context("the server sends a version back")
}
