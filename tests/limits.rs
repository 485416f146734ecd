//! Limits that have no file of their own, and the table of all: `docs/LIMITS.md`.

mod common;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
    sync::{Arc, mpsc},
    time::Duration,
};

use common::{Raw, encoded, pipe, request, request_with, soon};
use netrpc::{Error, Refusal, Server, SyncPolicy, service};
use netrpc_core::wire::{self, FaultCode, RequestFields};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    sync::Semaphore,
};

struct Echo {
    gate: Arc<Semaphore>,
    begun: Arc<Semaphore>,
    blocked: Mutex<mpsc::Receiver<()>>,
}

#[service]
impl Echo {
    fn number(&self, n: u64, reply: &mut u64) {
        *reply = n;
    }

    async fn wait(&self, n: u64, reply: &mut u64) {
        self.begun.add_permits(1);
        self.gate.acquire().await.expect("never closed").forget();
        *reply = n;
    }

    async fn hold(&self, bytes: Vec<u8>, reply: &mut usize) {
        self.begun.add_permits(1);
        self.gate.acquire().await.expect("never closed").forget();
        *reply = bytes.len();
    }

    #[method(blocking)]
    fn block(&self, n: u64, reply: &mut u64) {
        self.begun.add_permits(1);
        let _ = self.blocked.lock().recv();
        *reply = n;
    }

    fn units(&self, units: Vec<()>, reply: &mut usize) {
        *reply = units.len();
    }

    fn map(&self, map: HashMap<u64, u64>, reply: &mut usize) {
        *reply = map.len();
    }

    fn nothing(&self, _: (), _: &mut ()) {}
}

struct Setup {
    server: Server,
    gate: Arc<Semaphore>,
    begun: Arc<Semaphore>,
    unblock: mpsc::Sender<()>,
}

fn setup(server: Server) -> Setup {
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (unblock, blocked) = mpsc::channel();
    let blocked = Mutex::new(blocked);
    server.register(Echo { gate: gate.clone(), begun: begun.clone(), blocked }).unwrap();
    Setup { server, gate, begun, unblock }
}

#[track_caller]
fn is_overloaded(error: &Error) {
    let Error::Refused { refusal: Refusal::Overloaded, message } = error else {
        panic!("{error:?}");
    };
    assert!(message.contains("ServerBuilder::max_server_calls"), "{message}");
    assert!(!error.may_have_run());
}

#[tokio::test]
async fn a_server_runs_no_more_calls_than_it_may_and_leaves_room_for_newcomers() {
    let builder = Server::builder().max_server_calls(8).sync_policy(SyncPolicy::Inline);
    let Setup { server, gate, begun, .. } = setup(builder.build());
    let (first, second) = (pipe(&server), pipe(&server));
    for client in [&first, &second] {
        assert_eq!(client.call::<_, u64>("Echo.Number", &7).await.unwrap(), 7);
    }
    // Six of eight are three quarters, and half is each one's share.
    let mut calls = Vec::new();
    for n in 0..6 {
        calls.push(first.go::<_, u64>("Echo.Wait", &n));
        soon(begun.acquire()).await.unwrap().forget();
    }
    is_overloaded(&soon(first.call::<_, u64>("Echo.Wait", &6)).await.unwrap_err());
    for n in 6..8 {
        calls.push(second.go::<_, u64>("Echo.Wait", &n));
        soon(begun.acquire()).await.unwrap().forget();
    }
    is_overloaded(&soon(second.call::<_, u64>("Echo.Wait", &8)).await.unwrap_err());
    is_overloaded(&soon(second.call::<_, u64>("Echo.Block", &8)).await.unwrap_err());
    // Quick ones go on.
    for client in [&first, &second] {
        assert_eq!(client.call::<_, u64>("Echo.Number", &7).await.unwrap(), 7);
    }
    gate.add_permits(8);
    for (n, call) in (0..).zip(calls) {
        assert_eq!(soon(call).await.unwrap(), n);
    }
    gate.add_permits(1);
    assert_eq!(soon(first.call::<_, u64>("Echo.Wait", &9)).await.unwrap(), 9);
}

