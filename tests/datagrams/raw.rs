//! The rules of `docs/WIRE.md` for datagrams, with datagrams made by hand.

use std::{net::SocketAddr, time::Duration};

use netrpc::Server;
use netrpc_core::{
    datagram::{HELLO_LEN, Prelude, Receipts, Sort, Stray, frames},
    wire::{self, FaultBody, GoAwayBody, GoAwayCode, HEADER_LEN, Kind},
};
use tokio::{net::UdpSocket, sync::oneshot};

use crate::{Setup, common, socket};

/// A client that makes its datagrams by hand.
struct Raw {
    socket: UdpSocket,
    server: SocketAddr,
    conversation: u64,
    pass: u64,
    number: u32,
}

impl Raw {
    async fn new(server: SocketAddr) -> Self {
        Raw { socket: socket().await.0, server, conversation: 77, pass: 0, number: 0 }
    }

    /// One that has a pass.
    async fn greeted(server: SocketAddr) -> Self {
        let mut raw = Raw::new(server).await;
        raw.send(&raw.prelude(Sort::Hello).alone()).await;
        let (prelude, _) = raw.next().await.expect("a welcome");
        assert_eq!(prelude.sort, Sort::Welcome);
        raw.pass = prelude.pass;
        raw
    }

    fn prelude(&self, sort: Sort) -> Prelude {
        let Raw { conversation, pass, number, .. } = *self;
        Prelude { sort, number, conversation, pass }
    }

    fn datagram(&self, frames: &[u8]) -> Vec<u8> {
        let mut datagram = Prelude::room();
        datagram.extend_from_slice(frames);
        self.prelude(Sort::Frames).seal(&mut datagram);
        datagram
    }

    async fn send(&self, datagram: &[u8]) {
        self.socket.send_to(datagram, self.server).await.unwrap();
    }

    /// Sends frames in a datagram of their own.
    async fn frames(&mut self, frames: &[u8]) {
        self.number += 1;
        self.send(&self.datagram(frames)).await;
    }

    async fn add(&mut self, seq: u64, n: u64) {
        self.frames(&common::request(seq, "Tally.Add", &common::encoded(&n))).await;
    }

    /// The next datagram; `None` if none comes.
    async fn next(&self) -> Option<(Prelude, Vec<u8>)> {
        let mut buffer = vec![0; 65_536];
        let received = self.socket.recv_from(&mut buffer);
        let length = tokio::time::timeout(Duration::from_millis(200), received).await.ok()?;
        let (prelude, body) = Prelude::parse(&buffer[..length.unwrap().0]).expect("a datagram");
        Some((prelude, body.to_vec()))
    }

    /// The kinds and numbers of the frames in the next datagram.
    async fn answers(&self) -> Vec<(Kind, u64)> {
        let Some((prelude, body)) = self.next().await else { return Vec::new() };
        assert_eq!((prelude.sort, prelude.pass), (Sort::Frames, self.pass));
        frames(&body).map(|framed| (framed.kind.expect("a kind"), framed.header.seq)).collect()
    }

    async fn is_silent(&self) -> bool {
        self.next().await.is_none()
    }
}

/// The checksum of a datagram that was changed by hand.
fn reseal(datagram: &mut [u8]) {
    let crc = crc32c::crc32c(&[&datagram[..8], &datagram[12..]].concat());
    datagram[8..12].copy_from_slice(&crc.to_le_bytes());
}

/// `[datagram.prelude]` `[datagram.checksum]` `[datagram.sorts]`
#[tokio::test(start_paused = true)]
async fn what_is_no_datagram_of_ours_is_ignored() {
    let setup = Setup::new().await;
    let raw = Raw::new(setup.addr).await;
    let hello = raw.prelude(Sort::Hello).alone();
    assert_eq!(hello[..8], *b"\xC1NRD\x01\x01\0\0");
    for (what, change) in [
        ("a bit", (40, 0x10, false)),
        ("the magic", (0, 0x01, true)),
        ("the sort", (5, 0x40, true)),
        ("the checksum", (8, 0x01, false)),
    ] {
        let ((at, bits, sealed), mut changed) = (change, hello.clone());
        changed[at] ^= bits;
        if sealed {
            reseal(&mut changed);
        }
        raw.send(&changed).await;
        assert!(raw.is_silent().await, "{what} was changed");
    }
    raw.send(b"").await;
    raw.send(&[0xC1; 31]).await;
    raw.send(&vec![0; 65_000]).await;
    assert!(raw.is_silent().await);
    assert_eq!(setup.server.datagram_counts().strays, 7);
    // Flags are ignored.
    let mut flagged = hello;
    flagged[6..8].fill(0xFF);
    reseal(&mut flagged);
    raw.send(&flagged).await;
    assert_eq!(raw.next().await.expect("an answer").0.sort, Sort::Welcome);
}

