//! Counts words on a server: the main job, in the shape it has in lectures about RPC.
//!
//! ```text
//! cargo run --example wordcount
//! ```
//!
//! starts a server, sends it `hello I am good hello bye bye bye good night hello` over TCP, and
//! prints how often each word occurs, in the order in which they come:
//!
//! ```text
//! hello 3
//! I 1
//! am 1
//! good 2
//! bye 3
//! night 1
//! ```
//!
//! With names of files it counts those, however large they are, on as many servers as it is told
//! to, and prints the most frequent words:
//!
//! ```text
//! cargo run --release --example wordcount -- --servers 4 --top 3 book.txt
//! ```
//!
//! The same from the shell, to compare:
//!
//! ```text
//! tr -s '[:space:]' '\n' < book.txt | sed '/^$/d' | LC_ALL=C sort | uniq -c |
//!     LC_ALL=C sort -k1,1nr -k2 | head -3
//! ```
//!
//! (It is the same for text whose words are set apart by ASCII white space. `tr` knows no other; a
//! no-break space sets words apart here, and not there.)
//!
//! The servers can be processes of their own, on other machines as well:
//!
//! ```text
//! cargo run --release --example wordcount -- --serve 127.0.0.1:7001
//! cargo run --release --example wordcount -- --connect 127.0.0.1:7001 --connect 127.0.0.1:7002 book.txt
//! ```
//!
//! Stop one of them in mid-count: its pieces go to the others, and the result is the same. That is
//! right because counting a piece twice does no harm; only one of the answers is added.
//!
//! This file has the service and the lecture's call. `args.rs` reads the command line, `pieces.rs`
//! cuts files into pieces, and `count.rs` has them counted, with `go`.

mod args;
mod count;
mod pieces;

use std::{
    collections::HashMap,
    io::{self, BufWriter, Write},
    net::SocketAddr,
    process::ExitCode,
};

use anyhow::Context;
use netrpc::{Client, Server, service};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use args::{Command, Where};

const SENTENCE: &str = "hello I am good hello bye bye bye good night hello";

#[derive(Serialize, Deserialize)]
struct WordCountRequest {
    input: String,
}

#[derive(Serialize, Deserialize, Default)]
struct WordCountReply {
    counts: HashMap<String, u64>,
}

struct WordCountServer;

#[service]
impl WordCountServer {
    fn compute(&self, request: WordCountRequest, reply: &mut WordCountReply) -> anyhow::Result<()> {
        for word in request.input.split_whitespace() {
            // Looked up first, so that a word is copied once and not at every occurrence.
            match reply.counts.get_mut(word) {
                Some(count) => *count += 1,
                None => {
                    reply.counts.insert(word.to_owned(), 1);
                }
            }
        }
        Ok(())
    }
}

/// The lecture's call: one request, one reply.
async fn count_sentence(addr: &str) -> anyhow::Result<()> {
    let client = Client::dial(addr).await?;
    let request = WordCountRequest { input: SENTENCE.to_owned() };
    let mut reply: WordCountReply = client.call("WordCountServer.Compute", &request).await?;
    print(|out| {
        for word in SENTENCE.split_whitespace() {
            // Taken out, so that the word's next occurrence does not print it again.
            if let Some(count) = reply.counts.remove(word) {
                writeln!(out, "{word} {count}")?;
            }
        }
        Ok(())
    })
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = match Command::parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("wordcount: {error}\nTry `--help`.");
            return ExitCode::from(2);
        }
    };
    match run(command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wordcount: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Help => print(|out| out.write_all(args::HELP.as_bytes())),
        Command::Serve(addr) => serve(&addr).await,
        Command::Sentence(servers) => count_sentence(&servers.addrs().await?[0]).await,
        Command::Files { files, servers, top } => {
            pieces::check(&files)?;
            let counted = count::count(servers.addrs().await?, files).await?;
            print(|out| {
                for (word, count) in counted.most_frequent(top) {
                    writeln!(out, "{count:7} {word}")?; // as `uniq -c` does
                }
                Ok(())
            })?;
            eprintln!("{counted}");
            Ok(())
        }
    }
}

impl Where {
    /// The addresses of the servers, which are started first if need be.
    async fn addrs(self) -> anyhow::Result<Vec<String>> {
        let servers = match self {
            Where::Connect(addrs) => return Ok(addrs),
            Where::Start(servers) => servers,
        };
        let mut addrs = Vec::new();
        for _ in 0..servers {
            let (server, listener, addr) = server("127.0.0.1:0").await?;
            tokio::spawn(server.serve(listener));
            addrs.push(addr.to_string());
        }
        Ok(addrs)
    }
}

/// A server that is ready to serve at `addr`.
async fn server(addr: &str) -> anyhow::Result<(Server, TcpListener, SocketAddr)> {
    let server = Server::new();
    server.register(WordCountServer)?;
    let listener =
        TcpListener::bind(addr).await.with_context(|| format!("cannot listen on {addr}"))?;
    let addr = listener.local_addr()?;
    Ok((server, listener, addr))
}

/// Serves until Ctrl-C. Calls that have begun then are still answered.
async fn serve(addr: &str) -> anyhow::Result<()> {
    let (server, listener, addr) = server(addr).await?;
    print(|out| writeln!(out, "listening on {addr}"))?;
    let interrupted = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    server.serve(listener).with_graceful_shutdown(interrupted).await;
    Ok(())
}

/// Writes to standard output. That its reader has seen enough (`| head`) is no error.
fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write the result"),
    }
}
