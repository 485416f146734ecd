//! What hostile peers do, and what it may cost.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use futures_util::{StreamExt, future::join_all, stream};
use netrpc_core::wire;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    besieged::Damage,
    crowd::{Crowd, Outcome, dial},
    words::{
        Language::{self, Gob, Http, Json, Msgpack, Native},
        Speaker, claims, deep, disorder, endless, multiply, said,
    },
};
use crate::{
    common::{Random, encoded, request, request_with},
    process::Bytes,
};

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// As much as a run of all tests bears.
    Test,
    /// As much as the issue is about.
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attack {
    /// Connects and says nothing.
    Silent,
    /// Makes one call and then nothing.
    Idle,
    /// Sends a request one byte at a time.
    Loris,
    /// Begins a call, and is never heard of again.
    Vanished,
    /// Promises four gigabytes wherever a length can be said.
    Claims,
    /// Nests arguments a million deep.
    Depth,
    /// Sends a request that never ends.
    Endless,
    /// Starts calls that never end, as many as it can.
    Stuck,
    /// Cancels calls that never were.
    CancelFlood,
    /// Starts calls and cancels them at once.
    RapidReset,
    /// The same with calls that hold a thread.
    BlockingReset,
    /// Pings, and reads the answers.
    PingFlood,
    /// Pings, and does not.
    DeafPingFlood,
    /// Asks for much and reads nothing.
    NeverReads,
    /// Sends bytes that mean nothing.
    Noise,
    /// Sends whole frames in an order that makes no sense.
    Disorder,
    /// Dies at every byte of recorded sessions.
    Deaths,
}

use Attack::*;

impl Attack {
    pub const ALL: [Attack; 17] = [
        Silent,
        Idle,
        Loris,
        Vanished,
        Claims,
        Depth,
        Endless,
        Stuck,
        CancelFlood,
        RapidReset,
        BlockingReset,
        PingFlood,
        DeafPingFlood,
        NeverReads,
        Noise,
        Disorder,
        Deaths,
    ];

