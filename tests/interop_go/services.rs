//! The services of our server, the same as those in `tests/go/services.go`.

use std::{
    collections::{BTreeMap, HashMap},
    iter::successors,
    marker::PhantomData,
    sync::Arc,
    time::Duration,
};

use netrpc::{RegisterError, Server, service};
use netrpc_gob::{complex::Complex, time::GoTime};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize, Serializer, de::DeserializeOwned, ser};
use tokio::sync::Semaphore;

use super::{
    text::{Text, digest, noise},
    types::*,
};

/// A service for values of one type.
struct Echo<T>(PhantomData<fn() -> T>);

#[service(client = false)]
impl<T: Text + Default + Serialize + DeserializeOwned + Send> Echo<T> {
    fn echo(&self, value: T, reply: &mut T) {
        *reply = value;
    }

    /// What arrived.
    fn text(&self, value: T, reply: &mut String) {
        *reply = value.text();
    }
}

/// The service of Go's own tests.
struct Arith;

#[service]
impl Arith {
    fn add(&self, args: Args, reply: &mut Reply) {
        reply.c = args.a + args.b;
    }

    fn mul(&self, args: Args, reply: &mut Reply) {
        reply.c = args.a * args.b;
    }

    fn multiply(&self, args: Args, reply: &mut i64) {
        *reply = args.a * args.b;
    }

    fn div(&self, args: Args, reply: &mut Reply) -> Result<(), String> {
        reply.c = args.a.checked_div(args.b).ok_or("divide by zero")?;
        Ok(())
    }

    fn string(&self, args: Args, reply: &mut String) {
        *reply = format!("{}+{}={}", args.a, args.b, args.a + args.b);
    }

    fn scan(&self, text: &str, reply: &mut Reply) -> anyhow::Result<()> {
        reply.c = text.parse()?;
        Ok(())
    }
}

/// Tuples, where Go has an array and a struct.
struct Pair;

#[service(client = false)]
impl Pair {
    fn array(&self, (a, b): (i64, i64), reply: &mut (i64, i64)) {
        *reply = (b, a);
    }

    #[method(name = "Struct")]
    fn of_struct(&self, (a, b): (i64, i64), reply: &mut Args) {
        *reply = Args { a: b, b: a };
    }
}

/// Only received: we cannot tell gob what a value of an `interface{}` is.
struct Cartons;

#[service(client = false)]
impl Cartons {
    fn text(&self, carton: Carton, reply: &mut String) {
        *reply = carton.text();
    }
}

/// Takes what is in the request where it lies.
struct Borrowed;

#[service(client = false)]
impl Borrowed {
    fn string(&self, text: &str, reply: &mut String) {
        *reply = text.to_owned();
    }

    fn bytes(&self, bytes: &[u8], reply: &mut Vec<u8>) {
        *reply = bytes.to_vec();
    }

    fn user(&self, user: BorrowedUser<'_>, reply: &mut String) {
        *reply = format!("{} {}", user.user_id, user.name);
    }
}

#[derive(Deserialize)]
struct BorrowedUser<'a> {
    user_id: i64,
    name: &'a str,
}

/// Replies what may be nothing.
struct Maybe;

#[service(client = false)]
impl Maybe {
    fn echo(&self, point: Point, reply: &mut Option<Point>) {
        *reply = Some(point);
    }

    fn no_point(&self, (): (), _reply: &mut Option<Point>) {}

    fn no_number(&self, (): (), _reply: &mut Option<i64>) {}

    fn no_text(&self, (): (), _reply: &mut Option<String>) {}
}

/// Fails.
struct Faults;

#[service(client = false)]
impl Faults {
    fn fail(&self, message: String, reply: &mut String) -> Result<(), String> {
        *reply = "not to be seen".to_owned();
        Err(message)
    }

    fn panic(&self, message: String, _reply: &mut Reply) {
        panic!("{message}");
    }

    fn unencodable(&self, (): (), _reply: &mut Unencodable) {}
}

#[derive(Default, Deserialize)]
struct Unencodable;

impl Serialize for Unencodable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(ser::Error::custom("out of ink"))
    }
}

