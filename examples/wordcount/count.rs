//! The pieces of all files, each counted by some server, and the sum.

use std::{
    cmp::Reverse,
    collections::HashMap,
    fmt,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use netrpc::{CallOptions, Client, Error, Refusal};
use tokio::sync::mpsc;

use crate::{
    WordCountReply,
    pieces::{Piece, Pieces},
};

/// How many pieces a server has at once: while it counts one, the next is on its way.
const AT_ONCE: usize = 4;

/// A server that has not counted a piece in this time is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was counted.
pub(crate) struct Counted {
    counts: HashMap<String, u64>,
    bytes: u64,
    servers: usize,
    time: Duration,
}

impl Counted {
    /// The most frequent words; of two that are equally frequent, the smaller first.
    pub(crate) fn most_frequent(&self, top: usize) -> impl Iterator<Item = (&str, u64)> {
        let mut words: Vec<_> = self.counts.iter().map(|(word, count)| (&**word, *count)).collect();
        words.sort_unstable_by_key(|(word, count)| (Reverse(*count), *word));
        words.into_iter().take(top)
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: u64 = self.counts.values().sum();
        let (seconds, distinct) = (self.time.as_secs_f64(), self.counts.len());
        let speed = self.bytes as f64 / 1e6 / seconds;
        let servers = if self.servers == 1 { "server" } else { "servers" };
        write!(f, "{} bytes, {words} words, {distinct} distinct, ", self.bytes)?;
        write!(f, "{} {servers}, {seconds:.2} s, {speed:.1} MB/s", self.servers)
    }
}

/// Counts the words of all files on the servers at these addresses.
pub(crate) async fn count(addrs: Vec<String>, files: Vec<PathBuf>) -> anyhow::Result<Counted> {
    let started = Instant::now();
    let mut servers = Servers::dial(addrs).await?;
    // The reader gets two pieces ahead and no more, so files may be larger than memory.
    let (sender, mut pieces) = mpsc::channel(1);
    let reader = thread::spawn(move || read(&files, &sender));

    let mut counts: HashMap<String, u64> = HashMap::new();
    let mut bytes = 0;
    let mut all_read = false;
    loop {
        tokio::select! {
            piece = pieces.recv(), if !all_read && servers.have_room() => match piece {
                Some(piece) => servers.send(piece?)?,
                None => all_read = true,
            },
            Some(answer) = servers.answers.next() => {
                // Of a piece that was sent twice, too, only one answer gets here.
                let Some((piece, reply)) = servers.take(answer)? else { continue };
                bytes += piece.bytes as u64;
                for (word, count) in reply.counts {
                    *counts.entry(word).or_default() += count;
                }
            }
            else => break,
        }
    }
    reader.join().expect("the reader has said all it had to say");
    Ok(Counted { counts, bytes, servers: servers.all.len(), time: started.elapsed() })
}

/// Reads all files, in a thread of its own since it blocks.
fn read(files: &[PathBuf], pieces: &mpsc::Sender<anyhow::Result<Piece>>) {
    for file in files {
        match Pieces::of(file) {
            Ok(mut file) => {
                while let Some(piece) = file.next().transpose() {
                    let bad = piece.is_err();
                    // Where nobody takes it, the counting has failed elsewhere.
                    if pieces.blocking_send(piece).is_err() || bad {
                        return;
                    }
                }
            }
            Err(error) => {
                let _ = pieces.blocking_send(Err(error));
                return;
            }
        }
    }
}

/// The servers, and the calls they have not answered.
struct Servers {
    all: Vec<Server>,
    answers: FuturesUnordered<BoxFuture<'static, Answer>>,
}

struct Server {
    addr: String,
    client: Client,
    /// How many pieces it has.
    pieces: usize,
    lost: bool,
}

/// What came of a call.
struct Answer {
    server: usize,
    piece: Piece,
    result: Result<WordCountReply, Error>,
}

impl Servers {
    async fn dial(addrs: Vec<String>) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        for addr in addrs {
            let builder = Client::builder().options(CallOptions::new().timeout(PATIENCE));
            let client = builder.dial(&addr).await?;
            all.push(Server { addr, client, pieces: 0, lost: false });
        }
        Ok(Servers { all, answers: FuturesUnordered::new() })
    }

    fn have_room(&self) -> bool {
        self.all.iter().any(|server| !server.lost && server.pieces < AT_ONCE)
    }

    /// Sends a piece to the server that has the fewest.
    fn send(&mut self, piece: Piece) -> anyhow::Result<()> {
        let alive = self.all.iter_mut().enumerate().filter(|(_, server)| !server.lost);
        let least = alive.min_by_key(|(_, server)| server.pieces);
        let (index, server) = least.context("no server is left")?;
        server.pieces += 1;
        let call = server.client.go("WordCountServer.Compute", &piece.request);
        self.answers
            .push(Box::pin(async move { Answer { server: index, piece, result: call.await } }));
        Ok(())
    }

    /// A counted piece. That of a server that is lost is sent to another.
    fn take(&mut self, answer: Answer) -> anyhow::Result<Option<(Piece, WordCountReply)>> {
        let Answer { server: index, piece, result } = answer;
        let server = &mut self.all[index];
        server.pieces -= 1;
        match result {
            Ok(reply) => Ok(Some((piece, reply))),
            Err(error) if is_lost(&error) => {
                if !server.lost {
                    server.lost = true;
                    let error = anyhow::Error::new(error);
                    let addr = &server.addr;
                    eprintln!("{addr} is lost ({error:#}): its pieces go to others");
                }
                self.send(piece).map(|()| None)
            }
            Err(error) => Err(error).with_context(|| format!("{} cannot count", server.addr)),
        }
    }
}

/// Whether the error is one of the server or the way to it, so that another server may do better.
fn is_lost(error: &Error) -> bool {
    use Refusal::{Overloaded, ShuttingDown};
    match error {
        Error::Shutdown { .. } | Error::Deadline { .. } => true,
        Error::Refused { refusal, .. } => matches!(refusal, Overloaded | ShuttingDown),
        _ => false,
    }
}