    /// In which languages it can be made.
    pub fn languages(self) -> &'static [Language] {
        match self {
            Silent | CancelFlood | RapidReset | BlockingReset | PingFlood | DeafPingFlood
            | Disorder => &[Native],
            Idle | Stuck | Vanished => &[Native, Gob, Json],
            NeverReads => &[Native, Gob, Json],
            Claims => &[Native, Gob, Msgpack, Http],
            Depth => &[Native, Gob, Json, Msgpack],
            Loris | Endless | Noise | Deaths => &Language::ALL,
        }
    }

    /// Whether Go's server can be attacked so, too: it has neither our protocol nor HashiCorp's.
    pub fn is_possible_in_go(self, language: Language) -> bool {
        match language {
            Native => self == Silent,
            Msgpack => false,
            Gob | Json | Http => true,
        }
    }

    /// Connections, or what else it takes many of.
    fn size(self, scale: Scale) -> usize {
        let (test, full) = match self {
            Silent => (10_000, 10_000),
            Idle | Loris | Vanished => (500, 2000),
            // Of each claim.
            Claims => (5, 50),
            // Of each way to nest.
            Depth => (1, 4),
            Endless => (4, 20),
            Stuck => (4, 20),
            // Frames on each of four connections.
            CancelFlood | PingFlood => (100_000, 1_000_000),
            // Less than that fits into the buffers between.
            DeafPingFlood => (1_000_000, 1_000_000),
            RapidReset => (20_000, 250_000),
            BlockingReset => (2_000, 20_000),
            NeverReads => (5, 10),
            Noise => (300, 3000),
            Disorder => (300, 3000),
            // Every how many bytes.
            Deaths => (3, 1),
        };
        if scale == Scale::Test { test } else { full }
    }

    /// What it may cost at most, in memory over what the server had before.
    pub fn bound(self, scale: Scale) -> Bytes {
        let size = self.size(scale) as u64;
        const KIB: u64 = 1 << 10;
        const MIB: u64 = 1 << 20;
        let cost = match self {
            Silent => size * 8 * KIB,
            Idle | Loris | Vanished => size * 16 * KIB,
            Claims => size * 100 * 16 * KIB,
            // Of what is over the limit, nothing is kept.
            Depth => size * 12 * 4 * MIB,
            // While a buffer grows, the one before it is there too.
            Endless => size * 3 * 4 * MIB,
            // 1 MiB of requests that wait, and what is known of each.
            Stuck | CancelFlood => size.min(20) * 8 * MIB,
            PingFlood | RapidReset => 4 * 2 * MIB,
            DeafPingFlood => 4 * 4 * MIB,
            // Threads have stacks.
            BlockingReset => 64 * MIB,
            // 256 replies of those that run, and 1 MiB that is queued.
            NeverReads => size * (256 * 100 * KIB + 2 * MIB),
            Noise | Disorder => size * 16 * KIB,
            Deaths => 0,
        };
        Bytes(cost + 8 * MIB)
    }

    /// Whether the attack was one: what it is about has happened.
    ///
    /// # Errors
    /// What has not.
    pub fn verify(self, language: Language, scale: Scale, damage: &Damage) -> Result<(), String> {
        let size = self.size(scale);
        let Damage { files, threads, saw, .. } = damage;
        let (held, what) = match self {
            // Some wait in the queue of those who were not accepted yet.
            Silent => (
                *files as usize > size / 4 && saw.ended > size / 2,
                "most are there, and closed after 5 s",
            ),
            Idle | Vanished => (*files as usize >= size && saw.open == size, "all stay connected"),
            Loris => (*files as usize >= size / 2, "all are connected"),
            Claims | Noise | Disorder => (saw.ended > 0 && saw.open > 0, "some end, some do not"),
            Depth if matches!(language, Json | Msgpack) => (saw.open == 0, "all are closed"),
            Depth => (saw.ended == 0, "each fails alone"),
            Endless if language == Http => (saw.open == 0, "all are closed"),
            Endless => (saw.ended == 0, "the rest is thrown away"),
            Stuck => (*files as usize >= size, "all are connected"),
            BlockingReset => (*threads > 20, "they hold threads"),
            CancelFlood | RapidReset | PingFlood | DeafPingFlood => {
                (!saw.text.starts_with("0 of"), "it is taken")
            }
            NeverReads => (saw.open == size, "all stay connected"),
            Deaths => (true, ""),
        };
        if held { Ok(()) } else { Err(format!("not so: {what}")) }
    }

    /// Does it, and tells what came of it.
    pub async fn run(self, addr: SocketAddr, language: Language, scale: Scale) -> Saw {
        let size = self.size(scale);
        let long = scale == Scale::Full;
        match self {
            Silent => {
                let crowd = Crowd::gather(addr, size, |_| Vec::new()).await;
                crowd.outcome(Duration::from_secs(15)).await.into()
            }
            Idle => {
                let call = first(language, |speaker| multiply(speaker, 1));
                let mut crowd = Crowd::gather(addr, size, |_| call.clone()).await;
                crowd.hear_something().await;
                // Long enough to be quiet.
                crowd.outcome(Duration::from_secs(2)).await.into()
            }
            Loris => {
                let call = first(language, |speaker| multiply(speaker, 1));
                let mut crowd = Crowd::gather(addr, size, |_| Vec::new()).await;
                let (bytes, pause) = if long { (4, 10) } else { (2, 1) };
                let mut taken = Vec::new();
                for byte in &call[..bytes] {
                    taken.push(crowd.say(&[*byte]).await.to_string());
                    sleep(Duration::from_secs(pause)).await;
                }
                let outcome = crowd.outcome(Duration::from_millis(100)).await;
                let text = format!("bytes taken: {}; {outcome}", taken.join(", "));
                Saw { text, ..outcome.into() }
            }
            Vanished => {
                let call = first(language, |speaker| speaker.call(1, "Gate.Wait", "never"));
                let crowd = Crowd::gather(addr, size, |_| call.clone()).await;
                crowd.outcome(Duration::from_secs(2)).await.into()
            }
            Claims => {
                let claims = claims(language);
                let count = claims.len() * size;
                let crowd = Crowd::gather(addr, count, |n| claims[n % claims.len()].clone()).await;
                let outcome = crowd.outcome(Duration::from_secs(1)).await;
                let text = format!("{} claims: {outcome}", claims.len());
                Saw { text, ..outcome.into() }
            }
            Depth => {
                let deep = deep(language, 1_000_000);
                let count = deep.len() * size;
                let crowd = Crowd::gather(addr, count, |n| deep[n % deep.len()].clone()).await;
                crowd.outcome(Duration::from_secs(4)).await.into()
            }
            Endless => {
                let (begin, go_on) = endless(language);
                let pieces = (32 << 20) / go_on.len();
                let sent = many(size, || async {
                    let mut stream = dial(addr).await;
                    let _ = stream.write_all(&begin).await;
                    flood(stream, |_| go_on.clone(), pieces, true).await
                });
                tell(sent.await, None)
            }
            Stuck => {
                let sent = many(size, || async {
                    let stream = dial(addr).await;
                    let mut speaker = Speaker::new(language);
                    let mut bytes = language.greeting();
                    for seq in 0..60_000 {
                        bytes.extend(speaker.call(seq, "Gate.Wait", "never"));
                    }
                    flood(stream, |_| bytes.clone(), 1, true).await
                });
                tell(sent.await, None)
            }
            CancelFlood => {
                let say = |piece: usize| {
                    let mut out = Vec::new();
                    let waiting = 5000;
                    if piece == 0 {
                        for seq in 0..waiting {
                            out.extend(request(seq, "Gate.Wait", &encoded("never")));
                        }
                    }
                    // The newest first, and then such as never were.
                    for n in (0..1000).map(|n| n + 1000 * piece as u64) {
                        wire::write_cancel(&mut out, waiting.wrapping_sub(n + 1));
                    }
                    out
                };
                native_flood(addr, say, size / 1000, true).await
            }
            RapidReset | BlockingReset => {
                let (method, args) = match self {
                    RapidReset => ("Gate.Wait", encoded("never")),
                    _ => ("Slow.Sleep", encoded(&5000i64)),
                };
                let say = |piece: usize| {
                    let mut out = Vec::new();
                    for seq in (0..1000).map(|n| n + 1000 * piece as u64) {
                        out.extend(request(seq, method, &args));
                        wire::write_cancel(&mut out, seq);
                    }
                    out
                };
                native_flood(addr, say, size / 1000, true).await
            }
            PingFlood | DeafPingFlood => {
                let say = |_| {
                    let mut pings = Vec::new();
                    (0..1000).for_each(|token| wire::write_ping(&mut pings, token));
                    pings
                };
                native_flood(addr, say, size / 1000, self == PingFlood).await
            }
            NeverReads => {
                let sent = many(size, || async {
                    let stream = dial(addr).await;
                    let mut speaker = Speaker::new(language);
                    let mut bytes = language.greeting();
                    for seq in 0..150 {
                        bytes.extend(speaker.call(seq, "Blob.Make", &100_000i64));
                    }
                    let flood = flood(stream, |_| bytes.clone(), 1, false).await;
                    sleep(Duration::from_secs(2)).await;
                    flood
                });
                let open = sent.await.iter().filter(|flood| flood.open).count();
                let text = "asked for 15 MB each, read nothing".to_owned();
                Saw { text, open, ..Default::default() }
            }
            Noise => {
                let say = |number: usize| {
                    let mut random = Random::new(number as u64);
                    let mut bytes =
                        if number.is_multiple_of(2) { language.greeting() } else { Vec::new() };
                    if number.is_multiple_of(4) && language != Native {
                        bytes.extend(multiply(&mut Speaker::new(language), 1));
                    }
                    bytes.extend(random.bytes(4096));
                    bytes
                };
                let crowd = Crowd::gather(addr, size, say).await;
                crowd.outcome(Duration::from_secs(2)).await.into()
            }
            Disorder => {
                let say = |number| disorder(&mut Random::new(number as u64));
                let crowd = Crowd::gather(addr, size, say).await;
                crowd.outcome(Duration::from_secs(2)).await.into()
            }
            Deaths => {
                let sessions = sessions(language);
                let mut deaths = Vec::new();
                for session in &sessions {
                    // Not at the last: that is an end in peace.
                    deaths.extend(
                        (0..session.len()).step_by(size).map(|end| session[..end].to_vec()),
                    );
                }
                let count = deaths.len();
                let dying = stream::iter(deaths).enumerate().map(|(number, words)| async move {
                    let mut stream = dial(addr).await;
                    let _ = stream.write_all(&words).await;
                    if number.is_multiple_of(2) {
                        // Not even a FIN: a reset.
                        let _ = stream.set_zero_linger();
                    }
                });
                dying.buffer_unordered(100).collect::<()>().await;
                let text = format!("{count} deaths in {} sessions", sessions.len());
                Saw { text, ..Default::default() }
            }
        }
    }
}