/// Takes nothing and replies nothing.
struct Nothing;

#[service(client = false)]
impl Nothing {
    fn nothing(&self, (): (), _reply: &mut ()) {}

    fn answer(&self, (): (), reply: &mut i64) {
        *reply = 42;
    }

    fn discard(&self, _: i64, _reply: &mut ()) {}
}

/// Works on trees.
struct Tree;

#[service(client = false)]
impl Tree {
    fn sum(&self, node: Node, reply: &mut i64) {
        *reply = node.sum();
    }

    fn mirror(&self, node: Node, reply: &mut Node) {
        *reply = node.mirror();
    }

    fn length(&self, list: List, reply: &mut i64) {
        *reply = successors(Some(&list), |list| list.tail.as_deref()).count() as i64;
    }

    fn listed(&self, length: i64, reply: &mut List) {
        for _ in 1..length {
            let tail = std::mem::take(reply);
            reply.tail = Some(Box::new(tail));
        }
    }
}

/// Many bytes.
struct Blob;

#[service(client = false)]
impl Blob {
    fn digest(&self, bytes: Vec<u8>, reply: &mut String) {
        *reply = digest(&bytes);
    }

    fn make(&self, size: i64, reply: &mut Vec<u8>) -> anyhow::Result<()> {
        *reply = noise(usize::try_from(size)?);
        Ok(())
    }
}

/// Takes its time.
struct Slow;

#[service(client = false)]
impl Slow {
    async fn sleep(&self, microseconds: i64, reply: &mut i64) {
        tokio::time::sleep(Duration::from_micros(microseconds.unsigned_abs())).await;
        *reply = microseconds;
    }
}

/// Holds calls up until a caller, of any connection, lets them go.
#[derive(Default)]
struct Gate {
    gates: Mutex<HashMap<String, GateState>>,
}

struct GateState {
    /// Closed once the gate is open.
    open: Arc<Semaphore>,
    waiting: i64,
}

impl Default for GateState {
    fn default() -> Self {
        GateState { open: Arc::new(Semaphore::new(0)), waiting: 0 }
    }
}

/// A call that waits; it may be cancelled.
struct Waiting<'a> {
    gate: &'a Gate,
    key: &'a str,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.gate.gates.lock().entry(self.key.to_owned()).or_default().waiting -= 1;
    }
}

#[service(client = false)]
impl Gate {
    async fn wait(&self, key: String, reply: &mut String) {
        let open = {
            let mut gates = self.gates.lock();
            let gate = gates.entry(key.clone()).or_default();
            gate.waiting += 1;
            gate.open.clone()
        };
        let waiting = Waiting { gate: self, key: &key };
        let closed = open.acquire().await.is_err();
        drop(waiting);
        assert!(closed, "nobody adds permits");
        *reply = key;
    }

    fn open(&self, key: String, _reply: &mut ()) {
        self.gates.lock().entry(key).or_default().open.close();
    }

    /// How many calls wait at gates whose keys begin so.
    fn waiting(&self, prefix: String, reply: &mut i64) {
        let gates = self.gates.lock();
        let those = gates.iter().filter(|(key, _)| key.starts_with(&prefix));
        *reply = those.map(|(_, gate)| gate.waiting).sum();
    }
}

fn echo<T>(server: &Server, name: &str) -> Result<(), RegisterError>
where
    T: Text + Default + Serialize + DeserializeOwned + Send + 'static,
{
    server.register_name(name, Echo::<T>(PhantomData))
}

