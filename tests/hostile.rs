//! Peers that are wrong, lying, silent or of another kind: an error for whoever is to blame, and for
//! nobody else.

mod common;

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use common::{Raw, dial, encoded, listen, pipe, request, soon};
use netrpc::{CallOptions, Client, Disconnected, Error, Refusal, Server, SyncPolicy, service};
use netrpc_core::wire::{self, FaultCode, GoAwayBody, GoAwayCode, Kind, Preface};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

struct Echo {
    gate: Arc<Semaphore>,
}

#[service]
impl Echo {
    fn number(&self, n: u64, reply: &mut u64) {
        *reply = n;
    }

    fn bytes(&self, bytes: &[u8], reply: &mut Vec<u8>) {
        reply.extend_from_slice(bytes);
    }

    fn zeros(&self, n: usize, reply: &mut Vec<u8>) {
        reply.resize(n, 0);
    }

    async fn wait(&self, n: u64, reply: &mut u64) {
        self.gate.acquire().await.expect("never closed").forget();
        *reply = n;
    }
}

fn gated() -> (Server, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let server = Server::new();
    server.register(Echo { gate: gate.clone() }).unwrap();
    (server, gate)
}

fn server() -> Server {
    gated().0
}

async fn is_alive(client: &Client) {
    assert_eq!(soon(client.call::<_, u64>("Echo.Number", &7)).await.unwrap(), 7);
}

/// What a server answers to a stream that begins with `bytes`.
async fn answer_to(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let neighbour = dial(server).await;
    is_alive(&neighbour).await;
    let mut raw = Raw::new(TcpStream::connect(listen(server).await).await.unwrap());
    raw.send(bytes).await;
    let answer = soon(raw.rest()).await;
    is_alive(&neighbour).await;
    answer
}

/// The go-away in an answer that begins with a preface.
fn go_away(mut answer: &[u8]) -> (GoAwayCode, String) {
    assert!(answer.starts_with(&Preface::OURS.to_bytes()));
    answer = &answer[wire::PREFACE_LEN..];
    let frame = wire::FrameDecoder::new(1 << 20).next(&mut answer.into()).unwrap();
    let Some(wire::Incoming::Frame(frame)) = frame else { panic!("{frame:?}") };
    assert_eq!(frame.kind, Kind::GoAway);
    let body = GoAwayBody::parse(frame.body_slice()).unwrap();
    (body.code, body.message.to_owned())
}

#[tokio::test]
async fn a_browser_is_told_in_http() {
    let answer = answer_to(&server(), b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 405 Method Not Allowed\r\n"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    assert_eq!(body, "405 must CONNECT\n");
}

#[tokio::test]
async fn a_tls_client_gets_an_alert() {
    let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc];
    let answer = answer_to(&server(), &hello).await;
    assert_eq!(answer, [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x46]);
}

#[tokio::test]
async fn other_bytes_end_the_connection() {
    for bytes in [&b"\x00\x01\x02\x03"[..], b"SSH-2.0-OpenSSH_9.2\r\n", b"\xc1NRX", b"  [1]"] {
        assert_eq!(answer_to(&server(), bytes).await, [0; 0], "{bytes:?}");
    }
}

#[tokio::test]
async fn another_version_is_told_which_one_is_spoken() {
    let preface = Preface { version: 9, ..Preface::OURS };
    let (code, text) = go_away(&answer_to(&server(), &preface.to_bytes()).await);
    assert_eq!(code, GoAwayCode::VersionNotSupported);
    assert!(text.contains("version 9") && text.contains("speaks 1"), "{text}");
    let preface = Preface { encoding: 77, ..Preface::OURS };
    let (code, text) = go_away(&answer_to(&server(), &preface.to_bytes()).await);
    assert_eq!(code, GoAwayCode::EncodingNotSupported);
    assert!(text.contains("77"), "{text}");
}

#[tokio::test]
async fn a_corrupt_frame_ends_its_connection_and_says_so() {
    let mut bytes = Preface::OURS.to_bytes().to_vec();
    bytes.extend(request(1, "Echo.Number", &encoded(&1)));
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let (code, text) = go_away(&answer_to(&server(), &bytes).await);
    assert_eq!(code, GoAwayCode::ProtocolError);
    assert!(text.contains("checksum"), "{text}");
}

