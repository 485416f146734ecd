//! What the fuzz targets do with arbitrary sequences of operations: the machines of a connection, each
//! beside a model that is too simple to be wrong.
//!
//! The bytes choose the operations; when they are used up, the run is over.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use netrpc_core::{
    backoff::{Backoff, Jitter, Schedule},
    datagram::{FlightLimits, Flights, Framed, Question, RtoLimits},
    error::Disconnected,
    fault::FaultCode,
    keep_alive::{KeepAlive, Sign, Times},
    pending::{Outcome, Pending, Polled},
    rate::{Bucket, Rate},
    session::{Admission, Cancelled, ServerSession, SessionLimits},
    trace::{TRACEPARENT, TRACESTATE, TraceContext},
    wire,
};

use crate::bodies::Target;

/// All of them.
pub const TARGETS: [Target; 8] = [
    ("session", session),
    ("pending", pending),
    ("keep_alive", keep_alive),
    ("rate", rate),
    ("backoff", backoff),
    ("trace", trace),
    ("flights", flights),
    ("conversation", conversation::conversation),
];

/// Bytes that choose.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The same, or 0 when there is nothing left.
    fn any(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    fn below(&mut self, end: u8) -> u8 {
        self.any() % end
    }
}

/// The server's rules about which calls run, wait, or are refused.
pub fn session(data: &[u8]) {
    let mut choices = Choices(data);
    let limits = SessionLimits {
        calls: 1 + usize::from(choices.below(4)),
        running_bytes: usize::from(choices.any()),
        waiting_bytes: usize::from(choices.any()),
    };
    let mut session = ServerSession::<u32, u32>::new(limits);
    let mut running = BTreeMap::<u64, (usize, u32)>::new();
    let mut waiting = VecDeque::<(u64, usize, u32)>::new();
    let (mut lingering, mut lingering_bytes, mut draining) = (0, 0, false);
    let begun = Instant::now();
    let mut number = 0;
    while let Some(choice) = choices.next() {
        let seq = u64::from(choices.below(12));
        number += 1;
        let held = running.values().map(|(bytes, _)| bytes).sum::<usize>() + lingering_bytes;
        let full = running.len() + lingering >= limits.calls || held >= limits.running_bytes.max(1);
        match choice % 9 {
            0..=2 => {
                let late = choices.below(8) == 0;
                let deadline = begun + Duration::from_secs(if late { 0 } else { 1 });
                let in_use =
                    running.contains_key(&seq) || waiting.iter().any(|(used, ..)| *used == seq);
                let admission = session.admit(seq, Some(deadline), || begun);
                match admission {
                    Admission::SeqInUse => assert!(in_use),
                    Admission::Refuse(fault) => {
                        assert!(!in_use);
                        let code =
                            if draining { FaultCode::ShuttingDown } else { FaultCode::Expired };
                        assert_eq!(fault.code(), code);
                        assert!(draining || late);
                    }
                    Admission::Run => {
                        assert!(!in_use && !draining && !late && waiting.is_empty());
                        assert!(!full);
                        // It may also be answered on the spot.
                        if choices.below(4) > 0 {
                            let bytes = usize::from(choices.any());
                            session.started(seq, bytes, number);
                            running.insert(seq, (bytes, number));
                        }
                    }
                    Admission::Wait => {
                        assert!(!in_use && !draining && !late);
                        assert!(full || !waiting.is_empty());
                        let bytes = usize::from(choices.any());
                        session.wait(seq, bytes, number);
                        waiting.push_back((seq, bytes, number));
                    }
                }
            }
            3 if running.remove(&seq).is_some() => session.finished(seq),
            4 if running.contains_key(&seq) => {
                let (bytes, _) = running.remove(&seq).expect("it is there");
                session.lingers(seq);
                lingering += 1;
                lingering_bytes += bytes;
            }
            5 if lingering > 0 => {
                session.ended();
                lingering -= 1;
                if lingering == 0 {
                    lingering_bytes = 0;
                }
            }
            6 => {
                let next = session.next_waiting();
                if full {
                    assert_eq!(next, None);
                } else {
                    let front = waiting.pop_front();
                    assert_eq!(next, front.map(|(seq, _, number)| (seq, number)));
                    if let Some((seq, bytes, number)) = front {
                        session.started(seq, bytes, number);
                        running.insert(seq, (bytes, number));
                    }
                }
            }
            7 => match session.cancel(seq) {
                Cancelled::Running(number) => {
                    assert_eq!(running.get(&seq).map(|(_, running)| running), Some(number));
                }
                Cancelled::Waiting(number) => {
                    let at = waiting.iter().position(|(waits, ..)| *waits == seq);
                    let (_, _, expected) = waiting.remove(at.expect("it waits")).expect("there");
                    assert_eq!(number, expected);
                }
                Cancelled::Unknown => {
                    assert!(!running.contains_key(&seq));
                    assert!(waiting.iter().all(|(waits, ..)| *waits != seq));
                }
            },
            8 if choices.below(30) == 0 => {
                assert_eq!(session.drain("the server is shutting down"), !draining);
                draining = true;
            }
            8 if choices.below(30) == 0 => {
                session.forget_waiting();
                waiting.clear();
            }
            _ => {}
        }
        let bytes: usize = waiting.iter().map(|(_, bytes, _)| bytes).sum();
        assert_eq!(session.wants_more(), bytes <= limits.waiting_bytes);
        let idle = running.is_empty() && waiting.is_empty() && lingering == 0;
        assert_eq!(session.is_idle(), idle);
        assert_eq!(session.is_draining(), draining);
        let mut calls: Vec<_> = session.running().copied().collect();
        calls.sort_unstable();
        let mut expected: Vec<_> = running.values().map(|(_, call)| *call).collect();
        expected.sort_unstable();
        assert_eq!(calls, expected);
    }
}

