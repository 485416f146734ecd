//! Many connections of one attacker.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout, timeout_at},
};

use super::words::said;

/// Connections from one address: whoever has a botnet has many addresses.
const PER_ADDRESS: u32 = 50;

/// Connections that are made at the same time.
const AT_ONCE: usize = 1000;

/// From which address the next connection comes.
fn source() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed) / PER_ADDRESS % 60_000;
    // The whole of 127/8 is this machine.
    (Ipv4Addr::new(127, 77, (number / 250) as u8, (number % 250 + 1) as u8), 0).into()
}

/// A connection from an address of its own.
pub async fn dial(addr: SocketAddr) -> TcpStream {
    // A queue of connections that is full is not what any of this is about.
    for _ in 0..50 {
        let socket = TcpSocket::new_v4().expect("a socket");
        if socket.bind(source()).is_ok()
            && let Ok(Ok(stream)) = timeout(Duration::from_secs(5), socket.connect(addr)).await
        {
            let _ = stream.set_nodelay(true);
            return stream;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("{addr} takes no connection");
}

/// Connections that are held.
pub struct Crowd {
    streams: Vec<TcpStream>,
}

impl Crowd {
    /// So many connections, each of which has sent what `say` gives for its number. A server may
    /// close one while it is being written to.
    pub async fn gather(addr: SocketAddr, count: usize, say: impl Fn(usize) -> Vec<u8>) -> Crowd {
        let dialled = stream::iter(0..count).map(|number| {
            let say = &say;
            async move {
                let mut stream = dial(addr).await;
                let _ = stream.write_all(&say(number)).await;
                stream
            }
        });
        Crowd { streams: dialled.buffer_unordered(AT_ONCE).collect().await }
    }

    /// Waits until every connection has been answered something, and throws that away.
    pub async fn hear_something(&mut self) {
        for stream in &mut self.streams {
            let heard = timeout(Duration::from_secs(20), stream.read(&mut [0; 4096])).await;
            assert!(matches!(heard, Ok(Ok(1..))), "no answer: {heard:?}");
        }
    }

    /// Says something more on each; how many have taken it.
    pub async fn say(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        for stream in &mut self.streams {
            taken += usize::from(stream.write_all(bytes).await.is_ok());
        }
        taken
    }

    /// Reads all connections until they end, or until time is over.
    pub async fn outcome(self, patience: Duration) -> Outcome {
        let begun = Instant::now();
        let until = tokio::time::Instant::now() + patience;
        let mut outcome = Outcome::default();
        let reading = stream::iter(self.streams).map(|mut stream| async move {
            let mut heard = Vec::new();
            let end = loop {
                let mut part = [0; 16 * 1024];
                match timeout_at(until, stream.read(&mut part)).await {
                    Err(_) => break End::Open,
                    Ok(Ok(0)) => break End::Closed,
                    Ok(Ok(n)) => {
                        let room = 4096usize.saturating_sub(heard.len());
                        heard.extend_from_slice(&part[..n.min(room)]);
                    }
                    Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                        break End::Reset;
                    }
                    Ok(Err(_)) => break End::Closed,
                }
            };
            (end, said(&heard), begun.elapsed())
        });
        let mut reading = reading.buffer_unordered(usize::MAX);
        while let Some((end, said, after)) = reading.next().await {
            match end {
                End::Open => outcome.open += 1,
                End::Closed => outcome.closed += 1,
                End::Reset => outcome.reset += 1,
            }
            if end != End::Open {
                outcome.last_ended = outcome.last_ended.max(after);
            }
            *outcome.said.entry(said).or_default() += 1;
        }
        outcome
    }
}

#[derive(PartialEq, Eq)]
enum End {
    Open,
    Closed,
    Reset,
}

/// What became of a crowd's connections.
#[derive(Debug, Default)]
pub struct Outcome {
    pub open: usize,
    pub closed: usize,
    pub reset: usize,
    /// How long it took until the last that ended had ended.
    pub last_ended: Duration,
    /// What was answered, and how often.
    pub said: BTreeMap<String, usize>,
}

impl Outcome {
    pub fn ended(&self) -> usize {
        self.closed + self.reset
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        if self.ended() > 0 {
            let all = if self.open == 0 {
                "all closed".to_owned()
            } else {
                format!("{} closed", self.ended())
            };
            parts.push(format!("{all} after {:.1} s", self.last_ended.as_secs_f32()));
        }
        if self.open > 0 {
            let all = if self.ended() == 0 { "all".to_owned() } else { self.open.to_string() };
            parts.push(format!("{all} left open"));
        }
        let mut said: Vec<_> = self.said.iter().filter(|(said, _)| !said.is_empty()).collect();
        said.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
        for (said, _) in said.iter().take(3) {
            let short: String = said.chars().take(70).collect();
            parts.push(format!("“{short}”"));
        }
        f.write_str(&parts.join(", "))
    }
}
