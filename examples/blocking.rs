//! The client without `async`: for threads, scripts, tests.
//!
//! ```text
//! cargo run --example blocking
//! ```
//!
//! prints
//!
//! ```text
//! Upper.Shout: HELLO
//! Upper.Shout: STARTED FIRST, AWAITED LAST
//! 4 threads, 1 connection: A B C D
//! nothing to shout: too quiet
//! ```
//!
//! `netrpc::blocking` has the same `call` and `go`; a handle is waited for with `wait`. It needs no
//! runtime and starts no thread: whoever waits for a reply turns the connection. One client can be
//! shared by any number of threads.
//!
//! The server needs a runtime. Here it gets one of its own in a background thread, so that the rest
//! of the program can stay as it is.

use std::{net::SocketAddr, sync::mpsc, thread};

use netrpc::{Server, blocking::Client, service};

struct Upper;

#[service]
impl Upper {
    fn shout(&self, text: &str, reply: &mut String) -> Result<(), &'static str> {
        if text.is_empty() {
            return Err("too quiet");
        }
        *reply = text.to_uppercase();
        Ok(())
    }
}

/// Starts a server in a thread of its own and says where it listens.
fn start_server() -> anyhow::Result<SocketAddr> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || -> anyhow::Result<()> {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(async {
            let server = Server::new();
            server.register(Upper)?;
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            tell.send(listener.local_addr()?)?;
            server.serve(listener).await;
            Ok(())
        })
    });
    Ok(told.recv()?)
}

fn main() -> anyhow::Result<()> {
    let client = Client::dial(start_server()?)?;

    // The call has been sent when `go` returns; meanwhile the thread does something else.
    let first = client.go::<_, String>("Upper.Shout", "started first, awaited last");

    let reply: String = client.call("Upper.Shout", "hello")?;
    println!("Upper.Shout: {reply}");
    println!("Upper.Shout: {}", first.wait()?);

    // The stub's constants know the types: `UpperClient::SHOUT` is "Upper.Shout", `&str` to `String`.
    let letters = thread::scope(|scope| {
        let ask = |letter| {
            let client = &client;
            scope.spawn(move || client.call(UpperClient::SHOUT, letter))
        };
        let threads = ["a", "b", "c", "d"].map(ask);
        threads
            .into_iter()
            .map(|thread| thread.join().expect("it does not panic"))
            .collect::<Result<Vec<_>, _>>()
    })?;
    println!("{} threads, 1 connection: {}", letters.len(), letters.join(" "));

    let error = client.call(UpperClient::SHOUT, "").unwrap_err();
    println!("nothing to shout: {error}");
    client.close();
    Ok(())
}