/// `[datagram.version]` `[datagram.refusal]`
#[tokio::test(start_paused = true)]
async fn a_hello_of_another_version_is_told_so() {
    let setup = Setup::new().await;
    let raw = Raw::new(setup.addr).await;
    let mut newer = raw.prelude(Sort::Hello).alone();
    newer[4] = 9;
    reseal(&mut newer);
    raw.send(&newer).await;
    let (prelude, body) = raw.next().await.expect("an answer");
    assert_eq!((prelude.sort, prelude.conversation), (Sort::Refusal, 77));
    let framed = frames(&body).next().expect("a go-away");
    let go_away = GoAwayBody::parse(&framed.bytes[HEADER_LEN..]).expect("a go-away");
    assert_eq!(go_away.code, GoAwayCode::VersionNotSupported);
    let mut other = raw.datagram(b"");
    other[4] = 9;
    reseal(&mut other);
    assert!(matches!(Prelude::parse(&other), Err(Stray::Version { version: 9, .. })));
    raw.send(&other).await;
    assert!(raw.is_silent().await);
}

/// `[datagram.hello]` `[datagram.amplification]`
#[tokio::test(start_paused = true)]
async fn whoever_asks_gets_a_pass_and_no_more_than_was_sent() {
    let setup = Setup::new().await;
    let raw = Raw::new(setup.addr).await;
    let mut hello = raw.prelude(Sort::Hello);
    hello.number = 5;
    let datagram = hello.alone();
    assert_eq!(datagram.len(), HELLO_LEN);
    for _ in 0..3 {
        raw.send(&datagram).await;
        let (prelude, body) = raw.next().await.expect("a welcome");
        assert_eq!((prelude.sort, prelude.number, prelude.conversation), (Sort::Welcome, 5, 77));
        assert!(prelude.pass != 0 && body.is_empty());
    }
    let mut short = datagram[..HELLO_LEN - 1].to_vec();
    reseal(&mut short);
    raw.send(&short).await;
    assert!(raw.is_silent().await, "it is too short");
    assert_eq!(setup.server.connections(), 0, "nothing is kept of it");
}

/// `[datagram.pass]` `[datagram.over]` `[datagram.amplification]`
#[tokio::test(start_paused = true)]
async fn without_the_right_pass_nothing_runs_and_nothing_begins() {
    let setup = Setup::new().await;
    let good = Raw::greeted(setup.addr).await;
    for pass in [0, 1, good.pass ^ 1, good.pass] {
        // Another address, so even the right pass of somebody else is wrong.
        let mut bad = Raw { pass, ..Raw::new(setup.addr).await };
        bad.add(1, 1).await;
        let (prelude, body) = bad.next().await.expect("an answer");
        assert_eq!((prelude.sort, prelude.pass, body.len()), (Sort::Over, pass, 0));
        assert_eq!(prelude.conversation, 77);
    }
    let mut other = Raw { conversation: 78, ..good };
    other.add(1, 1).await;
    assert_eq!(other.next().await.expect("an answer").0.sort, Sort::Over);
    assert_eq!((setup.tally.total(), setup.server.connections()), (0, 0));
}

