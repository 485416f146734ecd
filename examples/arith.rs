//! The example of Go's `net/rpc` package, line by line.
//!
//! ```text
//! cargo run --example arith
//! ```
//!
//! prints
//!
//! ```text
//! Arith: 7*8=56
//! Arith: 7/2=3 remainder 1
//! Arith: 6*7=42
//! Arith: 7/0: divide by zero
//! Arith: no such method: rpc: can't find method Arith.Modulo
//! ```
//!
//! A service is a type with a `#[service]` on its `impl` block: no schema file, no code generator
//! to run. Its methods can be called in three ways, which are all the same call on the wire:
//!
//! * through the typed stub `ArithClient`, which `#[service]` writes beside the block;
//! * by name, `"Arith.Multiply"`, as Go does it;
//! * with `go` in place of `call`: the call is sent at once, and the handle is awaited later.

use netrpc::{Client, Error, Server, service};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Clone, Copy)]
struct Args {
    a: i64,
    b: i64,
}

#[derive(Serialize, Deserialize, Default)]
struct Quotient {
    quo: i64,
    rem: i64,
}

struct Arith;

// Every method of the block is served, under its name in Go's spelling: `multiply` is
// `Arith.Multiply`. Go's shape, (args, &reply) error, is the usual one.
#[service]
impl Arith {
    // What cannot fail returns nothing.
    fn multiply(&self, args: Args, reply: &mut i64) {
        *reply = args.a * args.b;
    }

    // An error is anything that can be displayed. The caller gets its text.
    fn divide(&self, args: Args, quotient: &mut Quotient) -> Result<(), &'static str> {
        if args.b == 0 {
            return Err("divide by zero");
        }
        quotient.quo = args.a / args.b;
        quotient.rem = args.a % args.b;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Server::new();
    server.register(Arith)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(server.serve(listener));

    let client = Client::dial(addr).await?;

    // The typed stub: the compiler knows the method, its arguments and its reply.
    let arith = ArithClient::new(client.clone());
    let product = arith.multiply(&Args { a: 7, b: 8 }).await?;
    println!("Arith: 7*8={product}");

    // By name. The type of the reply is said by the caller, and checked when it arrives.
    let quotient: Quotient = client.call("Arith.Divide", &Args { a: 7, b: 2 }).await?;
    println!("Arith: 7/2={} remainder {}", quotient.quo, quotient.rem);

    // Go's `client.Go`. The call is on its way before anybody awaits it.
    let call = client.go::<_, i64>("Arith.Multiply", &Args { a: 6, b: 7 });
    println!("Arith: 6*7={}", call.await?);

    // The method ran and returned an error: its text crosses.
    match arith.divide(&Args { a: 7, b: 0 }).await {
        Err(Error::Method(fault)) => println!("Arith: 7/0: {fault}"),
        other => {
            anyhow::bail!("7/0 must be an error of the method, not {:?}", other.map(|q| q.quo))
        }
    }

    // The server refused the call, so the method has not run: a caller may try again elsewhere.
    match client.call::<_, i64>("Arith.Modulo", &Args { a: 7, b: 2 }).await {
        Err(error) if !error.may_have_run() => println!("Arith: no such method: {error}"),
        other => anyhow::bail!("there is no such method, but it answered {other:?}"),
    }

    client.close().await;
    Ok(())
}
