//! The life of a connection: how long its server waits for what, and how it ends.

mod common;

use std::{sync::Arc, time::Duration};

use common::{Raw, encoded, pipe, request, soon};
use netrpc::{Client, Disconnected, Error, Refusal, Server, ServerBuilder, service};
use netrpc_core::wire::{self, FaultCode, GoAwayBody, GoAwayCode, Kind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::Semaphore,
    task::JoinHandle,
    time::{Instant, sleep},
};

struct Echo {
    gate: Arc<Semaphore>,
}

#[service]
impl Echo {
    fn number(&self, n: u64, reply: &mut u64) {
        *reply = n;
    }

    fn length(&self, bytes: &[u8], reply: &mut usize) {
        *reply = bytes.len();
    }

    fn zeros(&self, n: usize, reply: &mut Vec<u8>) {
        reply.resize(n, 0);
    }

    async fn wait(&self, n: u64, reply: &mut u64) {
        self.gate.acquire().await.expect("never closed").forget();
        *reply = n;
    }
}

type Ended = JoinHandle<Result<(), Arc<Disconnected>>>;

struct Setup {
    server: Server,
    gate: Arc<Semaphore>,
}

impl Setup {
    fn new(builder: ServerBuilder) -> Self {
        let gate = Arc::new(Semaphore::new(0));
        let server = builder.build();
        server.register(Echo { gate: gate.clone() }).unwrap();
        Setup { server, gate }
    }

    fn stream(&self, room: usize) -> (DuplexStream, Ended) {
        let (ours, theirs) = duplex(room);
        let server = self.server.clone();
        (ours, tokio::spawn(async move { server.serve_conn(theirs).await }))
    }

    async fn raw(&self) -> (Raw<DuplexStream>, Ended) {
        let (stream, ended) = self.stream(64 * 1024);
        let mut raw = Raw::new(stream);
        raw.greet().await;
        (raw, ended)
    }
}

/// Seconds that something takes.
async fn secs<T>(future: impl Future<Output = T>) -> (T, u64) {
    let begun = Instant::now();
    let value = future.await;
    (value, begun.elapsed().as_secs())
}

async fn cause(ended: Ended) -> Arc<Disconnected> {
    ended.await.unwrap().expect_err("a reason")
}

async fn go_away(raw: &mut Raw<DuplexStream>) -> (GoAwayCode, String) {
    loop {
        let frame = raw.frame().await.expect("a go-away");
        if frame.kind == Kind::Ping {
            continue;
        }
        assert_eq!(frame.kind, Kind::GoAway, "{frame:?}");
        let body = GoAwayBody::parse(frame.body_slice()).unwrap();
        return (body.code, body.message.to_owned());
    }
}