/// A greeting and a call.
fn first(language: Language, say: impl Fn(&mut Speaker) -> Vec<u8>) -> Vec<u8> {
    let mut bytes = language.greeting();
    bytes.extend(say(&mut Speaker::new(language)));
    bytes
}

/// What the attacker saw.
#[derive(Debug, Default)]
pub struct Saw {
    pub text: String,
    /// Connections that were closed to it, and that were not.
    pub ended: usize,
    pub open: usize,
}

impl From<Outcome> for Saw {
    fn from(outcome: Outcome) -> Saw {
        let (ended, open) = (outcome.ended(), outcome.open);
        Saw { text: outcome.to_string(), ended, open }
    }
}

/// How far somebody came who sent without end.
struct Flood {
    pieces: usize,
    heard: Vec<u8>,
    open: bool,
    /// Held until all are done.
    #[expect(dead_code, reason = "it is there to be held")]
    stream: TcpStream,
}

async fn many<F: Future<Output = Flood>>(count: usize, one: impl Fn() -> F) -> Vec<Flood> {
    join_all((0..count).map(|_| one())).await
}

/// Sends piece after piece, and reads what is answered meanwhile if it reads, until nothing has moved
/// for a second.
async fn flood(
    mut stream: TcpStream,
    say: impl Fn(usize) -> Vec<u8>,
    times: usize,
    reads: bool,
) -> Flood {
    const PATIENCE: Duration = Duration::from_secs(1);
    let (mut reading, mut writing) = stream.split();
    let mut heard = Vec::new();
    let mut pieces = 0;
    let mut open = true;
    let write = async {
        for piece in 0..times {
            let bytes = say(piece);
            let mut rest = &*bytes;
            while !rest.is_empty() {
                match timeout(PATIENCE, writing.write(rest)).await {
                    Ok(Ok(n)) => rest = &rest[n..],
                    Ok(Err(_)) | Err(_) => return,
                }
            }
            pieces += 1;
        }
    };
    let read = async {
        let mut part = vec![0; 64 * 1024];
        if !reads {
            return;
        }
        loop {
            match timeout(PATIENCE, reading.read(&mut part)).await {
                Ok(Ok(0) | Err(_)) => {
                    open = false;
                    return;
                }
                Ok(Ok(n)) => {
                    let room = 4096usize.saturating_sub(heard.len());
                    heard.extend_from_slice(&part[..n.min(room)]);
                }
                Err(_) => return,
            }
        }
    };
    tokio::join!(write, read);
    Flood { pieces, heard, open, stream }
}