#[tokio::test]
async fn large_calls_wait_for_each_other() {
    let Setup { server, gate, begun, .. } =
        setup(Server::builder().max_running_bytes(1000).build());
    let (ours, theirs) = duplex(1 << 16);
    tokio::spawn(async move { server.serve_conn(theirs).await });
    let mut peer = Raw::new(ours);
    peer.greet().await;
    peer.request(1, "Echo.Hold", &encoded(&vec![7u8; 1500])).await;
    peer.request(2, "Echo.Hold", &encoded(&vec![7u8; 700])).await;
    peer.request(3, "Echo.Hold", &encoded(&vec![7u8; 700])).await;
    peer.request(4, "Echo.Hold", &encoded(&vec![7u8; 1])).await;
    // The answer to a ping behind them says that all of them have been looked at.
    let mut ping = Vec::new();
    wire::write_ping(&mut ping, 9);
    peer.send(&ping).await;
    assert_eq!(soon(peer.frame()).await.unwrap().kind, wire::Kind::Pong);
    assert_eq!(begun.available_permits(), 1, "over the limit by itself, and nothing beside it");
    gate.add_permits(1);
    assert_eq!(soon(peer.reply::<usize>(1)).await, 1500);
    soon(begun.acquire_many(3)).await.unwrap().forget();
    peer.send(&ping).await;
    assert_eq!(soon(peer.frame()).await.unwrap().kind, wire::Kind::Pong);
    assert_eq!(begun.available_permits(), 0, "two of 700, and the small one behind them waits");
    gate.add_permits(1);
    assert_eq!(soon(peer.reply::<usize>(2)).await, 700);
    soon(begun.acquire()).await.unwrap().forget();
    gate.add_permits(2);
    assert_eq!(soon(peer.reply::<usize>(3)).await, 700);
    assert_eq!(soon(peer.reply::<usize>(4)).await, 1);
}

