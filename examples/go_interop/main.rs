//! A Go server moved to Rust; its Go clients stay as they are.
//!
//! `server.go` beside this file is the server as it was, `client.go` the client. With Go on the machine
//!
//! ```text
//! cargo run --example go_interop
//! ```
//!
//! serves the same service from here and runs the client against it: over gob, JSON-RPC and HTTP, all on
//! one port. `cargo run --example go_interop -- 127.0.0.1:4321` only serves, for clients of your own.

use std::{
    collections::{BTreeMap, HashMap},
    env,
    path::Path,
    sync::Mutex,
};

use anyhow::{Context, bail};
use netrpc::{Server, service};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, process::Command};

#[derive(Clone, Default, Serialize, Deserialize)]
struct Item {
    name: String,
    unit_price: i64,
    tags: Vec<String>,
}

#[derive(Default)]
struct Inventory {
    items: Mutex<BTreeMap<String, Item>>,
}

#[service]
impl Inventory {
    /// Keeps an item and tells how many there are now.
    fn put(&self, item: Item, count: &mut i64) {
        let mut items = self.items.lock().unwrap();
        items.insert(item.name.clone(), item);
        *count = items.len() as i64;
    }

    /// Finds an item by its name.
    fn get(&self, name: &str, item: &mut Item) -> anyhow::Result<()> {
        match self.items.lock().unwrap().get(name) {
            Some(found) => *item = found.clone(),
            None => bail!("no such item: {name}"),
        }
        Ok(())
    }

    /// Lists the names that begin with a prefix.
    fn names(&self, prefix: &str, names: &mut Vec<String>) {
        let items = self.items.lock().unwrap();
        names.extend(items.keys().filter(|name| name.starts_with(prefix)).cloned());
    }

    /// Counts how many items have each of these tags.
    fn count_tags(&self, tags: Vec<String>, counts: &mut HashMap<String, i64>) {
        for item in self.items.lock().unwrap().values() {
            for tag in item.tags.iter().filter(|tag| tags.contains(tag)) {
                *counts.entry(tag.clone()).or_default() += 1;
            }
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Server::new();
    server.register(Inventory::default())?;
    let addr = env::args().nth(1);
    let listener = TcpListener::bind(addr.as_deref().unwrap_or("127.0.0.1:0")).await?;
    let bound = listener.local_addr()?;
    if addr.is_some() {
        println!("listening on {bound}");
        server.serve(listener).await;
        return Ok(());
    }
    tokio::spawn(server.serve(listener));
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/go_interop/client.go");
    let status = Command::new("go")
        .args(["run".as_ref(), client.as_os_str()])
        .args([&bound.to_string(), "gob", "json", "http"])
        .status()
        .await
        .context("cannot run `go`: install Go, or give an address to serve on")?;
    anyhow::ensure!(status.success(), "the client failed: {status}");
    Ok(())
}