/// `[datagram.frames]`
#[tokio::test(start_paused = true)]
async fn frames_are_taken_until_one_is_broken() {
    let setup = Setup::new().await;
    let mut raw = Raw::greeted(setup.addr).await;
    let request = |seq, n: u64| common::request(seq, "Tally.Add", &common::encoded(&n));
    let mut broken = request(2, 2);
    let last = broken.len() - 1;
    broken[last] ^= 1;
    raw.frames(&[request(1, 1), broken, request(3, 3)].concat()).await;
    assert_eq!(raw.answers().await, [(Kind::Reply, 1)]);
    assert!(raw.is_silent().await);
    // A length or a head that reaches beyond, and half a header.
    let mut beyond = request(4, 4);
    beyond[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut head = request(5, 5);
    head[10..12].copy_from_slice(&u16::MAX.to_le_bytes());
    let crc = crc32c::crc32c(&head[4..]);
    head[..4].copy_from_slice(&crc.to_le_bytes());
    for bad in [beyond, head, request(6, 6)[..19].to_vec()] {
        raw.frames(&bad).await;
        assert!(raw.is_silent().await);
    }
    raw.add(7, 7).await;
    assert_eq!(raw.answers().await, [(Kind::Reply, 7)], "the conversation goes on");
    assert_eq!(setup.tally.total(), 2);
}

/// `[datagram.once]`
#[tokio::test(start_paused = true)]
async fn a_datagram_is_taken_once() {
    let setup = Setup::new().await;
    let mut raw = Raw::greeted(setup.addr).await;
    raw.add(1, 1).await;
    assert_eq!(raw.answers().await, [(Kind::Reply, 1)]);
    raw.number -= 1;
    for _ in 0..10 {
        raw.add(1, 1).await;
        raw.number -= 1;
    }
    assert!(raw.is_silent().await);
    assert_eq!(setup.tally.runs(1), 1);
    assert_eq!(setup.server.datagram_counts().duplicates, 10);
    raw.number = 5000;
    raw.add(2, 2).await;
    raw.number = 5001 - 1024 - 1;
    raw.add(3, 3).await;
    raw.number = 5001 - 1024;
    raw.add(4, 4).await;
    let mut answered = raw.answers().await;
    if answered.len() == 1 {
        answered.extend(raw.answers().await);
    }
    assert_eq!(answered, [(Kind::Reply, 2), (Kind::Reply, 4)]);
    assert_eq!(setup.tally.runs(3), 0, "it is too late");
}

/// `[datagram.in-use]` `[datagram.receipt]` `[datagram.receipt-delay]`
#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_answered_yet_has_a_receipt() {
    let setup = Setup::new().await;
    let mut raw = Raw::greeted(setup.addr).await;
    let request = common::request(9, "Tally.Slow", &common::encoded(&(9u64, 150u64)));
    raw.frames(&request).await;
    let (prelude, body) = raw.next().await.expect("a receipt");
    assert_eq!((prelude.sort, prelude.number), (Sort::Receipt, 0));
    let entries: Vec<_> = Receipts::new(&body).collect();
    let [(9, age)] = entries[..] else { panic!("{entries:?}") };
    assert!((20..30).contains(&age.as_millis()), "{age:?}");
    raw.frames(&request).await;
    let (prelude, body) = raw.next().await.expect("another");
    assert_eq!((prelude.sort, Receipts::new(&body).count()), (Sort::Receipt, 1));
    assert_eq!(raw.answers().await, [(Kind::Reply, 9)]);
    assert_eq!((setup.tally.runs(9), setup.server.datagram_counts().repeated), (1, 1));
    // When it is answered it is another call, or the same, again.
    raw.frames(&request).await;
    assert_eq!(raw.next().await.expect("a receipt").0.sort, Sort::Receipt);
    assert_eq!((raw.answers().await, setup.tally.runs(9)), (vec![(Kind::Reply, 9)], 2));
}

/// `[datagram.over]` `[datagram.leave]`
#[tokio::test(start_paused = true)]
async fn a_conversation_that_is_over_does_not_begin_anew() {
    let setup = Setup::new().await;
    let mut raw = Raw::greeted(setup.addr).await;
    let slow = common::request(1, "Tally.Slow", &common::encoded(&(1u64, 1_000_000u64)));
    raw.frames(&slow).await;
    assert_eq!(raw.next().await.expect("a receipt").0.sort, Sort::Receipt);
    // Who has not the pass cannot end it.
    let forged = Prelude { pass: raw.pass ^ 1, ..raw.prelude(Sort::Over) };
    raw.send(&forged.alone()).await;
    assert!(raw.is_silent().await);
    assert_eq!((setup.server.connections(), setup.tally.cancelled()), (1, 0));
    raw.send(&raw.prelude(Sort::Over).alone()).await;
    assert!(raw.is_silent().await);
    assert_eq!((setup.server.connections(), setup.tally.cancelled()), (0, 1));
    raw.add(2, 2).await;
    assert_eq!(raw.next().await.expect("an answer").0.sort, Sort::Over);
    assert_eq!((setup.tally.runs(2), setup.server.connections()), (0, 0));
}

