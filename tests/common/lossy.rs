//! A network between UDP sockets on loopback that loses, doubles and delays datagrams.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use netrpc_core::backoff::Jitter;
use tokio::net::UdpSocket;

/// What is done to datagrams, in each direction.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Of a hundred.
    pub lost: u64,
    /// Of a hundred.
    pub doubled: u64,
    /// How many milliseconds the way takes.
    pub way: u64,
    /// Each waits a random time of up to so many milliseconds more, so that they overtake each other.
    pub delay: u64,
    /// Of a hundred, one bit is changed.
    pub changed: u64,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Done {
    pub passed: AtomicU64,
    pub lost: AtomicU64,
    pub doubled: AtomicU64,
    pub overtaken: AtomicU64,
    pub changed: AtomicU64,
    cut: AtomicBool,
}

/// A way to a server.
pub struct Lossy {
    /// Where clients send to.
    pub addr: SocketAddr,
    pub done: Arc<Done>,
}

impl Lossy {
    /// A way to the server at this address. Equal seeds do the same to the same datagrams.
    pub async fn to(server: SocketAddr, faults: Faults, seed: u64) -> Self {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a loopback port"));
        let addr = front.local_addr().expect("it is bound");
        let done = Arc::new(Done::default());
        let counts = done.clone();
        tokio::spawn(async move {
            let mut random = Jitter::new(seed);
            let mut backs: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
            let mut buffer = vec![0; 65_536];
            loop {
                let Ok((length, client)) = front.recv_from(&mut buffer).await else { continue };
                if let Entry::Vacant(place) = backs.entry(client) {
                    let back = UdpSocket::bind("127.0.0.1:0").await.expect("a loopback port");
                    let back = place.insert(Arc::new(back)).clone();
                    let (front, counts) = (front.clone(), counts.clone());
                    let mut random = Jitter::new(random.next());
                    tokio::spawn(async move {
                        let mut buffer = vec![0; 65_536];
                        while let Ok((length, _)) = back.recv_from(&mut buffer).await {
                            let way = (front.clone(), client);
                            carry(&buffer[..length], way, faults, &mut random, &counts);
                        }
                    });
                }
                let way = (backs[&client].clone(), server);
                carry(&buffer[..length], way, faults, &mut random, &counts);
            }
        });
        Lossy { addr, done }
    }

    /// Loses everything from now on, or no more than before.
    pub fn cut(&self, cut: bool) {
        self.done.cut.store(cut, Relaxed);
    }
}

fn carry(
    datagram: &[u8],
    (socket, to): (Arc<UdpSocket>, SocketAddr),
    faults: Faults,
    random: &mut Jitter,
    done: &Arc<Done>,
) {
    if done.cut.load(Relaxed) || random.next() % 100 < faults.lost {
        done.lost.fetch_add(1, Relaxed);
        return;
    }
    let copies = if random.next() % 100 < faults.doubled {
        done.doubled.fetch_add(1, Relaxed);
        2
    } else {
        1
    };
    for _ in 0..copies {
        let mut datagram = datagram.to_vec();
        if random.next() % 100 < faults.changed {
            let bit = random.next() as usize % (datagram.len() * 8);
            datagram[bit / 8] ^= 1 << (bit % 8);
            done.changed.fetch_add(1, Relaxed);
        }
        let delay = if faults.delay == 0 { 0 } else { random.next() % (faults.delay + 1) };
        let (socket, done) = (socket.clone(), done.clone());
        let before = done.passed.load(Relaxed);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(faults.way + delay)).await;
            // More than one has passed since it came: it was overtaken, if they came after it.
            if done.passed.fetch_add(1, Relaxed) > before + 1 {
                done.overtaken.fetch_add(1, Relaxed);
            }
            let _ = socket.send_to(&datagram, to).await;
        });
    }
}