#[tokio::test]
async fn a_claimed_length_gets_no_memory_and_no_neighbour() {
    let server = server();
    let neighbour = dial(&server).await;
    let mut raw = Raw::dial(listen(&server).await).await;
    let mut header = request(1, "Echo.Number", &[]);
    header.truncate(wire::HEADER_LEN);
    header[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    raw.send(&header).await;
    raw.send(&[0; 100_000]).await;
    is_alive(&neighbour).await;
    raw.io.shutdown().await.unwrap();
    assert_eq!(soon(raw.rest()).await, [0; 0], "it ends in mid-frame, without an answer");
}

/// `[frame.seq-in-use]`
#[tokio::test]
async fn a_number_used_twice_breaks_the_connection() {
    let server = server();
    let neighbour = dial(&server).await;
    let mut bytes = Preface::OURS.to_bytes().to_vec();
    bytes.extend(request(5, "Echo.Wait", &encoded(&1)));
    bytes.extend(request(5, "Echo.Wait", &encoded(&2)));
    let (code, text) = go_away(&answer_to(&server, &bytes).await);
    assert_eq!(code, GoAwayCode::ProtocolError);
    assert!(text.contains("sequence number 5 again"), "{text}");
    is_alive(&neighbour).await;
}

/// `[frame.limit]`
#[tokio::test]
async fn a_request_over_the_limit_is_refused_and_the_connection_lives() {
    let server = Server::builder().max_frame(1000).build();
    server.register(Echo { gate: Arc::default_gate() }).unwrap();
    let client = dial(&server).await;
    let error = client.call::<_, Vec<u8>>("Echo.Bytes", &[0u8; 2000][..]).await.unwrap_err();
    let Error::Refused { refusal: Refusal::TooLarge, message } = &error else {
        panic!("{error:?}");
    };
    assert!(message.contains("the server's limit is 1000"), "{message}");
    assert!(!error.may_have_run());
    is_alive(&client).await;
    let error = client.call::<_, Vec<u8>>("Echo.Zeros", &2000).await.unwrap_err();
    assert!(
        matches!(&error, Error::ReplyLost(text) if text.contains("limit is 1000")),
        "{error:?}"
    );
    is_alive(&client).await;
}

#[tokio::test]
async fn a_reply_over_the_clients_limit_fails_its_call_alone() {
    let addr = listen(&server()).await;
    let client = Client::builder().max_frame(1000).dial(addr).await.unwrap();
    let large = client.go::<_, Vec<u8>>("Echo.Zeros", &100_000);
    let small = client.go::<_, u64>("Echo.Number", &3);
    let error = soon(large).await.unwrap_err();
    assert!(
        matches!(&error, Error::ReplyLost(text) if text.contains("bytes, more than this client takes")),
        "{error:?}"
    );
    assert!(error.may_have_run());
    assert_eq!(small.await.unwrap(), 3);
}

#[tokio::test]
async fn a_malformed_head_is_a_fault_of_its_call() {
    let mut raw = Raw::dial(listen(&server()).await).await;
    let send = async |raw: &mut Raw<TcpStream>, head: &[u8]| {
        let mut out = Vec::new();
        let start = wire::begin(&mut out);
        out.extend_from_slice(head);
        wire::finish(&mut out, start, Kind::Request, head.len() as u16, 3, 1000).unwrap();
        raw.send(&out).await;
        raw.fault(3).await.0
    };
    assert_eq!(send(&mut raw, b"").await, FaultCode::IllFormed);
    assert_eq!(send(&mut raw, b"\x09Echo").await, FaultCode::IllFormed);
    assert_eq!(send(&mut raw, b"\x03A.\xff").await, FaultCode::IllFormed);
    assert_eq!(send(&mut raw, b"\x0bEcho.Number\x01\x02\x00").await, FaultCode::IllFormed);
    assert_eq!(send(&mut raw, b"\x0bEcho.Number\x70\x00\x00").await, FaultCode::Unsupported);
    raw.request(4, "Echo.Number", &encoded(&9)).await;
    assert_eq!(raw.reply::<u64>(4).await, 9);
}

#[tokio::test]
async fn frames_out_of_place_are_ignored_and_pings_answered() {
    let mut raw = Raw::dial(listen(&server()).await).await;
    let mut out = Vec::new();
    wire::write_cancel(&mut out, 12);
    wire::write_pong(&mut out, 13);
    wire::write_fault(&mut out, 14, FaultCode::Method, "nobody asked", &[], 1000);
    let mut unknown = request(15, "x", b"y");
    unknown[8] = 99;
    let crc = crc32c::crc32c(&unknown[4..]);
    unknown[..4].copy_from_slice(&crc.to_le_bytes());
    out.extend(unknown);
    wire::write_ping(&mut out, 0xfeed);
    raw.send(&out).await;
    let pong = raw.frame().await.unwrap();
    assert_eq!((pong.kind, pong.seq), (Kind::Pong, 0xfeed));
}

#[tokio::test]
async fn a_client_that_is_called_serves_nothing() {
    let (ours, theirs) = duplex(1024);
    let client = Client::new(ours);
    let mut peer = Raw::new(theirs);
    peer.greet().await;
    peer.request(5, "Arith.Add", &encoded(&1)).await;
    let (code, text) = peer.fault(5).await;
    assert_eq!((code, &*text), (FaultCode::UnknownService, "rpc: can't find service Arith.Add"));
    let mut ping = Vec::new();
    wire::write_ping(&mut ping, 8);
    peer.send(&ping).await;
    assert_eq!(peer.frame().await.unwrap().kind, Kind::Pong);
    assert!(!client.is_closed());
}

/// What a call on a client gets whose server answers `bytes`.
async fn cause_of(bytes: &'static [u8]) -> (String, bool) {
    let (ours, mut theirs) = duplex(1024);
    let client = Client::new(ours);
    let call = client.go::<_, u64>("Echo.Number", &1);
    theirs.write_all(bytes).await.unwrap();
    let answering = tokio::spawn(async move {
        let mut sink = Vec::new();
        let _ = theirs.read_to_end(&mut sink).await;
    });
    let error = soon(call).await.unwrap_err();
    answering.abort();
    let Error::Shutdown { cause, .. } = &error else { panic!("{error:?}") };
    (cause.to_string(), error.may_have_run())
}

#[tokio::test]
async fn a_server_that_is_none_is_named() {
    let (cause, _) = cause_of(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert!(cause.contains("HTTP"), "{cause}");
    assert!(!cause.contains('\n'), "{cause}");
    let (cause, _) = cause_of(b"220 mail.example ESMTP\r\n").await;
    assert!(cause.contains("220 mail"), "{cause}");
    let (cause, _) = cause_of(b"\xc1NRP\x09\x01\0\0").await;
    assert!(cause.contains("version 9"), "{cause}");
}

#[tokio::test]
async fn who_is_sent_away_at_the_door_knows_that_nothing_has_run() {
    let codes = [
        (GoAwayCode::ProtocolError, true),
        (GoAwayCode::VersionNotSupported, false),
        (GoAwayCode::EncodingNotSupported, false),
        (GoAwayCode::TooManyConnections, false),
        (GoAwayCode::Refused, false),
    ];
    for (code, may_have_run) in codes {
        let (ours, theirs) = duplex(1024);
        let client = Client::new(ours);
        let call = client.go::<_, u64>("Echo.Number", &1);
        let mut peer = Raw::new(theirs);
        peer.expect_preface().await;
        assert_eq!(peer.frame().await.unwrap().kind, Kind::Request, "it has left");
        let mut out = Preface::OURS.to_bytes().to_vec();
        wire::write_go_away(&mut out, code, "not you");
        peer.send(&out).await;
        drop(peer);
        let error = soon(call).await.unwrap_err();
        assert_eq!(error.may_have_run(), may_have_run, "{code:?}: {error:?}");
        assert!(error.chain().to_string().contains("not you"), "{error:?}");
    }
}

#[tokio::test]
async fn nobody_listening_is_named_too() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let error = Client::dial(addr).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot connect to {addr}"));
    assert!(!error.may_have_run());
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_not_waited_for_on_either_side() {
    let (silent, theirs) = duplex(64);
    let begun = tokio::time::Instant::now();
    let ended = server().serve_conn(theirs).await.unwrap_err();
    assert!(matches!(*ended, Disconnected::Handshake(_)), "{ended:?}");
    assert_eq!(begun.elapsed().as_secs(), 5);
    drop(silent);

    let (ours, silent) = duplex(64 * 1024);
    let error = Client::new(ours).call::<_, u64>("Echo.Number", &1).await.unwrap_err();
    assert!(
        matches!(&error, Error::Shutdown { cause, .. } if matches!(**cause, Disconnected::Handshake(_))),
        "{error:?}"
    );
    assert!(error.may_have_run(), "the request had left");
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_let_go_of() {
    let server = server();
    let (ours, theirs) = duplex(1024);
    let serving = tokio::spawn(async move { server.serve_conn(theirs).await });
    let mut raw = Raw::new(ours);
    raw.greet().await;
    raw.request(1, "Echo.Zeros", &encoded(&2_000_000)).await;
    let begun = tokio::time::Instant::now();
    let ended = serving.await.unwrap().unwrap_err();
    assert!(matches!(*ended, Disconnected::NotReading(_)), "{ended:?}");
    assert_eq!(begun.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_slowly_is_waited_for() {
    let server = server();
    let (ours, theirs) = duplex(1024);
    let serving = tokio::spawn(async move { server.serve_conn(theirs).await });
    let mut raw = Raw::new(ours);
    raw.greet().await;
    raw.request(1, "Echo.Zeros", &encoded(&5_000)).await;
    let mut sip = [0; 1000];
    let begun = tokio::time::Instant::now();
    for _ in 0..5 {
        tokio::time::advance(Duration::from_secs(20)).await;
        raw.io.read_exact(&mut sip).await.unwrap();
    }
    assert!(begun.elapsed().as_secs() >= 100 && !serving.is_finished());
}

#[tokio::test]
async fn calls_over_the_limit_wait_their_turn() {
    let gate = Arc::default_gate();
    let server = Server::builder().max_calls(2).build();
    server.register(Echo { gate: gate.clone() }).unwrap();
    let client = dial(&server).await;
    let calls: Vec<_> = (0..5u64).map(|n| client.go::<_, u64>("Echo.Wait", &n)).collect();
    gate.add_permits(5);
    for (n, call) in (0..5).zip(calls) {
        assert_eq!(soon(call).await.unwrap(), n);
    }
    is_alive(&client).await;
}

#[tokio::test]
async fn a_call_that_waits_can_be_cancelled() {
    let gate = Arc::default_gate();
    let server = Server::builder().max_calls(1).build();
    server.register(Echo { gate: gate.clone() }).unwrap();
    let mut raw = Raw::dial(listen(&server).await).await;
    for seq in 1..=3 {
        raw.request(seq, "Echo.Wait", &encoded(&seq)).await;
    }
    let mut cancel = Vec::new();
    wire::write_cancel(&mut cancel, 2);
    raw.send(&cancel).await;
    assert_eq!(raw.fault(2).await.0, FaultCode::Cancelled);
    gate.add_permits(2);
    assert_eq!(raw.reply::<u64>(1).await, 1);
    assert_eq!(raw.reply::<u64>(3).await, 3);
}

#[tokio::test]
async fn too_many_bytes_waiting_stop_the_reading_and_nothing_is_lost() {
    let gate = Arc::default_gate();
    let server = Server::builder().max_calls(1).max_waiting_bytes(1000).build();
    server.register(Echo { gate: gate.clone() }).unwrap();
    let client = pipe(&server);
    let calls: Vec<_> = (0..3000u64).map(|n| client.go::<_, u64>("Echo.Wait", &n)).collect();
    gate.add_permits(3000);
    for (n, call) in (0..).zip(calls) {
        assert_eq!(soon(call).await.unwrap(), n);
    }
}

#[tokio::test]
async fn a_connection_too_many_is_told_so() {
    let server = Server::builder().max_connections(1).build();
    server.register(Echo { gate: Arc::default_gate() }).unwrap();
    let addr = listen(&server).await;
    let first = Client::dial(addr).await.unwrap();
    is_alive(&first).await;
    let second = Client::dial(addr).await.unwrap();
    let error = soon(second.call::<_, u64>("Echo.Number", &1)).await.unwrap_err();
    let Error::Shutdown { cause, .. } = &error else { panic!("{error:?}") };
    let Disconnected::GoAway { code: GoAwayCode::TooManyConnections, .. } = **cause else {
        panic!("{cause:?}");
    };
    is_alive(&first).await;
}

#[tokio::test]
async fn death_at_every_byte_harms_nobody_else() {
    // Inline, so that a call that has arrived is answered before the end of the stream is seen.
    let server = Server::builder().sync_policy(SyncPolicy::Inline).build();
    server.register(Echo { gate: Arc::default_gate() }).unwrap();
    let neighbour = dial(&server).await;
    let mut bytes = Preface::OURS.to_bytes().to_vec();
    let first = request(1, "Echo.Number", &encoded(&1));
    bytes.extend(&first);
    let first = first.len();
    bytes.extend(request(2, "Echo.Bytes", &encoded(&b"abc"[..])));
    for end in 0..bytes.len() {
        let (mut ours, theirs): (DuplexStream, _) = duplex(1024);
        ours.write_all(&bytes[..end]).await.unwrap();
        ours.shutdown().await.unwrap();
        let ended = soon(server.serve_conn(theirs)).await;
        let whole = [0, 8, 8 + first].contains(&end);
        assert_eq!(ended.is_ok(), whole, "{end}: {ended:?}");
    }
    is_alive(&neighbour).await;
}

#[tokio::test]
async fn random_bytes_never_end_the_server() {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let (server, state) = (server(), RandomState::new());
    let neighbour = dial(&server).await;
    for n in 0..300u64 {
        let mut noise = Preface::OURS.to_bytes().to_vec();
        for m in 0..20 {
            let mut hasher = state.build_hasher();
            hasher.write_u64(n * 1000 + m);
            noise.extend(hasher.finish().to_le_bytes());
        }
        let (mut ours, theirs) = duplex(1024);
        ours.write_all(&noise).await.unwrap();
        drop(ours);
        let _ = soon(server.serve_conn(theirs)).await;
    }
    is_alive(&neighbour).await;
}

#[tokio::test]
async fn an_unknown_method_does_not_cost_the_timeout() {
    let client = dial(&server()).await.with(CallOptions::new().timeout(Duration::from_secs(60)));
    let error = soon(client.call::<_, u64>("Echo.Nope", &1)).await.unwrap_err();
    assert!(matches!(error, Error::Refused { refusal: Refusal::UnknownMethod, .. }));
}

/// A gate that is shut.
trait DefaultGate {
    fn default_gate() -> Self;
}

impl DefaultGate for Arc<Semaphore> {
    fn default_gate() -> Self {
        Arc::new(Semaphore::new(0))
    }
}

/// A peer that says the same thing again and again, without a pause, and takes what it is told only when
/// it is allowed to.
struct Torrent {
    greeting: Vec<u8>,
    words: Vec<u8>,
    left: Arc<AtomicUsize>,
    listens: Arc<AtomicBool>,
    heard: Arc<AtomicUsize>,
}

impl AsyncRead for Torrent {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let greeting = std::mem::take(&mut self.greeting);
        buf.put_slice(&greeting);
        while self.left.load(Relaxed) > 0 && buf.remaining() >= self.words.len() {
            buf.put_slice(&self.words);
            self.left.fetch_sub(1, Relaxed);
        }
        if buf.filled().is_empty() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl AsyncWrite for Torrent {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.listens.load(Relaxed) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.heard.fetch_add(bytes.len(), Relaxed);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn torrent(words: Vec<u8>, left: usize, listens: bool) -> (Torrent, Arc<AtomicUsize>) {
    let (listens, heard) = (Arc::new(listens.into()), Arc::default());
    let greeting = Preface::OURS.to_bytes().to_vec();
    let left = Arc::new(left.into());
    (Torrent { greeting, words, left, listens, heard: Arc::clone(&heard) }, heard)
}

/// Runs on a thread of its own, since what hangs on a runtime's only thread stops its timers too.
fn within_time(test: impl Future<Output = ()> + Send + 'static) {
    let (done, over) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(test);
        done.send(())
    });
    over.recv_timeout(Duration::from_secs(20)).expect("it has its turn");
}

#[test]
fn a_client_that_never_pauses_leaves_the_others_their_turn() {
    within_time(async {
        let server = Server::builder().sync_policy(SyncPolicy::Inline).build();
        server.register(Echo { gate: Arc::default_gate() }).unwrap();
        let (torrent, heard) = torrent(request(1, "Echo.Number", &encoded(&7)), usize::MAX, true);
        let serving = server.clone();
        tokio::spawn(async move { serving.serve_conn(torrent).await });
        let neighbour = pipe(&server);
        for _ in 0..5 {
            is_alive(&neighbour).await;
        }
        assert!(heard.load(Relaxed) > 100_000, "it was answered meanwhile");
    });
}

#[test]
fn a_server_that_never_pauses_leaves_the_others_their_turn() {
    within_time(async {
        let mut pings = Vec::new();
        wire::write_ping(&mut pings, 1);
        let (torrent, heard) = torrent(pings, usize::MAX, true);
        let client = Client::new(torrent);
        let neighbour = pipe(&server());
        for _ in 0..5 {
            is_alive(&neighbour).await;
        }
        assert!(heard.load(Relaxed) > 100_000, "it was answered meanwhile");
        drop(client);
    });
}

/// Its pongs would fill the memory.
#[tokio::test]
async fn a_server_that_asks_and_does_not_listen_is_not_answered_for_ever() {
    let mut ping = Vec::new();
    wire::write_ping(&mut ping, 1);
    let (torrent, heard) = torrent(ping, 1_000_000, false);
    let (listens, left) = (torrent.listens.clone(), torrent.left.clone());
    let client = Client::builder().max_queued_bytes(1000).connect(torrent);
    let all_said = async {
        while left.load(Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(all_said).await;
    listens.store(true, Relaxed);
    let written = async {
        while heard.load(Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    soon(written).await;
    let heard = heard.load(Relaxed);
    assert!(heard < 5000, "{heard} bytes were kept for it");
    drop(client);
}