/// What a client knows of a call.
#[derive(Debug, Clone, Copy)]
enum Known {
    /// Its request ends there, if it has been queued.
    Waiting(Option<u64>),
    Answered(u32),
    Lost(bool),
}

/// The client's table of calls in flight.
pub fn pending(data: &[u8]) {
    let mut choices = Choices(data);
    let mut table = Pending::<u32>::new();
    let mut calls = BTreeMap::<u64, Known>::new();
    let mut ever = Vec::<u64>::new();
    let (mut end, mut refusing, mut closed) = (0u64, false, false);
    let mut number = 0;
    while let Some(choice) = choices.next() {
        number += 1;
        let one = ever.get(usize::from(choices.any()) % ever.len().max(1)).copied();
        match (choice % 9, one) {
            (0 | 1, _) => match table.begin() {
                Ok(seq) => {
                    assert!(!refusing && !ever.contains(&seq), "{seq} a second time");
                    ever.push(seq);
                    calls.insert(seq, Known::Waiting(None));
                }
                Err(_) => assert!(refusing),
            },
            (2 | 3, Some(seq)) if matches!(calls.get(&seq), Some(Known::Waiting(None))) => {
                end += 1 + u64::from(choices.any());
                table.queued(seq, end, None);
                calls.insert(seq, Known::Waiting(Some(end)));
            }
            (4, Some(seq)) => {
                let expected = matches!(calls.get(&seq), Some(Known::Waiting(_)));
                assert_eq!(table.resolve(seq, number, &mut Vec::new()), expected);
                if expected {
                    calls.insert(seq, Known::Answered(number));
                }
            }
            (5 | 6, Some(seq)) if calls.contains_key(&seq) => {
                match (table.poll(seq, Waker::noop()), calls[&seq]) {
                    (Polled::Pending { .. }, Known::Waiting(_)) => continue,
                    (Polled::Ready(Outcome::Answered(answer)), Known::Answered(expected)) => {
                        assert_eq!(answer, expected);
                    }
                    (Polled::Ready(Outcome::Lost { may_have_run, .. }), Known::Lost(expected)) => {
                        assert_eq!(may_have_run, expected);
                    }
                    (polled, known) => panic!("{polled:?} of one that is {known:?}"),
                }
                calls.remove(&seq);
            }
            (7, Some(seq)) => {
                let tell = matches!(calls.remove(&seq), Some(Known::Waiting(Some(_))));
                assert_eq!(table.abandon(seq).tell_peer, tell);
            }
            (8, _) if choices.below(40) == 0 => {
                let written = end.saturating_sub(u64::from(choices.any()));
                table.close(&Arc::new(Disconnected::Eof), written, &mut Vec::new());
                for call in calls.values_mut() {
                    if let Known::Waiting(end) = call {
                        *call = Known::Lost(end.is_some_and(|end| end <= written));
                    }
                }
                (refusing, closed) = (true, true);
            }
            (8, _) if choices.below(40) == 0 => {
                table.refuse(&Arc::new(Disconnected::Eof));
                refusing = true;
            }
            _ => {}
        }
        assert_eq!(table.in_flight(), calls.len());
        let waiting = calls.values().filter(|call| matches!(call, Known::Waiting(_))).count();
        assert_eq!(table.waiting(), waiting);
        assert!(!closed || waiting == 0);
        assert_eq!(table.closed().is_some(), refusing);
    }
}