/// `[datagram.conversation]` `[datagram.prelude]`
#[tokio::test(start_paused = true)]
async fn a_client_believes_only_who_knows_its_conversation() {
    let (server, addr) = socket().await;
    let dialled = tokio::spawn(netrpc::Client::dial_udp(addr));
    let mut buffer = vec![0; 65_536];
    let (length, client) = server.recv_from(&mut buffer).await.unwrap();
    let (hello, _) = Prelude::parse(&buffer[..length]).unwrap();
    let conversation = hello.conversation;
    let welcome =
        |conversation| Prelude { sort: Sort::Welcome, number: 0, conversation, pass: 9 }.alone();
    server.send_to(&welcome(conversation ^ 1), client).await.unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(!dialled.is_finished(), "that was for somebody else");
    server.send_to(&welcome(conversation), client).await.unwrap();
    let client_side = dialled.await.unwrap().unwrap();
    let call = client_side.go::<_, u64>("A.B", &());
    let (length, _) = server.recv_from(&mut buffer).await.unwrap();
    let (prelude, body) = Prelude::parse(&buffer[..length]).unwrap();
    assert_eq!((prelude.conversation, prelude.pass, prelude.number), (conversation, 9, 1));
    let seq = frames(body).next().expect("a request").header.seq;
    let reply = |n: u64| {
        let mut frame = Vec::new();
        let start = wire::begin(&mut frame);
        frame.extend_from_slice(&common::encoded(&n));
        wire::finish(&mut frame, start, Kind::Reply, 0, seq, 1000).unwrap();
        frame
    };
    for (conversation, pass, n) in
        [(conversation ^ 1, 9, 1), (conversation, 8, 2), (conversation, 9, 3)]
    {
        let mut datagram = Prelude::room();
        datagram.extend_from_slice(&reply(n));
        Prelude { sort: Sort::Frames, number: 1, conversation, pass }.seal(&mut datagram);
        server.send_to(&datagram, client).await.unwrap();
    }
    assert_eq!(call.await.unwrap(), 3);
}

/// `[datagram.refusal]`
#[tokio::test(start_paused = true)]
async fn a_server_that_shuts_down_refuses_new_conversations() {
    let setup = Setup::new().await;
    let (socket, addr) = socket().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let serve = setup.server.serve_datagrams(socket).unwrap().with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    tokio::spawn(serve);
    let mut raw = Raw::greeted(addr).await;
    let slow = common::request(1, "Tally.Slow", &common::encoded(&(1u64, 3000u64)));
    raw.frames(&slow).await;
    assert_eq!(raw.next().await.expect("a receipt").0.sort, Sort::Receipt);
    stop.send(()).unwrap();
    assert_eq!(raw.answers().await, [(Kind::GoAway, 0), (Kind::Ping, 1)]);
    let late = Raw { conversation: 78, ..Raw::new(addr).await };
    late.send(&late.prelude(Sort::Hello).alone()).await;
    let (prelude, body) = late.next().await.expect("an answer");
    assert_eq!((prelude.sort, prelude.pass), (Sort::Refusal, 0));
    assert!(body.len() + 32 <= HELLO_LEN);
    // Requests are refused, and what has begun is answered.
    raw.add(2, 2).await;
    let (_, body) = raw.next().await.expect("a refusal");
    let fault = frames(&body).next().expect("a fault");
    let fault = FaultBody::parse(&fault.bytes[HEADER_LEN..]).expect("a fault");
    assert_eq!(fault.code, wire::FaultCode::ShuttingDown);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(raw.answers().await, [(Kind::Reply, 1)]);
}

/// A client that sends more than is served has it thrown away, as the network would.
#[tokio::test(start_paused = true)]
async fn what_a_client_sends_too_much_is_dropped() {
    let server = Server::builder().max_calls(1).max_waiting_bytes(1000).build();
    let setup = Setup::of(server).await;
    let mut raw = Raw::greeted(setup.addr).await;
    raw.frames(&common::request(1, "Tally.Slow", &common::encoded(&(1u64, 5000u64)))).await;
    assert_eq!(raw.next().await.expect("a receipt").0.sort, Sort::Receipt);
    let body = common::encoded(&vec![7u8; 1000]);
    for seq in 2..=300 {
        raw.frames(&common::request(seq, "Tally.Length", &body)).await;
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut answered = 0;
    while let Some((prelude, body)) = raw.next().await {
        if prelude.sort == Sort::Frames {
            answered += frames(&body).filter(|it| it.kind == Some(Kind::Reply)).count() as u64;
        }
    }
    let counts = setup.server.datagram_counts();
    assert!(counts.dropped > 100, "{counts:?}");
    assert!((100..140).contains(&answered), "{answered} of 128 KiB");
    assert_eq!(answered + counts.dropped, 300);
}

/// The server's memory does not grow by who only asks.
#[tokio::test(start_paused = true)]
async fn a_flood_of_hellos_leaves_nothing_behind() {
    let setup = Setup::of(Server::builder().max_connections(4).build()).await;
    let raw = Raw::new(setup.addr).await;
    for conversation in 0..500 {
        let hello = Prelude { conversation, ..raw.prelude(Sort::Hello) };
        raw.send(&hello.alone()).await;
        raw.next().await.expect("a welcome");
    }
    assert_eq!(setup.server.connections(), 0);
    let mut raw = Raw::greeted(setup.addr).await;
    raw.add(1, 1).await;
    assert_eq!(raw.answers().await, [(Kind::Reply, 1)]);
}
