//! A network between one client and its server that does to each frame what the test says.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use netrpc::{Connector, Server};
use netrpc_core::wire::{HEADER_LEN, Kind, PREFACE_LEN};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split},
    sync::Notify,
    task::AbortHandle,
};

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Pass,
    Lose,
    Twice,
    /// It arrives, and a copy of it later.
    Copy,
    /// It arrives when the test [lets](Net::release) it.
    Hold,
    /// It is lost with its connection.
    Cut,
    /// It arrives, and then the connection is lost.
    PassAndCut,
}

type Fates = Box<dyn FnMut(Way, Kind) -> Fate + Send>;

/// Whence a frame comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    FromClient,
    FromServer,
}

#[derive(Clone)]
pub struct Net(Arc<Inner>);

struct Inner {
    server: Mutex<Option<Server>>,
    fates: Mutex<Fates>,
    /// Each carries the bytes of a connection one way, or serves it.
    tasks: Mutex<Vec<AbortHandle>>,
    counts: Mutex<Counts>,
    released: Notify,
}

/// What has happened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub connections: usize,
    pub lost: usize,
    pub doubled: usize,
    pub held: usize,
    pub cut: usize,
}

impl Net {
    pub fn new(server: &Server) -> Net {
        Net(Arc::new(Inner {
            server: Mutex::new(Some(server.clone())),
            fates: Mutex::new(Box::new(|_, _| Fate::Pass)),
            tasks: Mutex::default(),
            counts: Mutex::default(),
            released: Notify::new(),
        }))
    }

    /// From now on frames fare so.
    pub fn fates(&self, fates: impl FnMut(Way, Kind) -> Fate + Send + 'static) {
        *self.0.fates.lock().unwrap() = Box::new(fates);
    }

    /// From now on they pass.
    pub fn heal(&self) {
        self.fates(|_, _| Fate::Pass);
    }

    /// The first frame of this kind and way fares so, the others pass.
    pub fn once(&self, way: Way, kind: Kind, fate: Fate) {
        let mut fate = Some(fate);
        self.fates(move |its_way, its_kind| match (its_way, its_kind) == (way, kind) {
            true => fate.take().unwrap_or(Fate::Pass),
            false => Fate::Pass,
        });
    }

    /// Lets what is held arrive.
    pub fn release(&self) {
        self.0.released.notify_waiters();
    }

    /// Ends every connection.
    pub fn cut(&self) {
        self.counts_mut().cut += 1;
        self.0.tasks.lock().unwrap().drain(..).for_each(|task| task.abort());
    }

    /// Another server, or none, is at the other end from now on. Connections end.
    pub fn server(&self, server: Option<&Server>) {
        *self.0.server.lock().unwrap() = server.cloned();
        self.cut();
    }

    pub fn counts(&self) -> Counts {
        *self.counts_mut()
    }

    fn counts_mut(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap()
    }

    async fn carry(self, way: Way, mut from: ReadHalf<DuplexStream>, to: WriteHalf<DuplexStream>) {
        let to = Arc::new(tokio::sync::Mutex::new(to));
        let mut bytes = Vec::new();
        let mut head = PREFACE_LEN;
        while let Ok(1..) = from.read_buf(&mut bytes).await {
            while let Some(len) = first(&bytes, head) {
                let frame: Vec<u8> = bytes.drain(..len).collect();
                let fate = match head {
                    PREFACE_LEN => Fate::Pass,
                    _ => (self.0.fates.lock().unwrap())(
                        way,
                        Kind::from_u8(frame[8]).expect("a kind"),
                    ),
                };
                head = HEADER_LEN;
                let copies = match fate {
                    Fate::Pass | Fate::Copy | Fate::PassAndCut => 1,
                    Fate::Twice => 2,
                    Fate::Lose | Fate::Hold | Fate::Cut => 0,
                };
                for _ in 0..copies {
                    if to.lock().await.write_all(&frame).await.is_err() {
                        return;
                    }
                }
                match fate {
                    Fate::Pass => {}
                    Fate::Lose => self.counts_mut().lost += 1,
                    Fate::Twice => self.counts_mut().doubled += 1,
                    Fate::Hold | Fate::Copy => {
                        self.counts_mut().held += 1;
                        let (net, to) = (self.clone(), to.clone());
                        tokio::spawn(async move {
                            net.0.released.notified().await;
                            let _ = to.lock().await.write_all(&frame).await;
                        });
                    }
                    Fate::PassAndCut => {
                        // It is read first.
                        for _ in 0..20 {
                            tokio::task::yield_now().await;
                        }
                        return self.cut();
                    }
                    Fate::Cut => return self.cut(),
                }
            }
        }
        let _ = to.lock().await.shutdown().await;
    }
}

/// Bytes of the preface or frame at the front, if it is whole.
fn first(bytes: &[u8], head: usize) -> Option<usize> {
    let len = match head {
        PREFACE_LEN => PREFACE_LEN,
        _ => {
            let length = bytes.get(4..8)?.try_into().expect("four bytes");
            HEADER_LEN + u32::from_le_bytes(length) as usize
        }
    };
    (bytes.len() >= len).then_some(len)
}

impl Connector for Net {
    type Stream = DuplexStream;

    async fn connect(&self) -> io::Result<DuplexStream> {
        let server = self.0.server.lock().unwrap().clone();
        let server = server.ok_or(io::ErrorKind::ConnectionRefused)?;
        self.counts_mut().connections += 1;
        let (ours, near) = duplex(64 << 10);
        let (far, theirs) = duplex(64 << 10);
        let (near_read, near_write) = split(near);
        let (far_read, far_write) = split(far);
        let mut tasks = self.0.tasks.lock().unwrap();
        let up = self.clone().carry(Way::FromClient, near_read, far_write);
        let down = self.clone().carry(Way::FromServer, far_read, near_write);
        tasks.push(tokio::spawn(up).abort_handle());
        tasks.push(tokio::spawn(down).abort_handle());
        tokio::spawn(async move { drop(server.serve_conn(theirs).await) });
        Ok(ours)
    }

    fn target(&self) -> String {
        "the net".to_owned()
    }
}