/// Whether a peer is still there.
pub fn keep_alive(data: &[u8]) {
    let mut choices = Choices(data);
    let times = Times {
        interval: Duration::from_millis(1 + u64::from(choices.any())),
        timeout: Duration::from_millis(1 + u64::from(choices.any())),
    };
    let mut now = Instant::now();
    let mut peer = KeepAlive::new(now, &times);
    let (mut last_heard, mut asked) = (now, None);
    while let Some(choice) = choices.next() {
        match choice % 4 {
            0 => {
                peer.heard();
                (last_heard, asked) = (now, None);
            }
            1 => now += Duration::from_millis(u64::from(choices.any())),
            // A driver that is in time, or some time late.
            2 => now = peer.next_timeout().map_or(now, |until| now.max(until)),
            _ => {
                let sign = peer.on_timeout(now, &times);
                match sign {
                    Some(Sign::Ping) => {
                        assert!(asked.is_none(), "asked twice");
                        assert!(now - last_heard >= times.interval, "asked too early");
                        asked = Some(now);
                    }
                    Some(Sign::Dead) => {
                        let asked = asked.expect("given up without being asked");
                        assert!(now - asked >= times.timeout, "given up too early");
                        assert_eq!(peer.next_timeout(), None);
                        return;
                    }
                    None => {}
                }
                let until = peer.next_timeout().expect("somebody looks again");
                assert!(until > now, "looked at for ever");
                assert!(until - now <= times.interval.max(times.timeout));
            }
        }
        assert_eq!(peer.is_asking(), asked.is_some());
    }
    // Nothing more is heard: it is given up, and within the time that is promised.
    let silent = now;
    while let Some(until) = peer.next_timeout() {
        now = now.max(until);
        peer.on_timeout(now, &times);
    }
    let first = times.interval.max(times.timeout);
    assert!(now - silent <= first + times.interval + times.timeout);
}

/// How often a peer may do something.
pub fn rate(data: &[u8]) {
    let mut choices = Choices(data);
    let rate = match choices.below(8) {
        0 => Rate::UNLIMITED,
        _ => Rate {
            burst: u32::from(choices.any()),
            per_second: u32::from(choices.any()) * u32::from(choices.any()),
        },
    };
    let begun = Instant::now();
    let mut now = begun;
    let mut bucket = Bucket::new(now, rate);
    let mut taken = 0u128;
    let mut refused_at = None;
    while let Some(choice) = choices.next() {
        match choice % 8 {
            0 => now += Duration::from_micros(u64::from(choices.any()).pow(2) * 30),
            _ if bucket.take(rate, || now) => {
                taken += 1;
                refused_at = None;
            }
            _ => {
                assert!(rate.burst != u32::MAX, "no limit, and at its end");
                // It would have been given one that has come since the last refusal.
                let waited = refused_at.map_or(Duration::ZERO, |since| now - since);
                let came = waited.as_nanos() * u128::from(rate.per_second) / 1_000_000_000;
                assert!(came == 0 || rate.burst == 0, "refused what has come");
                refused_at.get_or_insert(now);
            }
        }
        let passed = (now - begun).as_nanos() * u128::from(rate.per_second) / 1_000_000_000;
        assert!(taken <= u128::from(rate.burst) + passed, "more than the rate");
    }
}