pub fn register(server: &Server) -> Result<(), RegisterError> {
    echo::<bool>(server, "Bool")?;
    echo::<i64>(server, "Int")?;
    echo::<i8>(server, "Int8")?;
    echo::<i16>(server, "Int16")?;
    echo::<i32>(server, "Int32")?;
    echo::<i64>(server, "Int64")?;
    echo::<u64>(server, "Uint")?;
    echo::<u8>(server, "Uint8")?;
    echo::<u16>(server, "Uint16")?;
    echo::<u32>(server, "Uint32")?;
    echo::<u64>(server, "Uint64")?;
    echo::<f32>(server, "Float32")?;
    echo::<f64>(server, "Float64")?;
    echo::<String>(server, "String")?;
    echo::<Vec<u8>>(server, "Bytes")?;
    echo::<Celsius>(server, "Celsius")?;
    echo::<Label>(server, "Label")?;
    echo::<Level>(server, "Level")?;
    echo::<Labels>(server, "Labels")?;
    echo::<Board>(server, "Board")?;
    echo::<Named>(server, "Named")?;
    echo::<Vec<bool>>(server, "Bools")?;
    echo::<Vec<i8>>(server, "Int8s")?;
    echo::<Vec<u16>>(server, "Uint16s")?;
    echo::<Vec<i64>>(server, "Int64s")?;
    echo::<Vec<f32>>(server, "Float32s")?;
    echo::<Vec<f64>>(server, "Float64s")?;
    echo::<Vec<String>>(server, "Strings")?;
    echo::<Vec<Vec<i64>>>(server, "Rows")?;
    echo::<Vec<Vec<u8>>>(server, "Chunks")?;
    echo::<Vec<Point>>(server, "Points")?;
    echo::<[i64; 3]>(server, "Triple")?;
    echo::<[String; 2]>(server, "Two")?;
    echo::<[u8; 4]>(server, "Address")?;
    echo::<[[i64; 2]; 2]>(server, "Grid")?;
    echo::<HashMap<String, i64>>(server, "Ages")?;
    echo::<BTreeMap<i64, String>>(server, "Names")?;
    echo::<HashMap<u8, bool>>(server, "Flags")?;
    echo::<HashMap<String, Vec<String>>>(server, "Routes")?;
    echo::<HashMap<String, BTreeMap<String, i64>>>(server, "Tables")?;
    echo::<HashMap<String, Point>>(server, "Places")?;
    echo::<HashMap<bool, String>>(server, "ByBool")?;
    echo::<BTreeMap<Point, String>>(server, "ByPoint")?;
    echo::<Point>(server, "Point")?;
    echo::<Nested>(server, "Nested")?;
    echo::<Links>(server, "Links")?;
    echo::<Vec<Pointers>>(server, "PointersList")?;
    echo::<HashMap<String, Pointers>>(server, "PointersMap")?;
    echo::<Vec<Node>>(server, "Nodes")?;
    echo::<Sparse>(server, "Sparse")?;
    echo::<Vec<Sparse>>(server, "SparseList")?;
    echo::<Unit>(server, "Unit")?;
    echo::<Braces>(server, "Braces")?;
    echo::<Hash>(server, "Hash")?;
    echo::<HashMap<String, serde_json::Value>>(server, "Dynamic")?;
    echo::<Derived>(server, "Derived")?;
    echo::<Flattened>(server, "Flattened")?;
    echo::<Pointers>(server, "Pointers")?;
    echo::<User>(server, "User")?;
    echo::<LaxUser>(server, "LaxUser")?;
    echo::<Record>(server, "Record")?;
    echo::<Node>(server, "Node")?;
    echo::<List>(server, "List")?;
    echo::<Dir>(server, "Dir")?;
    echo::<Everything>(server, "Everything")?;
    echo::<Color>(server, "Color")?;
    echo::<Grade>(server, "Grade")?;
    echo::<Shape>(server, "Shape")?;
    echo::<Vec<Shape>>(server, "Shapes")?;
    echo::<GoTime>(server, "Time")?;
    echo::<String>(server, "TimeText")?;
    echo::<Complex>(server, "Complex")?;
    echo::<Url>(server, "URL")?;
    echo::<Moment>(server, "Moment")?;
    server.register_name("Carton", Cartons)?;
    server.register(Arith)?;
    server.register_name("net.rpc.Arith", Arith)?;
    server.register(Pair)?;
    server.register(Borrowed)?;
    server.register(Maybe)?;
    server.register(Faults)?;
    server.register(Nothing)?;
    server.register(Tree)?;
    server.register(Blob)?;
    server.register(Slow)?;
    server.register(Gate::default())
}