#[tokio::test]
async fn a_call_counts_until_its_handler_has_ended_whatever_became_of_its_connection() {
    let Setup { server, gate, begun, unblock } =
        setup(Server::builder().max_server_calls(2).build());
    let (ours, theirs) = duplex(1024);
    let serving = server.clone();
    tokio::spawn(async move { serving.serve_conn(theirs).await });
    let mut lost = Raw::new(ours);
    lost.greet().await;
    for n in 0..2 {
        lost.request(n, "Echo.Block", &encoded(&n)).await;
        soon(begun.acquire()).await.unwrap().forget();
    }
    drop(lost);
    soon(async {
        while server.connections() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let client = pipe(&server);
    gate.add_permits(1);
    is_overloaded(&soon(client.call::<_, u64>("Echo.Wait", &1)).await.unwrap_err());
    drop(unblock);
    soon(async {
        while client.call::<_, u64>("Echo.Wait", &1).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_call_keeps_its_slot_until_its_handler_has_ended() {
    let Setup { server, begun, unblock, .. } = setup(Server::builder().max_calls(1).build());
    let client = pipe(&server);
    let call = client.go::<_, u64>("Echo.Block", &1);
    soon(begun.acquire()).await.unwrap().forget();
    drop(call);
    let mut next = client.go::<_, u64>("Echo.Number", &2);
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!(common::poll_once(&mut next).await.is_pending());
    }
    unblock.send(()).unwrap();
    assert_eq!(soon(next).await.unwrap(), 2);
}

/// A request whose caller waits for so many seconds.
fn with_deadline(seq: u64, method: &str, secs: u64) -> Vec<u8> {
    let deadline = Some(Duration::from_secs(secs));
    let fields = RequestFields { deadline, ..RequestFields::default() };
    request_with(seq, method, &fields, &encoded(&seq))
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_time_was_over_while_it_waited_is_not_begun() {
    let Setup { server, gate, begun, .. } = setup(Server::builder().max_calls(1).build());
    let (ours, theirs) = duplex(1024);
    tokio::spawn(async move { server.serve_conn(theirs).await });
    let mut raw = Raw::new(ours);
    raw.greet().await;
    raw.request(1, "Echo.Wait", &encoded(&1)).await;
    soon(begun.acquire()).await.unwrap().forget();
    raw.send(&with_deadline(2, "Echo.Wait", 1)).await;
    raw.send(&with_deadline(3, "Echo.Wait", 10)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    gate.add_permits(1);
    assert_eq!(raw.reply::<u64>(1).await, 1);
    assert_eq!(raw.fault(2).await.0, FaultCode::Expired);
    gate.add_permits(1);
    assert_eq!(raw.reply::<u64>(3).await, 3);
    assert_eq!(begun.available_permits(), 1, "the second has not run");
}

#[test]
fn a_call_whose_time_was_over_before_a_thread_was_free_is_not_begun() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let Setup { server, begun, unblock, .. } = setup(Server::new());
        let (ours, theirs) = duplex(1024);
        tokio::spawn(async move { server.serve_conn(theirs).await });
        let mut raw = Raw::new(ours);
        raw.greet().await;
        raw.request(1, "Echo.Block", &encoded(&1)).await;
        soon(begun.acquire()).await.unwrap().forget();
        raw.send(&with_deadline(2, "Echo.Block", 1)).await;
        let mut cancelled = request(3, "Echo.Block", &encoded(&3));
        wire::write_cancel(&mut cancelled, 3);
        raw.send(&cancelled).await;
        // Served, and the clock is past the deadline.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(Duration::from_secs(2)).await;
        unblock.send(()).unwrap();
        assert_eq!(raw.reply::<u64>(1).await, 1);
        assert_eq!(raw.fault(2).await.0, FaultCode::Expired);
        assert_eq!(raw.fault(3).await.0, FaultCode::Cancelled);
        assert_eq!(begun.available_permits(), 0, "neither has run");
    });
}

/// What a server answers to a stream that begins so, all of it sent if it takes all.
async fn answer_to(bytes: &[u8]) -> (usize, Vec<u8>) {
    let Setup { server, .. } = setup(Server::new());
    let (ours, theirs) = duplex(4096);
    let serving = tokio::spawn(async move { server.serve_conn(theirs).await });
    let (mut read, mut write) = tokio::io::split(ours);
    let mut answer = Vec::new();
    let mut sent = 0;
    let send = async {
        for chunk in bytes.chunks(1000) {
            if write.write_all(chunk).await.is_err() {
                return;
            }
            sent += chunk.len();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = soon(read.read_to_end(&mut answer)) => {}
        () = send => {}
    }
    serving.abort();
    (sent, answer)
}

#[tokio::test(start_paused = true)]
async fn what_comes_before_the_first_request_is_bounded() {
    let mut http = b"CONNECT /_goRPC_ HTTP/1.1\r\nX: ".to_vec();
    http.resize(1 << 20, b'x');
    let (sent, answer) = answer_to(&http).await;
    assert!(answer.starts_with(b"HTTP/1.0 431 "), "{}", answer.escape_ascii());
    // What comes after the answer is thrown away.
    assert!(sent > 8 * 1024);
    let (_, answer) = answer_to(&[b' '; 10_000]).await;
    assert_eq!(answer, b"");
    #[cfg(feature = "go")]
    {
        // MessagePack: a header whose method has a megabyte.
        let mut header = vec![0x81, 0xdb, 0x00, 0x10, 0x00, 0x00];
        header.resize(1 << 20, b'x');
        assert_eq!(answer_to(&header).await.1, b"");
    }
}

#[tokio::test]
async fn nesting_is_bounded() {
    let Setup { server, .. } = setup(Server::new());
    let mut raw = Raw::dial(common::listen(&server).await).await;
    let mut deep = vec![0x91; 1_000_000];
    deep.push(0xc0);
    raw.request(1, "Echo.Nothing", &deep).await;
    let (code, text) = raw.fault(1).await;
    assert_eq!(code, FaultCode::BadArguments, "{text}");
    raw.request(2, "Echo.Number", &encoded(&9)).await;
    assert_eq!(raw.reply::<u64>(2).await, 9);
}

#[tokio::test]
async fn a_claimed_count_gets_no_memory() {
    let Setup { server, .. } = setup(Server::new());
    let mut raw = Raw::dial(common::listen(&server).await).await;
    for (seq, (method, body)) in (1..).zip([
        ("Echo.Units", &b"\xdd\xff\xff\xff\xff\xc0\xc0"[..]),
        ("Echo.Map", b"\xdf\xff\xff\xff\xff\x01\x02"),
        ("Echo.Units", b"\xdc\xff\xff"),
    ]) {
        raw.request(seq, method, body).await;
        let (code, text) = raw.fault(seq).await;
        assert_eq!(code, FaultCode::BadArguments, "{text}");
    }
    // As many as there are bytes are taken, and cost what they must.
    raw.request(9, "Echo.Units", &encoded(&vec![(); 100_000])).await;
    assert_eq!(raw.reply::<usize>(9).await, 100_000);
}

#[tokio::test]
async fn a_method_name_has_at_most_255_bytes() {
    let Setup { server, .. } = setup(Server::new());
    let client = pipe(&server);
    let longest = format!("Echo.{}", "x".repeat(250));
    let error = client.call::<_, u64>(&longest, &1).await.unwrap_err();
    assert!(matches!(error, Error::Refused { refusal: Refusal::UnknownMethod, .. }), "{error:?}");
    let error = client.call::<_, u64>(&format!("{longest}x"), &1).await.unwrap_err();
    assert!(!error.may_have_run());
    assert!(matches!(error, Error::TooLarge(_)), "{error:?}");
}

/// A small request that waits must not keep the large buffer it came in.
#[test]
fn a_request_that_waits_keeps_its_own_bytes_only() {
    use netrpc_core::wire::{FrameDecoder, Incoming};
    let mut bytes = bytes::BytesMut::with_capacity(1 << 20);
    let text = encoded(&"longer than the few bytes that a frame has in itself".repeat(2));
    bytes.extend_from_slice(&request(1, "Echo.Text", &text));
    let Ok(Some(Incoming::Frame(frame))) = FrameDecoder::new(1000).next(&mut bytes) else {
        panic!("a frame");
    };
    let before = frame.payload().as_ptr();
    assert_eq!(frame.clone().payload().as_ptr(), before, "it is in the buffer it came in");
    let detached = frame.detach();
    assert_ne!(detached.payload().as_ptr(), before);
    assert_eq!(detached.body_slice(), text);
}

/// The rows of the table in a text: what changes a limit, and the limit's default.
fn rows(
    text: &str,
    cell: impl Fn(&[&str]) -> Option<(String, String)>,
) -> BTreeMap<String, String> {
    text.lines()
        .map(|line| line.trim_start_matches("///").trim())
        .filter(|line| line.starts_with("| "))
        .filter_map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            cell(&cells)
        })
        .collect()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}

#[test]
fn the_tables_agree_and_every_row_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let limits = fs::read_to_string(root.join("docs/LIMITS.md")).unwrap();
    let builder = fs::read_to_string(root.join("src/server/limits.rs")).unwrap();
    let changed = rows(&limits, |cells| {
        let method = between(cells.get(3)?, "`ServerBuilder::", "`")?;
        Some((method.to_owned(), cells[1].to_owned()))
    });
    let documented = rows(&builder, |cells| {
        let method = between(cells.first()?, "(Self::", ")")?;
        Some((method.to_owned(), cells[1].to_owned()))
    });
    assert!(changed.len() >= 15, "{changed:?}");
    assert_eq!(changed, documented);
    for method in changed.keys() {
        assert!(builder.contains(&format!("pub fn {method}(")), "{method}");
    }

    let mut sources = String::new();
    let folders =
        ["tests", "tests/datagrams", "tests/tracked", "src", "rpc-core/tests", "rpc-core/src"];
    for folder in folders {
        for file in fs::read_dir(root.join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                sources += &fs::read_to_string(path).unwrap();
            }
        }
    }
    let shown = rows(&limits, |cells| {
        let [limit, .., shown] = cells else { return None };
        (cells.len() >= 5 && *shown != "shown by")
            .then(|| ((*limit).to_owned(), (*shown).to_owned()))
    });
    assert!(shown.len() >= 20, "{shown:?}");
    for (limit, test) in shown {
        let test = test.trim_matches('`');
        assert!(sources.contains(&format!("fn {test}(")), "{limit}: no test {test}");
    }
}