/// What is sent again over datagrams: never what nobody waits for, or may not be, or is not late.
pub fn flights(data: &[u8]) {
    let mut choices = Choices(data);
    let rto = RtoLimits::default();
    let mut flights = Flights::new(FlightLimits { datagram: 1200, rto }, data.len() as u64);
    // Who waits: whether it may be sent again, and when it was sent last.
    let mut waiting = BTreeMap::<u64, (bool, Instant)>::new();
    let mut now = Instant::now();
    while let Some(choice) = choices.next() {
        let seq = u64::from(choices.below(16));
        match choice % 8 {
            0..=2 => {
                let mut frame = Vec::new();
                let start = wire::begin(&mut frame);
                frame.resize(frame.len() + 4 * usize::from(choices.any()), 0);
                wire::finish(&mut frame, start, wire::Kind::Session, 0, seq, 2000)
                    .expect("it fits");
                if flights.has_room(frame.len()) {
                    let repeats = choices.below(3) > 0;
                    flights.ask(now, Question::Session(seq), &frame, repeats);
                    waiting.insert(seq, (repeats, now));
                }
            }
            3 => {
                flights.heard(now);
                let known = flights.answered(now, Question::Session(seq), 100);
                let was = waiting.remove(&seq);
                assert!(was.is_some() || !known, "nobody has asked");
                assert!(known || was.is_none_or(|(repeats, _)| !repeats), "it was forgotten");
            }
            4 => {
                flights.taken(now, Question::Session(seq), Duration::ZERO);
                flights.heard(now);
            }
            5 => {
                flights.give_up(Question::Session(seq));
                waiting.remove(&seq);
            }
            _ => now += Duration::from_millis(u64::from(choices.any()) * 20),
        }
        flights.on_timeout(now);
        assert!(flights.next_timeout().is_none_or(|due| due > now));
        let mut frame = Vec::new();
        while flights.next_again(now, &mut frame) {
            let seq = Framed::first(&frame).expect("a whole frame").header.seq;
            let (repeats, sent) = waiting.get_mut(&seq).expect("somebody waits for it");
            assert!(*repeats && now >= *sent + rto.min - Duration::from_millis(1));
            *sent = now;
            frame.clear();
        }
        let asked = waiting.values().filter(|(repeats, _)| *repeats).count();
        assert!(flights.len() >= asked && flights.len() <= waiting.len());
    }
}

/// When to try again.
pub fn backoff(data: &[u8]) {
    let mut choices = Choices(data);
    let millis = |choices: &mut Choices<'_>| {
        Duration::from_millis(u64::from(choices.any()) << choices.below(30))
    };
    let (first, cap) = (millis(&mut choices), millis(&mut choices));
    let backoff = Backoff::new(first, cap);
    let seed = u64::from(choices.any());
    let mut schedule = Schedule::new(backoff, seed);
    let mut same = Jitter::new(seed);
    let mut tries = 0;
    while let Some(choice) = choices.next() {
        if choice == 0 {
            schedule.reset();
            tries = 0;
            continue;
        }
        let ceiling = backoff.ceiling(tries);
        assert!(ceiling <= cap);
        assert!(ceiling >= backoff.ceiling(tries.saturating_sub(1)), "it shrinks");
        let delay = schedule.next_delay();
        assert!(delay <= ceiling);
        assert_eq!(delay, backoff.delay(tries, same.next()), "equal seeds, equal waits");
        tries += 1;
        assert_eq!(schedule.tries(), tries);
    }
}

/// A call's place in a trace, as its metadata has it.
pub fn trace(data: &[u8]) {
    let at = data.first().map_or(0, |first| usize::from(*first)).min(data.len());
    let (parent, state) = data.split_at(at);
    let mut metadata = netrpc_core::Metadata::new();
    metadata.insert(TRACEPARENT, parent.get(1..).unwrap_or_default());
    metadata.insert(TRACESTATE, state);
    let read = TraceContext::from_metadata(&metadata);
    if let Ok(text) = std::str::from_utf8(parent) {
        let _ = text.parse::<TraceContext>();
    }
    if let Some(read) = read {
        let mut again = netrpc_core::Metadata::new();
        read.insert_into(&mut again);
        assert_eq!(TraceContext::from_metadata(&again).as_ref(), Some(&read));
    }
}

mod conversation {
    //! A server and a client that says whole frames in any order.

    use std::collections::HashMap;

