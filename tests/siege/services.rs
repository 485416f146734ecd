//! What is served under siege: the names and types are those of the Go server in `tests/go`, so that
//! the same bytes attack both.

use std::{collections::HashMap, marker::PhantomData, time::Duration};

use netrpc::{Server, service};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Args {
    pub a: i64,
    pub b: i64,
}

/// A list that contains the next.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct List {
    pub head: String,
    pub tail: Option<Box<List>>,
}

struct Arith;

#[service]
impl Arith {
    fn multiply(&self, args: Args, reply: &mut i64) {
        *reply = args.a.wrapping_mul(args.b);
    }
}

struct Blob;

#[service]
impl Blob {
    fn make(&self, size: i64, reply: &mut Vec<u8>) {
        reply.resize(usize::try_from(size).unwrap_or(0), 7);
    }

    /// The same, in a task of its own.
    async fn later(&self, size: i64, reply: &mut Vec<u8>) {
        tokio::task::yield_now().await;
        self.make(size, reply);
    }
}

struct Tree;

#[service]
impl Tree {
    fn length(&self, list: List, reply: &mut i64) {
        let mut next = Some(&list);
        while let Some(list) = next {
            *reply += 1;
            next = list.tail.as_deref();
        }
    }
}

struct Slow;

#[service]
impl Slow {
    #[method(blocking)]
    fn sleep(&self, microseconds: i64, reply: &mut i64) {
        std::thread::sleep(Duration::from_micros(microseconds.unsigned_abs()));
        *reply = microseconds;
    }
}

struct Gate;

#[service]
impl Gate {
    /// Takes long, unless it is cancelled.
    async fn wait(&self, _key: String, reply: &mut String) {
        reply.push('?');
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
}

/// Takes an argument of any form.
struct Echo<T>(PhantomData<fn() -> T>);

#[service]
impl<T: DeserializeOwned + Send + Sync + 'static> Echo<T> {
    fn text(&self, _it: T, reply: &mut String) {
        reply.push_str("taken");
    }
}

pub fn register(server: &Server) {
    server.register(Arith).expect("a name of its own");
    server.register(Blob).expect("a name of its own");
    server.register(Tree).expect("a name of its own");
    server.register(Slow).expect("a name of its own");
    server.register(Gate).expect("a name of its own");
    server.register_name("String", Echo::<String>(PhantomData)).expect("a name of its own");
    server.register_name("Bytes", Echo::<Vec<u8>>(PhantomData)).expect("a name of its own");
    server.register_name("Int64s", Echo::<Vec<i64>>(PhantomData)).expect("a name of its own");
    server
        .register_name("Ages", Echo::<HashMap<String, i64>>(PhantomData))
        .expect("a name of its own");
    server.register_name("Dynamic", Echo::<Value>(PhantomData)).expect("a name of its own");
}