/// Four connections that send piece after piece.
async fn native_flood(
    addr: SocketAddr,
    say: impl Fn(usize) -> Vec<u8>,
    pieces: usize,
    reads: bool,
) -> Saw {
    let floods = many(4, || async {
        let mut stream = dial(addr).await;
        let _ = stream.write_all(&Native.greeting()).await;
        flood(stream, &say, pieces, reads).await
    });
    tell(floods.await, Some(pieces))
}

/// What came of floods, each of which had so many pieces of a thousand to send.
fn tell(floods: Vec<Flood>, pieces: Option<usize>) -> Saw {
    let count = floods.len();
    let open = floods.iter().filter(|flood| flood.open).count();
    let said = floods.iter().map(|flood| said(&flood.heard)).max_by_key(String::len);
    let short: String = said.unwrap_or_default().chars().take(80).collect();
    let mut text = format!("{open} of {count} left open, “{short}”");
    if let Some(pieces) = pieces {
        let taken: usize = floods.iter().map(|flood| flood.pieces).sum();
        text = format!("{taken} of {} thousand taken; {text}", count * pieces);
    }
    Saw { text, open, ended: count - open }
}

/// What clients have said in recorded sessions.
fn sessions(language: Language) -> Vec<Vec<u8>> {
    let prefixes: &[&str] = match language {
        Native => return vec![native_session()],
        Gob => &["gob"],
        Json => &["jsonrpc-"],
        Msgpack => &["hashicorp-", "ugorji-"],
        Http => &["http-"],
    };
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut sessions = Vec::new();
    for file in std::fs::read_dir(dir).expect("the recordings") {
        let path = file.expect("a file").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        if name.ends_with(".c2s.hex") && prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            let text = std::fs::read_to_string(&path).expect("text");
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            let bytes = lines.flat_map(str::split_whitespace);
            let bytes = bytes.map(|byte| u8::from_str_radix(byte, 16).expect("hex"));
            sessions.push(bytes.collect());
        }
    }
    assert!(!sessions.is_empty(), "no recordings of {language:?}");
    sessions
}

/// All that a client of ours may say.
fn native_session() -> Vec<u8> {
    let mut metadata = netrpc::Metadata::new();
    metadata.insert("trace", b"0123456789");
    let fields =
        wire::RequestFields { deadline: Some(Duration::from_secs(1)), metadata: Some(&metadata) };
    let mut out = Native.greeting();
    out.extend(multiply(&mut Speaker::new(Native), 1));
    out.extend(request_with(2, "Gate.Wait", &fields, &encoded("k")));
    wire::write_ping(&mut out, 3);
    out.extend(request(4, "Blob.Later", &encoded(&10_000i64)));
    wire::write_cancel(&mut out, 2);
    out.extend(request(5, "Slow.Sleep", &encoded(&1000i64)));
    out.extend(request(6, "String.Text", &encoded(&"x".repeat(300))));
    wire::write_go_away(&mut out, wire::GoAwayCode::ShuttingDown, "the client is done");
    out
}