    use netrpc::{Server, SyncPolicy, service};
    use netrpc_core::{
        codec,
        wire::{self, FrameDecoder, GoAwayCode, Incoming, Kind, Preface, RequestFields},
    };
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};

    use super::Choices;

    struct Echo;

    #[service]
    impl Echo {
        fn now(&self, n: u64, reply: &mut u64) {
            *reply = n;
        }

        async fn later(&self, n: u64, reply: &mut u64) {
            tokio::time::sleep(std::time::Duration::from_millis(n)).await;
            *reply = n;
        }
    }

    /// What was said, for the answers to be held against.
    #[derive(Debug, Default)]
    struct Said {
        /// How often each number was called, and how often given up.
        calls: HashMap<u64, u32>,
        pings: HashMap<u64, u32>,
        went: bool,
    }

    pub fn conversation(data: &[u8]) {
        let (bytes, said) = say(&mut Choices(data));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let heard = runtime.block_on(async {
            let server = Server::builder().sync_policy(SyncPolicy::Inline).max_calls(3).build();
            server.register(Echo).expect("a name of its own");
            let (ours, theirs) = duplex(256);
            let served = tokio::spawn(async move { server.serve_conn(theirs).await });
            let (mut read, mut write) = split(ours);
            let mut heard = Vec::new();
            let speak = async {
                // It may be gone before it has heard everything.
                let _ = write.write_all(&bytes).await;
                tokio::time::sleep(std::time::Duration::from_secs(60)).await;
                let _ = write.shutdown().await;
            };
            let _ = tokio::join!(speak, read.read_to_end(&mut heard));
            let _ = served.await.expect("no panic");
            heard
        });
        listen(&heard, &said);
    }

    fn say(choices: &mut Choices<'_>) -> (Vec<u8>, Said) {
        let mut out = Preface::OURS.to_bytes().to_vec();
        let mut said = Said::default();
        while let Some(choice) = choices.next() {
            let seq = u64::from(choices.below(20));
            match choice % 16 {
                0..=3 => request(&mut out, &mut said, seq, "Echo.Now", &seq),
                4..=7 => {
                    let time = u64::from(choices.any());
                    request(&mut out, &mut said, seq, "Echo.Later", &time);
                }
                8 => request(&mut out, &mut said, seq, "Echo.Nope", &seq),
                9 => request(&mut out, &mut said, seq, "Echo.Now", "no number"),
                10 | 11 => wire::write_cancel(&mut out, seq),
                12 => {
                    wire::write_ping(&mut out, seq);
                    *said.pings.entry(seq).or_default() += 1;
                }
                13 => wire::write_pong(&mut out, seq),
                14 if choices.below(10) == 0 => {
                    wire::write_go_away(&mut out, GoAwayCode::ShuttingDown, "bye");
                    said.went = true;
                }
                _ => {
                    let code = wire::FaultCode::Method;
                    wire::write_fault(&mut out, seq, code, "no", &[], 1000);
                }
            }
        }
        (out, said)
    }

    fn request<A: serde::Serialize + ?Sized>(
        out: &mut Vec<u8>,
        said: &mut Said,
        seq: u64,
        method: &str,
        args: &A,
    ) {
        let mut frame = Vec::new();
        let start = wire::begin(&mut frame);
        let head = wire::write_request_head(&mut frame, method, &RequestFields::default());
        codec::encode(&mut frame, args).expect("it has a form");
        wire::finish(&mut frame, start, Kind::Request, head.expect("a short name"), seq, 1 << 16)
            .expect("it is short");
        out.extend(frame);
        *said.calls.entry(seq).or_default() += 1;
    }

    /// Each call has one answer, if the connection has lived to its end in peace; never two.
    fn listen(heard: &[u8], said: &Said) {
        let frames = heard.strip_prefix(&Preface::OURS.to_bytes()).expect("it greets first");
        let mut decoder = FrameDecoder::new(1 << 16);
        let mut input = frames.into();
        let mut answers: HashMap<u64, u32> = HashMap::new();
        let mut pongs: HashMap<u64, u32> = HashMap::new();
        let mut broken = false;
        while let Some(incoming) = decoder.next(&mut input).expect("whole frames") {
            let Incoming::Frame(frame) = incoming else { panic!("too large") };
            match frame.kind {
                Kind::Reply | Kind::Fault => *answers.entry(frame.seq).or_default() += 1,
                Kind::Pong => *pongs.entry(frame.seq).or_default() += 1,
                Kind::GoAway => broken = true,
                other => panic!("a server says {other:?}"),
            }
        }
        assert!(input.is_empty(), "it ends in mid-frame");
        for (seq, times) in &answers {
            assert!(times <= said.calls.get(seq).unwrap_or(&0), "{seq}: {times} answers");
        }
        if !broken {
            assert_eq!(&answers, &said.calls, "each call has one answer");
            assert_eq!(&pongs, &said.pings);
        }
    }
}