/// `[time.frame]`
#[tokio::test(start_paused = true)]
async fn a_frame_that_comes_a_byte_now_and_then_ends_its_connection() {
    let setup = Setup::new(Server::builder());
    let (mut raw, ended) = setup.raw().await;
    let bytes = request(1, "Echo.Length", &encoded(&[0u8; 1000][..]));
    let begun = Instant::now();
    let dribbled = async {
        for byte in bytes {
            if raw.io.write_all(&[byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_secs(3)).await;
        }
    };
    let (cause, took) = tokio::select! {
        ended = secs(cause(ended)) => ended,
        () = dribbled => unreachable!("a thousand bytes take too long"),
    };
    assert!(matches!(*cause, Disconnected::Slow(_)), "{cause}");
    // Ten seconds, two looks, and one for the peer to hear of it.
    assert!((10..=12).contains(&took), "{took}");
    assert!(begun.elapsed() >= Duration::from_secs(10));
    let (code, text) = go_away(&mut raw).await;
    assert_eq!(code, GoAwayCode::TooSlow);
    assert!(text.contains("4 KiB/s"), "{text}");
}

/// `[time.frame]`
#[tokio::test(start_paused = true)]
async fn an_oversized_frame_must_go_on_as_well() {
    let setup = Setup::new(Server::builder());
    let (mut raw, ended) = setup.raw().await;
    let mut header = request(1, "Echo.Length", &[]);
    header.truncate(wire::HEADER_LEN);
    header[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    raw.send(&header).await;
    let dribble = async {
        loop {
            let _ = raw.io.write_all(&[0; 100]).await;
            sleep(Duration::from_secs(1)).await;
        }
    };
    let (cause, took) = tokio::select! {
        ended = secs(cause(ended)) => ended,
        () = dribble => unreachable!(),
    };
    assert!(matches!(*cause, Disconnected::Slow(_)), "{cause}");
    assert!((10..=12).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_link_is_waited_for() {
    let setup = Setup::new(Server::builder());
    let (mut raw, ended) = setup.raw().await;
    let bytes = request(1, "Echo.Length", &encoded(&vec![0u8; 300_000][..]));
    let ((), took) = secs(async {
        for chunk in bytes.chunks(5000) {
            raw.send(chunk).await;
            sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
    assert!(took >= 60);
    assert_eq!(raw.reply::<usize>(1).await, 300_000);
    assert!(!ended.is_finished());
}

#[cfg(feature = "go")]
#[tokio::test(start_paused = true)]
async fn a_go_program_too_must_go_on_with_what_it_has_begun() {
    let setup = Setup::new(Server::builder());
    let (mut stream, ended) = setup.stream(1024);
    stream.write_all(br#"{"method":"Echo.Number","params":[7],"id":1}"#).await.unwrap();
    let mut answer = [0; 33];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer[..], b"{\"id\":1,\"result\":7,\"error\":null}\n");
    stream.write_all(br#"{"method":"Echo."#).await.unwrap();
    let (cause, took) = secs(cause(ended)).await;
    assert!(matches!(*cause, Disconnected::Slow(_)), "{cause}");
    assert!((10..=12).contains(&took), "{took}");
}

#[cfg(feature = "go")]
#[tokio::test(start_paused = true)]
async fn a_go_programs_long_first_request_may_take_longer_than_the_handshake() {
    let setup = Setup::new(Server::builder());
    let (mut stream, ended) = setup.stream(1024);
    let text = "x".repeat(60_000);
    let call = format!(r#"{{"method":"Echo.Length","params":["{text}"],"id":1}}"#);
    for chunk in call.as_bytes().chunks(5000) {
        stream.write_all(chunk).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"{\"id\":1,\"r");
    drop(stream);
    assert!(ended.await.unwrap().is_ok());
    // One that sends nothing more is a silent one.
    let (mut stream, ended) = setup.stream(1024);
    stream.write_all(b"{").await.unwrap();
    let (cause, took) = secs(cause(ended)).await;
    assert!(matches!(*cause, Disconnected::Handshake(_)), "{cause}");
    assert_eq!(took, 5);
}

/// `[close.idle]`, `[close.goaway]`
#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_in_peace_and_no_ping_keeps_it() {
    let setup = Setup::new(Server::builder());
    let (mut raw, ended) = setup.raw().await;
    raw.request(1, "Echo.Number", &encoded(&1)).await;
    assert_eq!(raw.reply::<u64>(1).await, 1);
    let begun = Instant::now();
    let mut pongs = 0;
    let code = loop {
        let mut ping = Vec::new();
        wire::write_ping(&mut ping, 99);
        raw.send(&ping).await;
        let frame = raw.frame().await.unwrap();
        match frame.kind {
            Kind::GoAway => break GoAwayBody::parse(frame.body_slice()).unwrap().code,
            Kind::Pong => pongs += 1,
            Kind::Ping => {}
            other => panic!("{other:?}"),
        }
        sleep(Duration::from_secs(7)).await;
    };
    assert_eq!(code, GoAwayCode::Idle);
    assert!(pongs > 40, "{pongs}");
    let took = begun.elapsed().as_secs();
    assert!((300..=310).contains(&took), "{took}");
    // A request that was on its way has not run, and its caller knows it.
    raw.request(2, "Echo.Number", &encoded(&2)).await;
    let fault = loop {
        let frame = raw.frame().await.unwrap();
        if frame.kind == Kind::Fault {
            break frame;
        }
    };
    let body = fault.body();
    let fault = wire::FaultBody::parse(&body).unwrap();
    assert_eq!(fault.code, FaultCode::ShuttingDown);
    assert!(fault.message.contains("idle_timeout"), "{}", fault.message);
    drop(raw);
    assert!(ended.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_client_of_an_idle_connection_is_told_before_it_calls() {
    let setup = Setup::new(Server::builder());
    let client = pipe(&setup.server);
    assert_eq!(client.call::<_, u64>("Echo.Number", &1).await.unwrap(), 1);
    sleep(Duration::from_secs(320)).await;
    assert!(client.is_closed());
    let error = client.call::<_, u64>("Echo.Number", &1).await.unwrap_err();
    assert!(!error.may_have_run());
    let Error::Shutdown { cause, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(**cause, Disconnected::GoAway { code: GoAwayCode::Idle, .. }), "{cause:?}");
    assert_eq!(setup.server.connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_with_a_call_on_it_is_not_idle_nor_is_one_that_calls_now_and_then() {
    let setup = Setup::new(Server::builder());
    let (waiting, busy) = (pipe(&setup.server), pipe(&setup.server));
    let call = waiting.go::<_, u64>("Echo.Wait", &7);
    for n in 0..10 {
        assert_eq!(busy.call::<_, u64>("Echo.Number", &n).await.unwrap(), n);
        sleep(Duration::from_secs(200)).await;
    }
    setup.gate.add_permits(1);
    assert_eq!(call.await.unwrap(), 7);
    assert!(!busy.is_closed() && !waiting.is_closed());
    // From now on it is.
    let begun = Instant::now();
    while !waiting.is_closed() {
        sleep(Duration::from_secs(1)).await;
    }
    assert!((299..=302).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[cfg(feature = "go")]
#[tokio::test(start_paused = true)]
async fn an_idle_go_program_is_closed() {
    let setup = Setup::new(Server::builder());
    let (mut stream, ended) = setup.stream(1024);
    stream.write_all(br#"{"method":"Echo.Number","params":[7],"id":1}"#).await.unwrap();
    let mut answer = Vec::new();
    let (_, took) = secs(stream.read_to_end(&mut answer)).await;
    assert!(answer.starts_with(b"{\"id\":1,\"result\":7"));
    assert!((300..=303).contains(&took), "{took}");
    assert!(ended.await.unwrap().is_ok());
}

/// `[time.write]`
#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_a_byte_now_and_then_is_let_go_of() {
    let setup = Setup::new(Server::builder());
    let (mut raw, ended) = {
        let (stream, ended) = setup.stream(1024);
        (Raw::new(stream), ended)
    };
    raw.greet().await;
    raw.request(1, "Echo.Zeros", &encoded(&100_000)).await;
    let sip = async {
        loop {
            let _ = raw.io.read_u8().await;
            sleep(Duration::from_secs(1)).await;
        }
    };
    let (cause, took) = tokio::select! {
        ended = secs(cause(ended)) => ended,
        () = sip => unreachable!(),
    };
    assert!(matches!(*cause, Disconnected::NotReading(_)), "{cause}");
    assert!((30..=31).contains(&took), "{took}");
}

/// `[time.alive]`
#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_without_a_word_is_found_and_its_call_cancelled() {
    let setup = Setup::new(Server::builder());
    let (mut raw, ended) = setup.raw().await;
    raw.request(1, "Echo.Wait", &encoded(&1)).await;
    let begun = Instant::now();
    let frame = raw.frame().await.unwrap();
    assert_eq!(frame.kind, Kind::Ping);
    let asked = begun.elapsed().as_secs();
    assert!((60..=121).contains(&asked), "{asked}");
    let cause = cause(ended).await;
    assert!(matches!(*cause, Disconnected::Silent(_)), "{cause}");
    assert_eq!(begun.elapsed().as_secs(), asked + 20);
    soon(async {
        while Arc::strong_count(&setup.gate) > 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_there_is_asked_and_its_call_goes_on() {
    let setup = Setup::new(Server::builder());
    let client = pipe(&setup.server);
    let mut call = client.go::<_, u64>("Echo.Wait", &7);
    tokio::select! {
        _ = &mut call => unreachable!("the gate is shut"),
        () = sleep(Duration::from_secs(24 * 3600)) => {}
    }
    setup.gate.add_permits(1);
    assert_eq!(call.await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_closed_its_half_is_not_asked_for_more() {
    let setup = Setup::new(Server::builder());
    let (mut raw, _ended) = setup.raw().await;
    raw.request(1, "Echo.Wait", &encoded(&1)).await;
    let mut bye = Vec::new();
    wire::write_go_away(&mut bye, GoAwayCode::ShuttingDown, "");
    raw.send(&bye).await;
    raw.io.shutdown().await.unwrap();
    sleep(Duration::from_secs(3600)).await;
    setup.gate.add_permits(1);
    let reply = loop {
        let frame = raw.frame().await.unwrap();
        if frame.kind != Kind::Ping {
            break frame;
        }
    };
    assert_eq!((reply.kind, reply.seq), (Kind::Reply, 1));
}

/// `[close.age]`
#[tokio::test(start_paused = true)]
async fn an_old_connection_takes_no_more_calls_and_answers_those_it_has() {
    let builder = Server::builder().max_connection_age(Duration::from_secs(1000), Duration::MAX);
    let setup = Setup::new(builder.idle_timeout(Duration::MAX));
    let mut ages = Vec::new();
    for _ in 0..20 {
        let begun = Instant::now();
        let (mut raw, ended) = setup.raw().await;
        raw.request(1, "Echo.Wait", &encoded(&1)).await;
        let pong = async |raw: &mut Raw<DuplexStream>, token| {
            let mut pong = Vec::new();
            wire::write_pong(&mut pong, token);
            raw.send(&pong).await;
        };
        loop {
            let frame = raw.frame().await.unwrap();
            match frame.kind {
                Kind::Ping => pong(&mut raw, frame.seq).await,
                Kind::GoAway => {
                    let body = GoAwayBody::parse(frame.body_slice()).unwrap();
                    assert_eq!(body.code, GoAwayCode::Aged);
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        ages.push(begun.elapsed().as_secs());
        let last = raw.frame().await.unwrap();
        assert_eq!(last.kind, Kind::Ping, "it asks whether that is known");
        raw.request(2, "Echo.Number", &encoded(&2)).await;
        let (code, text) = raw.fault(2).await;
        assert_eq!(code, FaultCode::ShuttingDown);
        assert!(text.contains("max_connection_age"), "{text}");
        pong(&mut raw, last.seq).await;
        sleep(Duration::from_secs(3)).await;
        assert!(!ended.is_finished(), "a call still runs");
        setup.gate.add_permits(1);
        assert_eq!(raw.reply::<u64>(1).await, 1);
        // Its client knows that it is to go, so it is not waited for.
        assert!(raw.frame().await.is_none());
        drop(raw);
        assert!(ended.await.unwrap().is_ok());
    }
    assert!(ages.iter().all(|age| (900..=1102).contains(age)), "{ages:?}");
    ages.sort_unstable();
    ages.dedup();
    assert!(ages.len() > 5, "not all at once: {ages:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_end_is_cancelled_when_the_grace_of_an_old_connection_is_over() {
    let grace = Duration::from_secs(50);
    let setup = Setup::new(Server::builder().max_connection_age(Duration::from_secs(1000), grace));
    let client = pipe(&setup.server);
    let call = client.go::<_, u64>("Echo.Wait", &7);
    let (error, took) = secs(call).await;
    let error = error.unwrap_err();
    assert!(error.may_have_run(), "{error:?}");
    assert!((950..=1152).contains(&took), "{took}");
    assert_eq!(setup.server.connections(), 0);
}

/// `[close.goaway]`
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_say_that_it_knows_is_refused_for_five_seconds() {
    let setup = Setup::new(
        Server::builder()
            .idle_timeout(Duration::from_secs(10))
            .keep_alive(Duration::MAX, Duration::MAX),
    );
    let (mut raw, ended) = setup.raw().await;
    assert_eq!(go_away(&mut raw).await.0, GoAwayCode::Idle);
    assert_eq!(raw.frame().await.unwrap().kind, Kind::Ping);
    let told = Instant::now();
    for seq in 0..4 {
        sleep(Duration::from_secs(1)).await;
        raw.request(seq, "Echo.Number", &encoded(&1)).await;
        assert_eq!(raw.fault(seq).await.0, FaultCode::ShuttingDown);
    }
    assert!(raw.frame().await.is_none());
    assert_eq!(told.elapsed().as_secs(), 5);
    assert!(ended.await.unwrap().is_ok());
}

/// `[rate.excess]`
#[tokio::test(start_paused = true)]
async fn a_flood_of_calls_that_are_cancelled_at_once_ends_its_connection() {
    let setup = Setup::new(Server::builder());
    let (mut raw, ended) = setup.raw().await;
    let mut sent = 0u64;
    let flood = async {
        // Not for ever: what comes after the end is thrown away, for a while.
        while sent < 20_000 {
            let mut both = request(sent, "Echo.Wait", &encoded(&sent));
            wire::write_cancel(&mut both, sent);
            if raw.io.write_all(&both).await.is_err() {
                return;
            }
            sent += 1;
            // Its answers are read, so that they are not what it ends for.
            let mut answers = [0; 4096];
            let read = std::pin::pin!(raw.io.read(&mut answers));
            let _ = common::poll_once(read).await;
        }
    };
    soon(flood).await;
    let begun = Instant::now();
    let cause = cause(ended).await;
    assert!(begun.elapsed() <= Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(
        matches!(*cause, Disconnected::TooFast(excess) if excess.to_string().contains("max_cancel_rate")),
        "{cause}"
    );
    assert_eq!(sent, 20_000);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_cancels_half_of_its_calls_is_none_to_be_afraid_of() {
    let setup = Setup::new(Server::builder().max_cancel_rate(1));
    let client = pipe(&setup.server);
    for n in 0..500 {
        let hedge = client.go::<_, u64>("Echo.Wait", &n);
        assert_eq!(client.call::<_, u64>("Echo.Number", &n).await.unwrap(), n);
        drop(hedge);
    }
    assert_eq!(client.call::<_, u64>("Echo.Number", &7).await.unwrap(), 7);
}

/// `[rate.excess]`
#[tokio::test(start_paused = true)]
async fn a_flood_of_pings_ends_its_connection() {
    let setup = Setup::new(Server::builder());
    let (mut raw, ended) = setup.raw().await;
    // At its rate, anybody may ping for ever.
    for n in 0..2000 {
        let mut ping = Vec::new();
        wire::write_ping(&mut ping, n);
        raw.send(&ping).await;
        assert_eq!(raw.frame().await.unwrap().kind, Kind::Pong);
        sleep(Duration::from_millis(10)).await;
    }
    let mut pings = Vec::new();
    (0..1200).for_each(|n| wire::write_ping(&mut pings, n));
    raw.send(&pings).await;
    let mut pongs = 0;
    let code = loop {
        let frame = raw.frame().await.expect("a go-away at last");
        match frame.kind {
            Kind::Pong => pongs += 1,
            Kind::GoAway => break GoAwayBody::parse(frame.body_slice()).unwrap().code,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code, GoAwayCode::TooFast);
    assert!((1000..=1200).contains(&pongs), "{pongs}");
    let cause = cause(ended).await;
    assert!(matches!(*cause, Disconnected::TooFast(_)), "{cause}");
}

/// `[rate.excess]`
#[tokio::test(start_paused = true)]
async fn a_flood_of_requests_for_nothing_ends_its_connection() {
    let setup = Setup::new(Server::builder().max_fault_rate(20));
    let client = pipe(&setup.server);
    let mut refused = 0;
    let error = loop {
        let error = client.call::<_, u64>("Echo.Nope", &1).await.unwrap_err();
        if !matches!(error, Error::Refused { refusal: Refusal::UnknownMethod, .. }) {
            break error;
        }
        refused += 1;
    };
    assert_eq!(refused, 201);
    let Error::Shutdown { cause, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(**cause, Disconnected::GoAway { code: GoAwayCode::TooFast, .. }), "{cause:?}");
    // Slowly, or among others, it is merely a mistake.
    let client = pipe(&setup.server);
    for n in 0..1000 {
        assert!(client.call::<_, u64>("Echo.Nope", &1).await.is_err());
        assert_eq!(client.call::<_, u64>("Echo.Number", &n).await.unwrap(), n);
    }
    let client = pipe(&setup.server);
    for _ in 0..1000 {
        let error = client.call::<_, u64>("Echo.Nope", &1).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_time_can_be_switched_off() {
    let builder = Server::builder()
        .idle_timeout(Duration::MAX)
        .frame_timeout(Duration::MAX)
        .write_timeout(Duration::MAX)
        .handshake_timeout(Duration::MAX)
        .keep_alive(Duration::MAX, Duration::ZERO)
        .max_ping_rate(u32::MAX);
    let setup = Setup::new(builder);
    let (silent, silents_end) = setup.stream(1024);
    let (mut raw, ended) = setup.raw().await;
    let idle = Client::new(setup.stream(1024).0);
    raw.send(&request(1, "Echo.Number", &encoded(&1))[..5]).await;
    sleep(Duration::from_secs(30 * 86_400)).await;
    assert!(!ended.is_finished() && !silents_end.is_finished());
    assert_eq!(idle.call::<_, u64>("Echo.Number", &1).await.unwrap(), 1);
    raw.send(&request(1, "Echo.Number", &encoded(&1))[5..]).await;
    assert_eq!(raw.reply::<u64>(1).await, 1);
    drop(silent);
}
